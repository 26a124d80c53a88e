"""Weightings of gradients against independent solvers, and closed forms at T = 2."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from ple_jax import weightings
from ple_jax.weightings import Now

SEEDS = range(3)
P = 11  # parameters
SOLVED = ["aligned", "cagrad", "equal", "imtl_g", "mgda", "nash", "pcgrad", "upgrad"]


def gradients(num_tasks, seed):
    """Of different lengths; all in conflict if the seed is odd."""
    rng = np.random.default_rng(100 * num_tasks + seed)
    grads = rng.normal(size=(num_tasks, P))
    grads -= 0.8 * (seed % 2) * grads.mean(axis=0)
    return grads * rng.uniform(0.2, 3, (num_tasks, 1))


def now_of(seen, key=0):
    return Now(jnp.int32(0), jnp.int32(0), jax.random.key(key), jnp.array(seen))


def weights_of(kind, grads, losses=None, seen=None, key=0, **options):
    """The weights (T,) of a first step, in float64."""
    count = len(grads)
    weighting = weightings.build(kind, **options)
    memory = weighting.init(count)[1]
    losses = np.ones(count) if losses is None else losses
    now = now_of([True] * count if seen is None else seen, key)
    gram = jnp.asarray(grads @ grads.T, jnp.float32)
    found, _ = jax.jit(weighting.weigh)(memory, jnp.float32(losses), gram, now)
    return np.asarray(found, np.float64)


def least_on_simplex(function, count):
    """By SciPy, from the middle and from every corner."""
    ends = 0.98 * np.eye(count) + 0.02 / count
    found = [
        optimize.minimize(
            function,
            start,
            method="SLSQP",
            bounds=[(0, 1)] * count,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            options={"ftol": 1e-12, "maxiter": 500},
        )
        for start in [np.full(count, 1 / count), *ends]
    ]
    return min(each.fun for each in found)


def check_weights(w):
    assert (w >= -1e-6).all()
    np.testing.assert_allclose(w.sum(), 1, rtol=1e-5)


@pytest.mark.parametrize("num_tasks", [2, 3, 7])
@pytest.mark.parametrize("seed", SEEDS)
def test_mgda_finds_the_shortest_combination(num_tasks, seed):
    grads = gradients(num_tasks, seed)
    w = weights_of("mgda", grads)
    check_weights(w)
    square = lambda w: np.sum((w @ grads) ** 2)
    size = np.mean(np.sum(grads**2, axis=1))
    assert square(w) <= least_on_simplex(square, num_tasks) + 1e-3 * size
    if num_tasks == 2:
        a, b = grads
        t = np.clip((b - a) @ b / ((a - b) @ (a - b)), 0, 1)
        np.testing.assert_allclose(w, [t, 1 - t], atol=1e-5)


def test_mgda_scales_gradients_first():
    grads, losses = gradients(3, 1), np.array([0.5, 2.0, 3.0])
    length = np.linalg.norm(grads, axis=1)
    for scale, by in (("norm", length), ("loss", losses), ("both", length * losses)):
        w = weights_of("mgda", grads, losses, scale=scale)
        wanted = weights_of("mgda", grads / by[:, None]) / by
        np.testing.assert_allclose(w, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("num_tasks", [2, 3, 7])
@pytest.mark.parametrize("seed", SEEDS)
def test_cagrad_helps_the_worst_task_most(num_tasks, seed):
    """Against the dual, and the primal's constraint and value."""
    grads, c = gradients(num_tasks, seed), 0.6
    mean = grads.mean(axis=0)
    d = weights_of("cagrad", grads, c=c) @ grads
    radius = c * np.linalg.norm(mean)
    np.testing.assert_allclose(np.linalg.norm(d - mean), radius, rtol=1e-3)
    dual = lambda w: w @ grads @ mean + radius * np.linalg.norm(w @ grads)
    best = least_on_simplex(dual, num_tasks)
    assert (grads @ d).min() >= best - 2e-3 * np.linalg.norm(mean) ** 2
    np.testing.assert_allclose(
        weights_of("cagrad", grads, c=0.0), 1 / num_tasks, rtol=1e-5
    )


@pytest.mark.parametrize("num_tasks", [2, 3, 7])
def test_pcgrad_is_algorithm_1(num_tasks):
    grads = gradients(num_tasks, 1)
    keys = jax.random.split(jax.random.key(5), num_tasks)
    wanted = np.zeros(P)
    for k, key in enumerate(keys):
        own = grads[k].copy()
        for j in np.asarray(jax.random.permutation(key, num_tasks)):
            if j != k and own @ grads[j] < 0:
                own -= own @ grads[j] / (grads[j] @ grads[j]) * grads[j]
        wanted += own
    got = weights_of("pcgrad", grads, key=5) @ grads
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    assert not np.allclose(got, grads.sum(axis=0))


@pytest.mark.parametrize("num_tasks", [2, 3, 7])
@pytest.mark.parametrize("seed", SEEDS)
def test_imtl_g_has_equal_projections(num_tasks, seed):
    grads = gradients(num_tasks, seed)
    w = weights_of("imtl_g", grads)
    np.testing.assert_allclose(w.sum(), 1, rtol=1e-4)
    length = np.linalg.norm(grads, axis=1)
    onto = grads @ (w @ grads) / length
    np.testing.assert_allclose(onto, onto.mean(), rtol=5e-3)
    if num_tasks == 2:
        np.testing.assert_allclose(w, length[::-1] / length.sum(), rtol=1e-4)


@pytest.mark.parametrize("num_tasks", [2, 3, 7])
@pytest.mark.parametrize("seed", SEEDS)
def test_nash_weights_solve_the_bargaining(num_tasks, seed):
    grads = gradients(num_tasks, seed)
    w = weights_of("nash", grads)
    assert (w > 0).all()
    np.testing.assert_allclose(w * (grads @ grads.T @ w), 1, rtol=2e-3)
    if num_tasks == 2:
        length = np.linalg.norm(grads, axis=1)
        cosine = grads[0] @ grads[1] / length.prod()
        wanted = 1 / (length * np.sqrt(1 + cosine))
        np.testing.assert_allclose(w, wanted, rtol=1e-3)


@pytest.mark.parametrize("num_tasks", [2, 3, 7])
@pytest.mark.parametrize("scale", ["min", "median", "rmse"])
def test_aligned_gradients_are_orthogonal(num_tasks, scale):
    grads = gradients(num_tasks, 1)
    left, sizes, right = np.linalg.svd(grads, full_matrices=False)
    of = {
        "min": sizes.min(),
        "median": np.sqrt(np.median(sizes**2)),
        "rmse": np.sqrt(np.mean(sizes**2)),
    }
    wanted = of[scale] * (left @ right).sum(axis=0)
    got = weights_of("aligned", grads, scale=scale) @ grads
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("num_tasks", [2, 3, 7])
@pytest.mark.parametrize("seed", SEEDS)
def test_upgrad_projects_onto_what_harms_no_task(num_tasks, seed):
    grads = gradients(num_tasks, seed)
    wanted = np.zeros(P)
    for own in grads:
        more, _ = optimize.nnls(grads.T, -own)
        wanted += (own + more @ grads) / num_tasks
    got = weights_of("upgrad", grads) @ grads
    np.testing.assert_allclose(got, wanted, rtol=2e-3, atol=2e-3)
    if num_tasks == 2:
        of_pcgrad = weights_of("pcgrad", grads) @ grads
        np.testing.assert_allclose(got, of_pcgrad / 2, rtol=1e-4, atol=1e-5)


def test_equal_gradients_have_the_mean_length():
    grads = gradients(3, 0)
    length = np.linalg.norm(grads, axis=1)
    wanted = length.mean() / length
    np.testing.assert_allclose(weights_of("equal", grads), wanted, rtol=1e-5)
    np.testing.assert_allclose(weights_of("equal", grads, scale="tasks"), 1 / 3)


def test_gradnorm_follows_the_slope_of_its_loss():
    """Four steps by hand; the first task has no labels in the second."""
    alpha, rate = 0.8, 0.1
    weighting = weightings.build("gradnorm", alpha=alpha, learning_rate=rate)
    memory, rng = weighting.init(3)[1], np.random.default_rng(0)
    w, first = np.ones(3), np.zeros(3)
    for step in range(4):
        seen = np.array([step != 1, True, True])
        grads = gradients(3, step) * seen[:, None]
        losses = rng.uniform(0.2, 2, 3) * seen
        gram = jnp.asarray(grads @ grads.T, jnp.float32)
        got, memory = weighting.weigh(memory, jnp.float32(losses), gram, now_of(seen))
        np.testing.assert_allclose(got, w, rtol=1e-4)
        first = np.where(first > 0, first, losses)
        length = np.linalg.norm(grads, axis=1)
        pace = (losses / first)[seen]
        target = (w * length)[seen].mean() * (pace / pace.mean()) ** alpha
        slope = np.zeros(3)
        slope[seen] = length[seen] * np.sign((w * length)[seen] - target)
        w = np.maximum(w - rate * slope, 1e-3)
        w *= 3 / w.sum()
    assert np.ptp(w) > 0.1


@pytest.mark.parametrize("strategy", ["both", "shorten", "lengthen"])
def test_metabalance_brings_lengths_near_the_targets(strategy):
    options = {"relax": 0.6, "beta": 0.8, "strategy": strategy, "target": 1}
    weighting = weightings.build("metabalance", **options)
    memory, mean = weighting.init(3)[1], np.zeros(3)
    for step in range(4):
        seen = np.array([True, True, step != 1])
        grads = gradients(3, step) * seen[:, None]
        gram = jnp.asarray(grads @ grads.T, jnp.float32)
        got, memory = weighting.weigh(memory, jnp.ones(3), gram, now_of(seen))
        length = np.linalg.norm(grads, axis=1)
        mean = np.where(seen, 0.8 * mean + 0.2 * length, mean)
        ratio = mean[1] / mean
        if strategy != "both":
            ratio = {"shorten": np.minimum, "lengthen": np.maximum}[strategy](ratio, 1)
        np.testing.assert_allclose(got, 0.6 * ratio + 0.4, rtol=1e-4)
    assert got[1] == 1


@pytest.mark.parametrize("kind", SOLVED)
def test_a_task_without_labels_does_not_pull(kind):
    """The others weigh as if it did not exist; so does one without a gradient."""
    grads = gradients(3, 1)
    grads[1] = 0
    wanted = weights_of(kind, grads[[0, 2]])
    for seen in ((True, False, True), (True, True, True)):
        got = weights_of(kind, grads, seen=seen)
        np.testing.assert_allclose(got[[0, 2]], wanted, rtol=2e-3, atol=1e-4)
        assert got[1] == 0


@pytest.mark.parametrize("kind", SOLVED)
def test_gradients_that_depend_on_each_other_give_finite_weights(kind):
    a = gradients(2, 0)[0]
    for grads in (np.stack([a, a, a]), np.stack([a, -a]), np.stack([a, -2 * a, a])):
        for size in (1e-6, 1.0, 1e4):
            d = weights_of(kind, size * grads) @ grads
            assert np.isfinite(d).all()
            assert np.abs(d).max() < 1e7 * np.abs(a).max()


def test_mistakes_are_explained():
    for kind, options, message in [
        ("cagrad", {"c": 1.0}, r"weighting\.c must be in \[0, 1\)"),
        ("mgda", {"scale": "nrm"}, "Did you mean 'norm'"),
        ("metabalance", {"relax": 1.5}, "relax must be at most 1"),
        ("metabalance", {"beta": 1.0}, r"weighting\.beta must be in \[0, 1\)"),
        ("gradnorm", {"alpha": -1.0}, r"weighting\.alpha must be at least 0"),
        ("famo", {"decay": -1.0}, r"weighting\.decay must be at least 0"),
        ("dwa", {"temperature": 0.0}, r"weighting\.temperature must be at least"),
        ("rlw", {"distribution": "norml"}, "Did you mean 'normal'"),
    ]:
        with pytest.raises(ValueError, match=message):
            weightings.build(kind, **options)
    with pytest.raises(ValueError, match=r"below the number of tasks, 2, got 2"):
        weightings.build("metabalance", target=2).init(2)
