"""Holm's correction beside its definition, and what it promises."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ple_jax.metrics.several import holm

P = st.floats(0, 1)


def step_down(values, alpha):
    """Which hypotheses Holm's procedure rejects, as he wrote it."""
    rejected, order = set(), sorted(range(len(values)), key=lambda i: values[i])
    for k, i in enumerate(order):
        if values[i] * (len(values) - k) >= alpha:
            break
        rejected.add(i)
    return rejected


@given(st.lists(P, max_size=13), st.sampled_from([0.01, 0.05, 0.31]))
def test_rejects_what_the_step_down_procedure_rejects(values, alpha):
    corrected = holm(values)
    assert {i for i, p in enumerate(corrected) if p < alpha} == step_down(values, alpha)
    assert all(p <= q <= 1 for p, q in zip(values, corrected, strict=True))


def test_undefined_comparisons_do_not_count():
    assert holm([None, 0.02, None, 0.5]) == [None, 0.04, None, 0.5]
    assert holm([]) == []


def test_seldom_finds_anything_where_there_is_nothing():
    draws = np.random.default_rng(0).random((2000, 7))
    wrong = np.mean([min(holm(list(row))) < 0.05 for row in draws])
    assert 0.035 < wrong < 0.06
