"""Differences of models on the same rows, against DeLong's sums in loops."""

import math

import numpy as np
import pytest
from scipy import stats

from ple_jax.metrics import intervals
from ple_jax.metrics.intervals import Influence, of_headline
from ple_jax.metrics.paired import gain, is_sure, p_value
from ple_jax.metrics.spread import spread
from ple_jax.schema import Task

CLICK, TIME = Task("click"), Task("time", loss="squared")
Z = 1.959963984540054  # of 95 %


def rows(count=67, seed=0):
    """Scores of two models, which are alike, with ties, and labels."""
    rng = np.random.default_rng(seed)
    y = np.float64(rng.random(count) < 0.4)
    good = y + rng.normal(size=count)
    z = np.round(good, 1), np.round(good + rng.normal(size=count) / 2, 1)
    return *z, y, rng.choice([0.5, 1, 3], count), rng.integers(0, 19, count)


def placements(z, y, user):
    """DeLong's components V of each positive and negative, less AUC, with its user."""
    p, n = z[y == 1], z[y == 0]
    kernel = lambda a, b: float(a > b) + 0.5 * (a == b)
    v10 = [np.mean([kernel(a, b) for b in n]) for a in p]
    v01 = [np.mean([kernel(a, b) for a in p]) for b in n]
    auc = np.mean(v10)
    pairs = zip(user[y == 1], np.array(v10) - auc, strict=True)
    others = zip(user[y == 0], np.array(v01) - auc, strict=True)
    return auc, list(pairs), list(others)


def error_of_difference(first, second, y, user):
    """Obuchowski, 1997, for a contrast of two curves; DeLong's of one row a user."""
    (_, p1, n1), (_, p2, n2) = (placements(z, y, user) for z in (first, second))
    a, b = {u: 0.0 for u in user}, {u: 0.0 for u in user}
    for (u, x), (_, other) in zip(p1, p2, strict=True):
        a[u] += (x - other) / len(p1)
    for (u, x), (_, other) in zip(n1, n2, strict=True):
        b[u] += (x - other) / len(n1)
    f = lambda users: (n := len({*users})) / (n - 1)
    sums = [sum(of[u] * to[u] for u in a) for of, to in ((a, a), (b, b), (a, b))]
    factors = f(u for u, _ in p1), f(u for u, _ in n1), f(user)
    return math.sqrt(
        factors[0] * sums[0] + factors[1] * sums[1] + 2 * factors[2] * sums[2]
    )


@pytest.mark.parametrize("has_users", [False, True])
def test_a_difference_of_aucs_has_delongs_paired_error(has_users):
    first, second, y, w, user = rows()
    user = user if has_users else np.arange(len(y))
    one, two = (
        of_headline(CLICK, z, y, w, user if has_users else None)
        for z in (first, second)
    )
    wanted = error_of_difference(first, second, y, user)
    assert one.less(two).standard_error() == pytest.approx(wanted, rel=1e-10)
    apart = math.hypot(one.standard_error(), two.standard_error())
    assert wanted < 0.7 * apart  # or else pairs would not matter
    found = gain("binary", [one.value], [two.value], ([one], [two]))
    d = placements(first, y, user)[0] - placements(second, y, user)[0]
    assert found["mean"] == pytest.approx(d)
    assert found["interval"] == pytest.approx([d - Z * wanted, d + Z * wanted])
    assert (found["over_rows"], found["over_seeds"]) == (found["interval"], None)


@pytest.mark.parametrize("task", [CLICK, TIME])
def test_the_influences_of_one_number_give_its_own_error(task):
    z, _, y, w, user = rows()
    name = "auc_roc" if task is CLICK else "rmse"
    wanted = intervals.measure(task, z, y, w, user)[name]["standard_error"]
    found = of_headline(task, z, y, w, user)
    assert found.standard_error() == pytest.approx(wanted, rel=1e-12)
    assert found.less(found).standard_error() == 0


def test_seeds_and_rows_both_count():
    first, second, y, w, _ = rows()
    rng = np.random.default_rng(1)
    noise = lambda z: [z + rng.normal(size=len(z)) / 9 for _ in range(3)]
    sides = [
        [of_headline(CLICK, z, y, w) for z in noise(model)] for model in (first, second)
    ]
    a, b = ([one.value for one in side] for side in sides)
    found = gain("binary", a, b, tuple(sides))
    seeds = spread([x - y for x, y in zip(a, b, strict=True)])
    assert found["over_seeds"] == pytest.approx(seeds["interval"])
    means = [Influence.of_mean(side) for side in sides]
    halves = {
        name: (found[name][1] - found[name][0]) / 2
        for name in ("over_rows", "over_seeds", "interval")
    }
    assert halves["over_rows"] == pytest.approx(
        Z * means[0].less(means[1]).standard_error()
    )
    both = math.hypot(halves["over_rows"], halves["over_seeds"])
    assert halves["interval"] == pytest.approx(both)


def test_a_lower_error_is_ahead_and_one_seed_meets_each():
    z, _, y, w, _ = rows()
    good, bad = of_headline(TIME, y + z / 9, y, w), of_headline(TIME, y + z, y, w)
    found = gain("squared", [good.value], [bad.value], ([good], [bad]))
    assert found["mean"] == pytest.approx(bad.value - good.value)
    assert is_sure(found)
    assert not is_sure(gain("squared", [bad.value], [good.value], ([bad], [good])))
    assert gain("binary", [0.9], [0.7, 0.8])["mean"] == pytest.approx(0.15)
    nothing = gain("binary", [None], [0.7])
    assert not any(nothing.values())
    assert not is_sure(nothing)


@pytest.mark.parametrize("mean", [0.0, 0.011, -0.023, 0.04])
def test_a_p_value_is_below_5_percent_just_where_the_interval_leaves_out_0(mean):
    for half in (0.0105, 0.0109, 0.0111, 0.0229, 0.0231, 0.05):
        found = {"mean": mean, "interval": [mean - half, mean + half]}
        assert (p_value(found) < 0.05) == (abs(mean) > half)
    assert p_value({"mean": mean, "interval": None}) is None


def test_a_p_value_is_that_of_the_normal_distribution():
    found = {"mean": 0.3, "interval": [0.3 - 1.959964 * 0.2, 0.3 + 1.959964 * 0.2]}
    assert p_value(found) == pytest.approx(2 * stats.norm.sf(1.5), rel=1e-6)
    assert p_value({"mean": 0.0, "interval": [0.0, 0.0]}) == 1
    assert p_value({"mean": 0.1, "interval": [0.1, 0.1]}) == 0
