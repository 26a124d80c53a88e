"""Gradient-boosted trees of scikit-learn on prepared data."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from ple_jax.data.store import Prepared

SPLITS = ("train", "validation", "test")
NUMBERS = ("id", "count", "target_mean")
CATEGORIES = "categories"
ALPHABET = "alphabet"
ENCODINGS = {ALPHABET: ("id",), CATEGORIES: ("id",), "means": NUMBERS}
STOPS = {"early_stopping": True, "max_iter": 1000, "n_iter_no_change": 20}
BINS = 255  # the most, and scikit-learn's default: fewer lose AUC on Census-Income
Settings = Mapping[str, Any]


class Inputs(NamedTuple):
    """What trees read of a data set."""

    data: Prepared
    x: Mapping[str, np.ndarray]  # split -> (B, columns)
    rows: np.ndarray  # (columns,) values of a column of ids, 0 of one of numbers

    @classmethod
    def of(cls, data: Prepared) -> "Inputs":
        """The columns of all splits."""
        x = {split: columns(data, split) for split in SPLITS}
        rows = np.zeros(x["train"].shape[1], int)
        rows[: len(data.layout.ids)] = [column.rows for column in data.layout.ids]
        return cls(data, x, rows)

    def by_value(self) -> "Inputs":
        """The same, with ids in the order of their values as text; 0 stays 0."""
        x = {split: matrix.copy() for split, matrix in self.x.items()}
        for i, column in enumerate(self.data.layout.ids):
            table = self.data.encoder.vocabularies[column.table]
            rank = np.zeros(column.rows, np.float32)
            ids = np.asarray(table["id"])
            rank[ids[np.argsort(np.asarray(table["value"]).astype(str))]] = range(
                1, len(ids) + 1
            )
            for matrix in x.values():
                matrix[:, i] = rank[matrix[:, i].astype(int)]
        return self._replace(x=x)

    def seen(self, split: str, task: int) -> tuple[np.ndarray, np.ndarray]:
        """The examples that have a task's label: (n, columns) and labels (n,)."""
        examples = self.data.split(split)
        rows = examples.observed[:, task]
        return self.x[split][rows], examples.labels[rows, task]


def columns(data: Prepared, split: str) -> np.ndarray:  # (B, columns) float32
    """What a tree reads: ids, numbers, the domain, each list's first item and size."""
    examples = data.split(split)
    parts = [examples.ids, examples.numbers, examples.domain[:, None]]
    for bag in examples.bags.values():
        parts += [bag[:, :1], (bag >= 0).sum(axis=1, keepdims=True)]
    return np.concatenate([np.asarray(part, np.float32) for part in parts], axis=1)


def draw(number: int) -> dict[str, Any]:
    """The settings of a trial of a random search; those of trial 0 are the defaults.

    `encoding` says how trees read ids: as numbers in the order of the `alphabet`, as
    `categories` where a column has no more values than bins, or in order of frequency
    with counts and target `means` beside them.
    """
    if number == 0:
        return {"encoding": ALPHABET}
    rng = np.random.default_rng(number)
    log = lambda low, high: float(f"{np.exp(rng.uniform(*np.log((low, high)))):.2g}")
    return {
        "learning_rate": log(0.03, 0.2),
        "max_leaf_nodes": int(log(8, 128)),
        "min_samples_leaf": int(log(5, 300)),
        "l2_regularization": log(0.01, 100),
        "max_features": round(rng.uniform(0.2, 1), 2),
        "encoding": str(rng.choice([*ENCODINGS])),
    }


def is_drawn(settings: Settings) -> bool:
    """Whether another seed grows other trees."""
    return settings.get("max_features", 1) < 1


def fit(
    inputs: Mapping[str, Inputs], task: int, settings: Settings, seed: int = 0
) -> HistGradientBoostingClassifier:
    """Trees of one task, which stop early by the log loss of validation.

    Args:
        inputs: Encoding -> what trees read.
        task: Its number.
        settings: See `draw`.
        seed: Draws the columns of each split, if `max_features` is below 1.
    """
    own = inputs[settings["encoding"]]
    options = {k: v for k, v in settings.items() if k != "encoding"}
    if settings["encoding"] == CATEGORIES:
        options["categorical_features"] = (own.rows > 0) & (own.rows <= BINS)
    else:
        options["categorical_features"] = None
    trees = HistGradientBoostingClassifier(**STOPS, **options, random_state=seed)
    (x, y), (x_val, y_val) = (own.seen(split, task) for split in SPLITS[:2])
    return trees.fit(x, y, X_val=x_val, y_val=y_val)
