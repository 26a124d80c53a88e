"""Target means never hold a row's own label, and random labels cannot be learned."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest
from lib.means import BY_TIME, MEANS, log
from lib.tables import SCHEMA, rows_of, source

from ple_jax.data.cells import sums_of_others
from ple_jax.data.prepare import prepare
from ple_jax.data.split import assigner
from ple_jax.metrics.curves import auc_roc
from ple_jax.schema import Field, Schema, Split, Task


def own_label_flipped(schema, tmp_path, row):
    """The columns of all train rows, with and without one label flipped."""
    found = []
    for flip in (False, True):
        rows = log().append_column("time", [np.arange(397)]).to_pydict()
        if flip:
            rows["click"][row] = "1" if rows["click"][row] == "0" else "0"
        data = prepare(source(pa.table(rows), schema), tmp_path / f"{row}_{flip}")
        found.append(np.array(data.split("train").numbers))
    return found


@pytest.mark.parametrize("schema", [MEANS, BY_TIME], ids=["random", "time"])
def test_a_row_never_sees_its_own_label(tmp_path, monkeypatch, schema):
    """With priors held fast, a flipped label changes no column of its own row."""
    schema = dataclasses.replace(schema, tasks=SCHEMA.tasks[:1], weight=None)
    monkeypatch.setattr("ple_jax.data.target_fit.fit_strength", lambda *a: 2.0)
    monkeypatch.setattr("ple_jax.data.target_fit._mean_label", lambda *a: 0.4)
    monkeypatch.setattr("ple_jax.data.target_fit._scaled", lambda m: m.priors)
    table = log().append_column("time", [np.arange(397)])
    split, fold = assigner(source(table, schema))(rows_of(table, schema), 0)
    train = np.flatnonzero(split == 0)
    for row in train[[3, 100, 200]]:
        before, after = own_label_flipped(schema, tmp_path, int(row))
        changed = (before != after).any(axis=1)
        assert changed.any() or row > train[-20]
        assert not changed[train == row].any()
        if schema.split.by == "time":
            assert not changed[train <= row].any()
        assert not changed[fold[train] == fold[row]].any()


def random_log(ids=100_000, each=3, seed=11):
    """Ids at `each` rows, of which the first two are train; labels mean nothing."""
    rng = np.random.default_rng(seed)
    id_, turn = np.tile(np.arange(ids), each), np.repeat(np.arange(each), ids)
    order = rng.permutation(len(id_))
    id_, turn = id_[order], turn[order]
    split = np.array(["train", "train", "validation"])[turn]
    split[np.flatnonzero(turn == 2)[:1000]] = "test"
    click = rng.integers(0, 2, len(id_))
    return pa.table({"id": id_, "click": click, "split": split})


def fit_logistic(x, y, steps=15):
    """Logistic regression by Newton's method, as (intercept, slopes)."""
    x = np.c_[np.ones(len(x)), x]
    w = np.zeros(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-x @ w))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(x.shape[1])
        w += np.linalg.solve(curvature, x.T @ (y - p))
    return w


def leak(tmp_path, ids=100_000):
    """AUC in train and in validation, and log loss there, of columns alone."""
    schema = Schema(
        (Field("id", encodings=("count", "target_mean")),),
        (Task("click"),),
        Split("column", "split"),
    )
    data = prepare(source(random_log(ids), schema, 50_000), tmp_path / "prepared")
    parts = [data.split(name) for name in ("train", "validation")]
    (x, y), (x_new, y_new) = [
        (np.array(e.numbers, np.float64), np.array(e.labels[:, 0])) for e in parts
    ]
    assert x[:, -1].std() > 0.1  # the column says something
    w = fit_logistic(x, y)
    score, new = np.c_[np.ones(len(x)), x] @ w, np.c_[np.ones(len(x_new)), x_new] @ w
    return (
        auc_roc(score, y),
        auc_roc(new, y_new),
        np.logaddexp(0, new).mean() - (new * y_new).mean(),
    )


STRENGTH = "ple_jax.data.target_fit.fit_strength"


@pytest.mark.parametrize("strength", [1.0, 20.0])
def test_random_labels_cannot_be_learned(tmp_path, monkeypatch, strength):
    """100,000 ids at two rows each; AUC 0.50 +- 0.01 and log loss log 2 + 0.001."""
    monkeypatch.setattr(STRENGTH, lambda *a: strength)  # as if ids did differ
    in_train, new, loss = leak(tmp_path)
    assert in_train == pytest.approx(0.5, abs=0.01)
    assert new == pytest.approx(0.5, abs=0.01)
    assert loss == pytest.approx(math.log(2), abs=1e-3)


def test_random_labels_could_be_learned_in_fold_control(tmp_path, monkeypatch):
    """If a row saw its own label, the same measures would tell."""
    monkeypatch.setattr(STRENGTH, lambda *a: 1.0)
    seen = lambda *a: sums_of_others(*a) + a[1]
    monkeypatch.setattr("ple_jax.data.target_fit.sums_of_others", seen)
    in_train, _, loss = leak(tmp_path)
    assert in_train > 0.8
    assert loss > math.log(2) + 0.1
