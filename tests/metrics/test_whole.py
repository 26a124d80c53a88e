"""Metrics and their intervals in one pass."""

import numpy as np
import pytest
from lib.scored import DOMAINS, TASKS, many

from ple_jax.metrics import curves, exact, intervals, whole


@pytest.mark.parametrize("user", [None, np.arange(701) % 29])
def test_one_pass_is_both_reports(user, monkeypatch):
    rows = *many(701), TASKS, DOMAINS
    sorted_once = []
    argsort = np.argsort
    noted = lambda *a, **options: sorted_once.append(1) or argsort(*a, **options)
    monkeypatch.setattr(curves.np, "argsort", noted)
    found = whole.report(*rows, user=user)
    domains = 1 + len(DOMAINS)
    assert len(sorted_once) == 2 * domains + 1  # of binary tasks; rows by domain
    monkeypatch.undo()
    assert found.pop("intervals") == intervals.report(*rows, user=user)
    assert found == exact.report(*rows, user=user)
