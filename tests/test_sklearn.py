"""The estimators keep scikit-learn's contract, and learn what they are shown."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from ple_jax.sklearn import MultiTaskClassifier, MultiTaskRegressor, batch_size_for

TINY = {
    "model": {"kind": "shared_bottom", "expert_dims": [8], "tower_dims": []},
    "encodings": "standard",
    "learning_rate": 0.05,
    "epochs": 12,
    "patience": 4,
    "train": {"steps_per_dispatch": 4, "eval_batch_size": 64},
}
ROWS = (
    "An epoch draws rows into batches, and validation takes some: a row of weight 2 is "
    "drawn once, two rows are drawn twice."
)
NOT_HELD = {"check_sample_weight_equivalence_on_dense_data": ROWS}


@parametrize_with_checks(
    [MultiTaskClassifier(**TINY), MultiTaskRegressor(**TINY)],
    expected_failed_checks=lambda estimator: NOT_HELD,
)
def test_the_estimators_keep_the_contract(estimator, check):
    check(estimator)
