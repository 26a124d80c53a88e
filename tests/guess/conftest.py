"""Columns and files by hand."""

import csv

import numpy as np
import pytest

from ple_jax.guess.columns import sample_of


@pytest.fixture
def sampled(tmp_path):
    """Writes columns to a CSV file, and samples it."""

    def sample(**columns):
        path = tmp_path / "rows.csv"
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(columns)
            rows.writerows(zip(*columns.values(), strict=True))
        return sample_of([str(path)])

    return sample


@pytest.fixture
def rng():
    return np.random.default_rng(0)
