"""Differences of models on the same rows, against DeLong's sums in loops."""

import math

import numpy as np
import pytest
from scipy import stats

from ple_jax.metrics import intervals
from ple_jax.metrics.intervals import Influence, of_headline
from ple_jax.metrics.paired import Difference, gain, is_sure, turned
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


def test_turned_is_the_gain_of_the_other():
    a, b = [0.71, 0.74, 0.72], [0.70, 0.69, 0.71]
    there, back = gain("binary", a, b), gain("binary", b, a)
    for name, ends in turned(there).items():
        assert ends == (None if back[name] is None else pytest.approx(back[name]))
    assert turned(turned(there)) == there
    assert not any(turned(gain("binary", [None], [0.7])).values())


# How sure: p-values, unlike numbers of seeds, and what intervals hold.


def test_the_p_value_is_where_the_interval_ends_at_zero():
    for of_rows, of_seeds in ((0.3, None), (None, 0.2), (0.3, 0.2)):
        found = Difference(-0.5, of_rows, of_seeds, 4)
        p = found.p_value()
        assert found.halves(p)[2] == pytest.approx(0.5)
    assert Difference(0.6, 0.3, None).p_value() == pytest.approx(0.0455, abs=1e-4)
    by_t = stats.ttest_1samp([0.1, 0.3, 0.2], 0).pvalue
    assert gain("binary", [0.6, 0.8, 0.7], [0.5] * 3)["p_value"] == pytest.approx(by_t)
    assert Difference(0.0, 0.0, None).p_value() == 1
    assert Difference(1.0, 0.0, None).p_value() < 1e-40
    assert Difference(1.0, None, None).p_value() is None
    assert gain("binary", [0.6], [0.5])["p_value"] is None


@pytest.mark.parametrize("mean", [0.0, 0.011, -0.023, 0.04])
def test_a_p_value_is_below_5_percent_just_where_the_interval_leaves_out_0(mean):
    for error in (0.0035, 0.0039, 0.0041, 0.0079, 0.0081, 0.02):
        found = Difference(mean, error, 0.003, 2)
        assert (found.p_value() < 0.05) == (abs(mean) > found.halves(0.05)[2])


def test_unlike_numbers_of_seeds_are_welchs():
    a, b = [0.71, 0.74, 0.72, 0.79, 0.73], [0.70, 0.69, 0.72]
    found = gain("binary", a, b)
    wanted = stats.ttest_ind(a, b, equal_var=False)
    assert found["p_value"] == pytest.approx(wanted.pvalue)
    assert found["interval"] == pytest.approx(list(wanted.confidence_interval()))


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0, 3.0])
def test_intervals_of_gains_hold_the_truth_as_often_as_they_say(ratio):
    """Seeds of deviation 1, and a shift of all by the rows that were drawn."""
    rng, truth, draws, held = np.random.default_rng(7), 0.1, 4000, 0
    of_rows = ratio * math.sqrt(2 / 5)
    for i in range(draws):
        a, b = rng.normal(truth, size=5), rng.normal(size=5)
        found = Difference.of(list(a + rng.normal() * of_rows), list(b), of_rows)
        half = found.halves(0.05)[2]
        holds = abs(found.mean - truth) <= half
        held += holds
        if i < 400:  # of two equal models, one wins where the truth is missed
            equal = found._replace(mean=found.mean - truth)
            assert (equal.p_value() < 0.05) != holds
    assert 0.94 <= held / draws <= 0.97


@pytest.mark.parametrize("has_users", [False, True])
def test_intervals_over_rows_hold_the_true_gain_of_an_auc(has_users):
    """Two scores of one latent truth; the gain of many rows is the true one."""
    rng = np.random.default_rng(3)

    def draw(users):
        tilt = np.repeat(rng.normal(size=users), 3) if has_users else 0.0
        y = np.repeat(rng.random(users) < 0.4, 3) if has_users else rng.random(users)
        y = np.float64(y) if has_users else np.float64(y < 0.4)
        common = y + tilt + rng.normal(size=len(y))
        scores = (common + s * rng.normal(size=len(y)) for s in (0.6, 1.2))
        user = np.repeat(np.arange(users), 3) if has_users else None
        return [of_headline(CLICK, z, y, np.ones_like(y), user) for z in scores]

    first, second = draw(300_000)
    truth, held = first.value - second.value, 0
    for _ in range(400):
        better, other = draw(180)
        ends = gain("binary", [better.value], [other.value], ([better], [other]))
        held += ends["interval"][0] <= truth <= ends["interval"][1]
    assert 0.93 <= held / 400 <= 0.97
