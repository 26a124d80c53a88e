"""Gradient-boosted trees on the prepared columns, for comparison."""

import importlib.util
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ple_jax.data.examples import Examples
from ple_jax.data.store import Prepared
from ple_jax.layout import Layout
from ple_jax.metrics.curves import auc_roc
from ple_jax.metrics.errors import Error, errors
from ple_jax.metrics.intervals import Influence, of_headline
from ple_jax.schema import Task

Fitted = tuple[float | None, Influence | None]

KIND = "trees"
OPTIONS = {"max_iter": 200, "early_stopping": False, "random_state": 0}
MOST_CATEGORIES = 255  # of a column, which trees can split by sets of values
MOST_ITEMS = 32  # of a list, each a column of its own


def is_installed() -> bool:
    """Whether scikit-learn is there, as the extra `sklearn` brings it."""
    return importlib.util.find_spec("sklearn") is not None


def fit(data: Prepared) -> dict[str, Fitted]:
    """Trains trees for each task; task -> headline on validation, and influences.

    They see the arrays that the models see: ids (those of small tables as categories),
    numbers, and the most frequent items of lists. The number of trees is the best on
    validation, as the best epoch is for a model. One thread does it: several wait for
    each other far longer wherever another process has a core.
    """
    import sklearn.ensemble  # noqa: F401  (a limit is on what is loaded by then)
    import threadpoolctl

    train, validation = data.split("train"), data.split("validation")
    inputs = [columns(split, data.layout) for split in (train, validation)]
    is_small = [column.rows <= MOST_CATEGORIES for column in data.layout.ids]
    options = {"categorical_features": np.flatnonzero(is_small), **OPTIONS}
    scores = {}
    with threadpoolctl.threadpool_limits(1, user_api="openmp"):
        for i, task in enumerate(data.layout.tasks):
            seen = Rows.of(inputs[0], train, i), Rows.of(inputs[1], validation, i)
            scores[task.name] = _score(task, *seen, options)
    return scores


class Rows(NamedTuple):
    """The examples of one task: inputs (B, columns), labels, weights and users (B,)."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    user: np.ndarray | None

    @classmethod
    def of(cls, x: np.ndarray, split: Examples, task: int) -> "Rows":
        """Those of a split that are observed."""
        rows = split.observed[:, task]
        user = None if split.user is None else split.user[rows]
        return cls(x[rows], split.labels[rows, task], split.weights[rows], user)


def columns(split: Examples, layout: Layout) -> np.ndarray:  # (B, columns) float32
    """All inputs of some examples as one matrix."""
    parts = [split.ids, split.numbers]
    for bag in layout.bags:
        items = np.arange(1, min(MOST_ITEMS, bag.rows))
        parts.append((split.bags[bag.name][:, :, None] == items).any(axis=1))
    return np.concatenate([np.asarray(part, np.float32) for part in parts], axis=1)


def loss_of(task: Task) -> dict[str, Any]:
    """The loss of scikit-learn that is nearest to a task's, as options of trees."""
    if task.loss == "quantile":
        return {"loss": "quantile", "quantile": task.option("quantile")}
    near = {"huber": "absolute_error", "poisson": "poisson"}
    return {"loss": near[task.loss]} if task.loss in near else {}


def first_error(task: Task) -> Error:
    """The error that a task's headline is of."""
    name = task.kind.metrics[0]
    return errors(task)["mse" if name == "rmse" else name]


def _score(task: Task, train: Rows, other: Rows, options: Mapping[str, Any]) -> Fitted:
    """The best headline on other rows over the number of trees."""
    from sklearn import ensemble

    binary = task.is_binary
    if not len(other.y) or (binary and len(np.unique(train.y)) < 2):
        return None, None
    kinds = "HistGradientBoostingRegressor", "HistGradientBoostingClassifier"
    trees = getattr(ensemble, kinds[binary])(**options, **loss_of(task))
    trees.fit(train.x, train.y, sample_weight=train.weights)
    if binary:
        stages = (p[:, 1] for p in trees.staged_predict_proba(other.x))
        score = lambda p: auc_roc(p, other.y) or 0.0
    else:
        stages = trees.staged_predict(other.x)
        error = first_error(task)
        score = lambda p: -float(np.average(error(p, other.y), weights=other.weights))
    best = max(stages, key=score)
    moved = of_headline(task, best, other.y, other.weights, other.user)
    return (None, None) if moved is None else (moved.value, moved)
