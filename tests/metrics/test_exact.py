"""Exact metrics against loops from their definitions, and against scikit-learn."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lib.scored import DOMAINS, TASKS, many
from sklearn import metrics as sk

from ple_jax.metrics import curves, exact


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
        assert curves.auc_roc(scores, labels) is None
        assert curves.auc_pr(scores, labels) is None
        return
    assert curves.auc_roc(scores, labels) == pytest.approx(auc_by_pairs(scores, labels))
    assert curves.auc_pr(scores, labels) == pytest.approx(
        average_precision(scores, labels)
    )
    moved = curves.auc_roc(np.exp(scores) * 3, labels)
    assert moved == pytest.approx(curves.auc_roc(scores, labels))


def calibration_error_by_ranks(scores, labels, weights):
    """Bins end at every tenth of the ranks, and equal scores go to the lower bin."""
    ranked = sorted(scores)
    ends = [ranked[-(-len(ranked) * k // 10) - 1] for k in range(1, 10)]
    gaps = [0.0] * 10
    for z, y, w in zip(scores, labels, weights, strict=True):
        gaps[sum(z > end for end in ends)] += w * (1 / (1 + np.exp(-z)) - y)
    return sum(map(abs, gaps)) / sum(weights)


@given(scored)
@settings(deadline=None)
def test_the_calibration_error_is_a_loop_over_bins(rows):
    scores, labels, weights = (np.array(c, np.float64) for c in zip(*rows, strict=True))
    got = exact.calibration_error(scores, labels, weights)
    if not weights.any():
        assert got is None
    else:
        assert got == pytest.approx(calibration_error_by_ranks(scores, labels, weights))


def test_a_calibrated_model_has_hardly_any_calibration_error():
    rng = np.random.default_rng(0)
    z = rng.normal(-2, 1, 40_000)
    y = np.float64(rng.random(len(z)) < 1 / (1 + np.exp(-z)))
    assert exact.calibration_error(z, y, np.ones(len(z))) < 0.006
    assert exact.calibration_error(z + 1, y, np.ones(len(z))) > 0.1


@given(scored)
@settings(deadline=None)
def test_grouped_auc_equals_a_loop_over_users(rows):
    scores, labels, users = (np.array(c, np.float64) for c in zip(*rows, strict=True))
    parts = []
    for user in set(users):
        mine = users == user
        if len(set(labels[mine])) == 2:
            parts.append((mine.sum(), auc_by_pairs(scores[mine], labels[mine])))
    got = curves.grouped_auc(scores, labels, users)
    if not parts:
        assert got is None
    else:
        assert got == pytest.approx(
            sum(n * a for n, a in parts) / sum(n for n, _ in parts)
        )


def test_metrics_agree_with_scikit_learn():
    logits, labels, observed, weights, domain = many()
    got = exact.report(logits, labels, observed, weights, domain, TASKS, DOMAINS)
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
    for task in ("click", "buy"):
        each = [got["domains"][name][task]["auc_roc"] for name in DOMAINS]
        assert got["macro"][task]["auc_roc"] == pytest.approx(sum(each) / 2)
        assert got["worst"][task]["auc_roc"] == min(each)


def test_what_is_undefined_is_reported_as_undefined():
    zeros = np.zeros((5, 1), np.float32)
    seen = np.ones((5, 1), bool)
    report = lambda observed, labels: exact.report(
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
    assert nothing["calibration_error"] is None
    assert nothing["examples"] == 0


def test_scores_that_are_no_numbers_are_an_error():
    logits, labels, observed, weights, domain = many(7)
    logits[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"1 of 7 rows .* the first is row 3"):
        exact.report(logits, labels, observed, weights, domain, TASKS, DOMAINS)


def test_huge_logits_have_finite_losses():
    z, y = np.array([1e4, -1e4, 1e4]), np.array([1.0, 0.0, 0.0])
    assert exact.Sums.of(z, y, np.ones(3)).mean_loss() == pytest.approx(1e4 / 3)
    assert exact.Sums.of(z, y, np.ones(3)).calibration() == pytest.approx(2)


seeds = st.integers(0, 10_000)


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_the_order_of_examples_does_not_matter(seed):
    arrays = many(60, seed)
    order = np.random.default_rng(seed).permutation(60)
    want = exact.report(*arrays, TASKS, DOMAINS, user=np.arange(60) % 7)
    moved = (a[order] for a in arrays)
    got = exact.report(*moved, TASKS, DOMAINS, user=(np.arange(60) % 7)[order])
    assert list(got["domains"]) == list(want["domains"])
    for name, measured in want["tasks"].items():
        assert got["tasks"][name] == pytest.approx(measured, rel=1e-12)


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_what_is_not_observed_is_as_if_it_were_not_there(seed):
    logits, labels, observed, weights, domain = many(60, seed)
    want = exact.report(logits, labels, observed, weights, domain, TASKS, DOMAINS)
    for i, task in enumerate(TASKS):
        seen = observed[:, i]
        got = exact.measure(task, logits[seen, i], labels[seen, i], weights[seen])
        assert got == want["tasks"][task.name]


@given(st.integers(1, 30), st.integers(1, 30))
def test_one_score_for_all_ranks_by_chance(positives, negatives):
    labels = np.r_[np.ones(positives), np.zeros(negatives)]
    scores = np.full(len(labels), 0.3)
    assert curves.auc_roc(scores, labels) == 0.5
    rate = positives / len(labels)
    assert curves.auc_pr(scores, labels) == pytest.approx(rate)
    logit = np.full(len(labels), np.log(positives / negatives))
    sums = exact.Sums.of(logit, labels, np.ones(len(labels)))
    assert sums.normalised_entropy() == pytest.approx(1)
    assert sums.calibration() == pytest.approx(1)


def test_a_report_is_plain_and_needs_neither_weights_nor_one_domain():
    logits, labels, observed, weights, _ = many(50)
    report = exact.report(logits, labels, observed, None, None, TASKS, ("all",))
    assert json.loads(json.dumps(report)) == report
    assert report["domains"]["all"] == report["tasks"]
    assert report["examples"] == 50
    assert "macro" not in report
    ones = exact.report(
        logits, labels, observed, np.ones_like(weights), None, TASKS, ("all",)
    )
    assert ones == report
    with pytest.raises(ValueError, match="Metrics of 2 domains"):
        exact.report(logits, labels, observed, None, None, TASKS, DOMAINS)
