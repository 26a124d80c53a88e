"""Exact metrics against definitions, and streaming ones against exact ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from ple_jax import metrics, streaming
from ple_jax.schema import Task
from ple_jax.types import Batch

TASKS = (Task("click"), Task("buy"), Task("time", loss="squared"))
DOMAINS = ("shop", "home")


def auc_by_pairs(scores, labels):
    pairs = [(p, n) for p in scores[labels == 1] for n in scores[labels == 0]]
    return np.mean([(p > n) + 0.5 * (p == n) for p, n in pairs])


def average_precision(scores, labels):
    total, recalled = 0.0, 0
    for threshold in sorted(set(scores), reverse=True):
        above = scores >= threshold
        gained = labels[above].sum() - recalled
        total += labels[above].mean() * gained
        recalled += gained
    return total / labels.sum()


scored = st.lists(
    st.tuples(st.integers(-4, 4), st.booleans(), st.integers(0, 3)),
    min_size=1,
    max_size=40,
)


@given(scored)
@settings(deadline=None)
def test_areas_equal_their_definitions(rows):
    scores, labels, _ = (np.array(c, np.float64) for c in zip(*rows, strict=True))
    if len(set(labels)) < 2:
        assert metrics.auc_roc(scores, labels) is None
        assert metrics.auc_pr(scores, labels) is None
        return
    assert metrics.auc_roc(scores, labels) == pytest.approx(
        auc_by_pairs(scores, labels)
    )
    assert metrics.auc_pr(scores, labels) == pytest.approx(
        average_precision(scores, labels)
    )
    moved = metrics.auc_roc(np.exp(scores) * 3, labels)
    assert moved == pytest.approx(metrics.auc_roc(scores, labels))


@given(scored)
@settings(deadline=None)
def test_grouped_auc_equals_a_loop_over_users(rows):
    scores, labels, users = (np.array(c, np.float64) for c in zip(*rows, strict=True))
    parts = []
    for user in set(users):
        mine = users == user
        if len(set(labels[mine])) == 2:
            parts.append((mine.sum(), auc_by_pairs(scores[mine], labels[mine])))
    got = metrics.grouped_auc(scores, labels, users)
    if not parts:
        assert got is None
    else:
        assert got == pytest.approx(
            sum(n * a for n, a in parts) / sum(n for n, _ in parts)
        )


def many(rows=5003, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, 3)).astype(np.float32)
    labels = np.float32(rng.random((rows, 3)) < 1 / (1 + np.exp(1 - logits)))
    labels[:, 2] = rng.normal(size=rows)
    observed = rng.random((rows, 3)) < 0.7
    weights = rng.choice([0.5, 1, 3], rows).astype(np.float32)
    domain = rng.integers(0, 2, rows).astype(np.int32)
    return logits, labels, observed, weights, domain


def test_metrics_agree_with_scikit_learn():
    logits, labels, observed, weights, domain = many()
    got = metrics.report(logits, labels, observed, weights, domain, TASKS, DOMAINS)
    for name, rows in [
        (None, slice(None)),
        ("shop", domain == 0),
        ("home", domain == 1),
    ]:
        tasks = got["tasks"] if name is None else got["domains"][name]
        seen = observed[rows, 0]
        z, y, w = (a[rows][seen] for a in (logits[:, 0], labels[:, 0], weights))
        p = 1 / (1 + np.exp(-np.float64(z)))
        click = tasks["click"]
        assert click["auc_roc"] == pytest.approx(sk.roc_auc_score(y, z), abs=1e-12)
        assert click["auc_pr"] == pytest.approx(
            sk.average_precision_score(y, z), abs=1e-12
        )
        assert click["log_loss"] == pytest.approx(sk.log_loss(y, p, sample_weight=w))
        assert click["calibration"] == pytest.approx((w * p).sum() / (w * y).sum())
        rate = np.average(y, weights=w)
        entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
        assert click["normalised_entropy"] == pytest.approx(click["log_loss"] / entropy)
        assert (click["examples"], click["positives"]) == (seen.sum(), y.sum())
        seen = observed[rows, 2]
        error = np.float64(logits[rows][seen, 2]) - labels[rows][seen, 2]
        want = np.average(error**2, weights=weights[rows][seen])
        assert tasks["time"]["mse"] == pytest.approx(want)
        assert tasks["time"]["rmse"] == pytest.approx(want**0.5)


def test_what_is_undefined_is_reported_as_undefined():
    zeros = np.zeros((5, 1), np.float32)
    seen = np.ones((5, 1), bool)
    report = lambda observed, labels: metrics.report(
        zeros,
        labels,
        observed,
        None,
        np.zeros(5, int),
        TASKS[:1],
        ("all",),
        np.arange(5),
    )["tasks"]["click"]
    one_class = report(seen, zeros)
    for name in (
        "auc_roc",
        "auc_pr",
        "normalised_entropy",
        "calibration",
        "grouped_auc",
    ):
        assert one_class[name] is None
    assert one_class["log_loss"] == pytest.approx(np.log(2))
    nothing = report(~seen, zeros)
    assert nothing["log_loss"] is None
    assert nothing["examples"] == 0


def test_scores_that_are_no_numbers_are_an_error():
    logits, labels, observed, weights, domain = many(7)
    logits[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"1 of 7 rows .* the first is row 3"):
        metrics.report(logits, labels, observed, weights, domain, TASKS, DOMAINS)


def test_huge_logits_have_finite_losses():
    z, y = np.array([1e4, -1e4, 1e4]), np.array([1.0, 0.0, 0.0])
    assert metrics.log_loss(z, y, np.ones(3)) == pytest.approx(1e4 / 3)
    assert metrics.calibration(z, y, np.ones(3)) == pytest.approx(2)


def batches_of(arrays, size):
    logits, labels, observed, weights, domain = arrays
    for i in range(0, len(logits), size):
        part = slice(i, i + size)
        empty = np.zeros((len(logits[part]), 0), np.int32)
        batch = Batch(
            empty,
            {},
            np.float32(empty),
            domain[part],
            labels[part],
            observed[part],
            weights[part],
        )
        yield jnp.asarray(logits[part]), batch


@pytest.mark.parametrize("size", [977, 5003])
def test_streaming_agrees_with_exact(size):
    arrays = many()
    stream = streaming.init(2, TASKS)
    update = jax.jit(lambda s, z, b: streaming.update(s, z, b, TASKS))
    for logits, batch in batches_of(arrays, size):
        stream = update(stream, logits, batch)
    got = streaming.compute(stream, TASKS, DOMAINS)
    want = metrics.report(*arrays, TASKS, DOMAINS)
    for part in ("shop", "home", None):
        mine = got["tasks"] if part is None else got["domains"][part]
        exact = want["tasks"] if part is None else want["domains"][part]
        for task, values in mine.items():
            for name, value in values.items():
                tolerance = 1e-4 if name == "auc_roc" else 1e-5
                assert value == pytest.approx(exact[task][name], rel=tolerance), (
                    task,
                    name,
                )


def test_streams_of_parts_add_up():
    arrays, stream = many(), streaming.init(2, TASKS)
    update = lambda s, z, b: streaming.update(s, z, b, TASKS)
    parts = [update(stream, z, b) for z, b in batches_of(arrays, 2500)]
    whole = stream
    for z, b in batches_of(arrays, 2500):
        whole = update(whole, z, b)
    added = jax.tree.map(lambda *leaves: sum(leaves), *parts)
    np.testing.assert_array_equal(added.histogram, whole.histogram)
    np.testing.assert_allclose(added.sums, whole.sums, rtol=1e-6)


def test_sums_of_many_small_numbers_keep_their_digits():
    add = lambda _, carried: streaming.add_exactly(
        carried[0], jnp.full((), 0.1), carried[1]
    )
    zero = jnp.zeros(())
    total, _ = jax.jit(lambda: jax.lax.fori_loop(0, 1_000_000, add, (zero, zero)))()
    assert float(total) == pytest.approx(1_000_000 * float(np.float32(0.1)), rel=1e-6)
