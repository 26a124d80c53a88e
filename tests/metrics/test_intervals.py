"""Standard errors against their papers' sums in loops, and against real draws."""

import math

import numpy as np
import pytest
from lib.scored import DOMAINS, TASKS, many
from sklearn import metrics as sk

from ple_jax.metrics import exact, intervals
from ple_jax.metrics.curves import grouped_auc
from ple_jax.schema import Task

CLICK, TIME = Task("click"), Task("time", loss="squared")


def rows(count=61, users=17, seed=0):
    """Tied scores, labels, weights, and users of unequal numbers of rows."""
    rng = np.random.default_rng(seed)
    user = np.sort(rng.integers(0, users, count)) * 1000
    taste = rng.normal(size=users)[user // 1000]
    z = np.round(taste + rng.normal(size=count), 1)
    y = np.float64(rng.random(count) < 1 / (1 + np.exp(1 - z - taste)))
    return z, y, rng.choice([0.5, 1, 3], count), user


def kernel(positive, negative):
    return float(positive > negative) + 0.5 * (positive == negative)


def delong(z, y):
    """DeLong et al., 1988, equations 3 to 5, for one curve."""
    positives, negatives = z[y == 1], z[y == 0]
    v10 = [np.mean([kernel(p, n) for n in negatives]) for p in positives]
    v01 = [np.mean([kernel(p, n) for p in positives]) for n in negatives]
    auc = np.mean(v10)
    s10 = sum((v - auc) ** 2 for v in v10) / (len(v10) - 1)
    s01 = sum((v - auc) ** 2 for v in v01) / (len(v01) - 1)
    return math.sqrt(s10 / len(v10) + s01 / len(v01))


def obuchowski(z, y, user):
    """Obuchowski, 1997: sums of DeLong's components in each cluster."""
    positives, negatives = z[y == 1], z[y == 0]
    auc = np.mean([kernel(p, n) for p in positives for n in negatives])
    m, n = len(positives), len(negatives)
    s10 = s01 = s11 = 0.0
    with_p = with_n = 0
    users = sorted(set(user))
    for u in users:
        mine = user == u
        v10 = [np.mean([kernel(p, q) for q in negatives]) for p in z[mine & (y == 1)]]
        v01 = [np.mean([kernel(p, q) for p in positives]) for q in z[mine & (y == 0)]]
        a, b = sum(v10) - len(v10) * auc, sum(v01) - len(v01) * auc
        s10, s01, s11 = s10 + a * a, s01 + b * b, s11 + a * b
        with_p, with_n = with_p + bool(v10), with_n + bool(v01)
    s10 *= with_p / ((with_p - 1) * m)
    s01 *= with_n / ((with_n - 1) * n)
    s11 *= len(users) / (len(users) - 1)
    return math.sqrt(s10 / m + s01 / n + 2 * s11 / (m * n))


def test_of_one_example_a_user_an_auc_has_delongs_error():
    z, y, w, _ = rows()
    found = intervals.measure(CLICK, z, y, w)["auc_roc"]
    assert found["standard_error"] == pytest.approx(delong(z, y), rel=1e-12)


def test_by_user_an_auc_has_obuchowskis_error():
    z, y, w, user = rows()
    found = intervals.measure(CLICK, z, y, w, user)["auc_roc"]
    wanted = obuchowski(z, y, user)
    assert found["standard_error"] == pytest.approx(wanted, rel=1e-12)
    assert wanted != pytest.approx(delong(z, y), rel=1e-3)
    alone = intervals.measure(CLICK, z, y, w, np.arange(len(z)))["auc_roc"]
    assert alone == intervals.measure(CLICK, z, y, w)["auc_roc"]


def test_copies_of_a_users_row_tell_nothing_new():
    z, y, w, _ = rows()
    user, thrice = np.arange(61), lambda values: np.repeat(values, 3)
    found = intervals.measure(CLICK, *map(thrice, (z, y, w, user)))
    for name, once in intervals.measure(CLICK, z, y, w, user).items():
        assert found[name]["standard_error"] == pytest.approx(once["standard_error"])


def weighted(z, y, w, times):
    """Each binary metric where row i occurs `times[i]` times, a real number."""
    p = 1 / (1 + np.exp(-z))
    loss = np.average(-y * np.log(p) - (1 - y) * np.log(1 - p), weights=w * times)
    rate = np.average(y, weights=w * times)
    entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    return {
        "auc_pr": sk.average_precision_score(y, z, sample_weight=times),
        "log_loss": loss,
        "normalised_entropy": loss / entropy,
    }


@pytest.mark.parametrize("name", ["auc_pr", "log_loss", "normalised_entropy"])
def test_errors_are_of_slopes_by_each_users_weight(name):
    z, y, w, user = rows()
    squares, step = [], 1e-5
    for u in sorted(set(user)):
        ends = [
            weighted(z, y, w, 1 + sign * step * (user == u))[name] for sign in (1, -1)
        ]
        squares.append(((ends[0] - ends[1]) / (2 * step)) ** 2)
    wanted = math.sqrt(len(squares) / (len(squares) - 1) * sum(squares))
    found = intervals.measure(CLICK, z, y, w, user)[name]["standard_error"]
    assert found == pytest.approx(wanted, rel=1e-6)


def drawn(values_of, units, seed, draws=400):
    """The deviation of a metric over bootstrap draws of whole users."""
    rng, each = np.random.default_rng(seed), []
    places = {u: np.flatnonzero(units == u) for u in set(units)}
    names = sorted(places)
    for _ in range(draws):
        chosen = rng.choice(len(names), len(names))
        each.append(values_of(np.concatenate([places[names[i]] for i in chosen])))
    return np.std(each, axis=0, ddof=1)


def test_errors_are_those_of_a_bootstrap_of_users():
    z, y, w, user = rows(1009, users=331, seed=1)
    names = ["auc_roc", "calibration"]
    p = 1 / (1 + np.exp(-z))

    def values_of(i):
        ratio = (w[i] * p[i]).sum() / (w[i] * y[i]).sum()
        return [sk.roc_auc_score(y[i], z[i]), ratio]

    found = intervals.measure(CLICK, z, y, w, user)
    errors = [found[name]["standard_error"] for name in names]
    # The deviation of 400 draws is known within 1 / sqrt(800) = 3.5 %, twice over.
    np.testing.assert_allclose(errors, drawn(values_of, user, 2), rtol=0.09)


def test_errors_of_squared_losses_are_those_of_a_bootstrap():
    z, y, w, user = rows(2003, users=331, seed=3)
    y = z + np.random.default_rng(4).gamma(2, size=len(z))
    mse = lambda i: np.average((z[i] - y[i]) ** 2, weights=w[i])
    found = intervals.measure(TIME, z, y, w, user)
    errors = [found[name]["standard_error"] for name in ("mse", "rmse")]
    wanted = drawn(lambda i: [mse(i), mse(i) ** 0.5], user, 5)
    np.testing.assert_allclose(errors, wanted, rtol=0.09)


def test_the_error_of_grouped_auc_is_that_of_a_bootstrap():
    z, y, w, user = rows(2003, users=331, seed=6)

    def grouped(i):  # a user that is drawn twice in a row would be one, so number them
        return [grouped_auc(z[i], y[i], np.cumsum(np.r_[True, i[1:] != i[:-1] + 1]))]

    found = intervals.measure(CLICK, z, y, w, user)["grouped_auc"]
    wanted = drawn(grouped, user, 7)
    np.testing.assert_allclose([found["standard_error"]], wanted, rtol=0.09)


def test_most_intervals_hold_the_truth():
    rng, held, many_times = np.random.default_rng(8), 0, 400
    truth = 0.5 * (1 + math.erf(0.5))  # P(N(1, 1) > N(0, 1))
    y = np.r_[np.ones(23), np.zeros(97)]
    for _ in range(many_times):
        z = rng.normal(y, 1)
        low, high = intervals.measure(CLICK, z, y, np.ones(120))["auc_roc"]["interval"]
        held += low < truth < high
    assert 0.92 < held / many_times < 0.98


def test_a_report_has_an_error_for_each_metric_but_the_calibration_error():
    arrays = many(701)
    user = np.arange(701) % 29
    found = intervals.report(*arrays, TASKS, DOMAINS, user=user)
    values = exact.report(*arrays, TASKS, DOMAINS, user=user)
    assert (found["over"], found["number"], found["confidence"]) == ("users", 29, 0.95)
    assert intervals.report(*arrays, TASKS, DOMAINS)["over"] == "examples"
    assert list(found["domains"]) == list(DOMAINS)
    for where, measured in {"": values["tasks"], **values["domains"]}.items():
        errors = found["domains"][where] if where else found["tasks"]
        for task, metrics in measured.items():
            named = {k for k, v in metrics.items() if not isinstance(v, int)}
            assert set(errors[task]) == named - {"calibration_error"}
            for name, error in errors[task].items():
                low, high = error["interval"]
                assert low < metrics[name] < high
    assert found["domains"]["shop"] != found["domains"]["home"]


@pytest.mark.parametrize("users", [None, np.zeros(5, int), np.arange(5)])
@pytest.mark.parametrize("labels", [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
def test_what_is_undefined_has_no_error(users, labels):
    found = intervals.measure(
        CLICK, np.array([3.0, 2, 1, 1, 0]), np.array(labels), np.ones(5), users
    )
    perfect = found["auc_roc"]
    assert perfect == {"standard_error": None, "interval": None} or (
        perfect == {"standard_error": 0, "interval": None}
    )
    assert found["auc_pr"]["interval"] is None


@pytest.mark.parametrize("task", [CLICK, TIME])
def test_no_rows_have_no_errors(task):
    found = intervals.measure(task, *(np.zeros(0) for _ in range(4)))
    assert {str(error) for error in found.values()} == {
        "{'standard_error': None, 'interval': None}"
    }
