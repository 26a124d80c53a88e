"""Steps of one domain, penalties, frozen parameters: each against the plain step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.training import TINY, check_resume

from ple_jax import config, models, weightings
from ple_jax.config.experiment import Inputs, Train
from ple_jax.data.loader import Loader
from ple_jax.embeddings.tables import Tables
from ple_jax.embeddings.updates import row_updates
from ple_jax.optim import dense
from ple_jax.runs.directory import Run
from ple_jax.train import one_domain, progress
from ple_jax.train.step import Step
from ple_jax.train.trainer import trainer_of
from ple_jax.types import path_names
from ple_jax.weightings import Weighting

T, N, B = 2, 3, 24
SMALL = {"expert_dims": (7,), "tower_dims": ()}
PAIRS = SMALL | {"groups": "tasks_domains"}
STAR = {"dims": (7,), "auxiliary_dims": (3,), "domain_dim": 2}
APART = {  # models of which a domain can be trained alone
    "star": STAR,
    "separate": SMALL,
    "mmoe": PAIRS | {"num_experts": 3},
    "cgc": PAIRS,
    "shared_bottom": PAIRS,
    "single_task": PAIRS,
}
TOGETHER = {  # models whose domains take part in each other's scores
    "ple": PAIRS | {"num_levels": 2},
    "cross_stitch": SMALL | {"groups": "domains"},
    "mulann": SMALL | {"discriminator_dims": (3,)},
}
SLUICE = {"width": 6, "num_layers": 1, "tower_dims": (), "orthogonality": 0.3}


@pytest.fixture(scope="module")
def data(prepared):
    sizes = {"examples": 500, "categorical": 2, "numeric": 3, "values": 7}
    return prepared("synthetic", **sizes, domains=N)


@pytest.fixture(scope="module")
def rows(data):
    """Four batches, and a function that gives each one domain."""
    batches = Loader(data.split("train"), B, 0).batches(0, 0, 4)

    def of(*numbers):
        first = jax.tree.map(lambda leaf: leaf[: len(numbers)], batches)
        number = np.repeat(np.array(numbers, np.int32)[:, None], B, axis=1)
        return first.replace(domain=number)

    return of


def parts_of(data, kind, options, weighting=None, **training):
    """The parts of a plain step."""
    model = models.build(kind, num_tasks=T, num_domains=N, **options)
    settings = Train(**{"learning_rate": 0.05} | training)
    rates = getattr(model, "rate_multipliers", {})
    tx = dense.make_optimizer(settings, 10, rates)
    tables = Tables(data.layout, Inputs(embedding_dim=3))
    weighting = weighting or weightings.build("fixed", weights=(1.0, 2.0))
    rate = dense.learning_rate(settings, 10)
    rows = row_updates(tables, settings, rate)
    return Step(model, tables, weighting, settings, tx, rows, 10)


def by_domain(parts):
    return parts.by_domain(parts.model.clone(num_domains=1))


@functools.cache
def compiled(parts):
    return jax.jit(parts.init), jax.jit(parts.steps)


def started(parts):
    return compiled(parts)[0]()


def stepped(parts, state, batches):
    """The state after a step on each of these batches."""
    return compiled(parts)[1](state, batches, len(batches.domain))[0]


def assert_close(a, b, rtol=1e-4, atol=1e-5):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), y in zip(
        jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True
    ):
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol, err_msg=name)


# Steps of one domain.


@pytest.mark.parametrize("kind", APART)
def test_sgd_on_one_domain_is_sgd_on_all(kind, data, rows):
    full = parts_of(data, kind, APART[kind], optimizer="sgd", clip_norm=1.0)
    lazy, start = by_domain(full), started(full)
    assert lazy.alone is not None
    batches = rows(2, 0, 2)
    want, got = (stepped(parts, start, batches) for parts in (full, lazy))
    assert int(got.step) == 3
    assert_close(got.trained, want.trained)
    assert_close(got.batch_stats, want.batch_stats)
    assert_close(got.stream.sums, want.stream.sums)
    counts = lambda state: state.stream.histogram.sum(axis=-1)
    np.testing.assert_array_equal(counts(got), counts(want))
    np.testing.assert_array_equal(counts(got)[:, 0].sum(axis=-1), [B, 0, 2 * B])
    moved = jax.tree.map(lambda a, b: np.any(a != b), got.trained, start.trained)
    assert all(jax.tree.leaves(moved))


@pytest.mark.parametrize("kind", APART)
def test_adam_on_one_domain_leaves_the_others_and_their_moments(kind, data, rows):
    full = parts_of(data, kind, APART[kind], average_decay=0.9)
    lazy, start = by_domain(full), started(full)
    (full_0, full_1), (lazy_0, lazy_1) = (
        of_two_steps(parts, start, rows(0), rows(1)) for parts in (full, lazy)
    )
    others = map(jax.tree.leaves, (lazy_0, full_1, full_0))
    for (path, leaf), before, plain, plain_0 in zip(
        jax.tree.leaves_with_path(lazy_1), *others, strict=True
    ):
        name = jax.tree_util.keystr(path)
        if one_domain.is_private(path):
            np.testing.assert_array_equal(leaf[[0, 2]], before[[0, 2]], name)
            assert np.any(leaf[1] != before[1]), name
            # The plain step goes on moving domain 0, by its moments.
            assert np.any(plain[0] != plain_0[0]), name
            leaf, plain = leaf[1], plain[1]
        np.testing.assert_allclose(leaf, plain, rtol=1e-4, atol=1e-5, err_msg=name)


def of_two_steps(parts, state, *batches):
    """What the optimizer moves, after each of two steps."""
    states = []
    for batch in batches:
        state = stepped(parts, state, batch)
        kept = {n: getattr(state, n) for n in ("trained", "average", "opt_state")}
        states.append(jax.tree.map(np.asarray, kept))
    return states


@pytest.mark.parametrize("kind", TOGETHER)
def test_domains_that_need_each_other_are_trained_together(kind, data):
    full = parts_of(data, kind, TOGETHER[kind])
    assert by_domain(full) is full
    experiment = config.from_dict(
        {
            "model": {"kind": kind, **TOGETHER[kind]},
            "train": {"sampling": "one_domain", "batch_size": B, "learning_rate": 0.02},
        }
    )
    trainer = trainer_of(experiment, data.layout)
    loader = Loader(data.split("train"), B, 0, sampling="one_domain")
    batches, state = loader.batches(0, 0, 8), trainer.init()
    losses = []
    for _ in range(8):  # the same batches again and again
        before = np.asarray(state.stream.sums)
        state, _ = trainer.steps(state, batches, 8)
        losses.append((np.asarray(state.stream.sums) - before)[..., 1].sum())
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.9 * losses[0]


# Penalties that a model sows.


@pytest.mark.parametrize(
    ("kind", "options", "reversed_names"),
    [
        ("sluice", SLUICE, ()),
        (
            "mulann",
            TOGETHER["mulann"] | {"discriminator_weight": 0.7},
            ("bottom", "tables"),
        ),
    ],
)
def test_gradients_are_those_of_losses_and_penalties(
    kind, options, reversed_names, data, rows
):
    """Along the gradient of each parameter; mulann's features have -1 times theirs."""
    parts = parts_of(data, kind, options)
    batch = jax.tree.map(lambda leaf: leaf[0], rows(1))
    batch = batch.replace(domain=np.arange(B, dtype=np.int32) % N)
    state, key = started(parts), jax.random.key(0)
    grads = jax.jit(parts.gradients)(state, batch, key)[0]

    @jax.jit
    def both(trained):
        (each, penalties), _ = parts.losses(trained, state, batch, key)
        return jnp.stack([each @ jnp.array([1.0, 2.0]), sum(penalties)])

    leaves, tree = jax.tree.flatten(state.trained)
    assert both(state.trained)[1] > 0.01
    for i, (path, grad) in enumerate(jax.tree.leaves_with_path(grads)):
        size, step = np.linalg.norm(grad), 3e-4
        moved = lambda by, i=i, along=grad / size: both(
            tree.unflatten([*leaves[:i], leaves[i] + by * along, *leaves[i + 1 :]])
        )
        loss, penalty = (moved(step) - moved(-step)) / (2 * step)
        sign = 1 if set(reversed_names).isdisjoint(path_names(path)) else -1
        name = jax.tree_util.keystr(path)
        assert loss + sign * penalty == pytest.approx(size, rel=0.02, abs=2e-3), name


@pytest.mark.parametrize(
    ("kind", "options"), [("sluice", SLUICE), ("mulann", TOGETHER["mulann"])]
)
def test_a_merge_gets_each_tasks_own_gradients_and_the_penalty_once(
    kind, options, data, rows
):
    fixed = weightings.build("fixed", weights=(1.0, 3.0))

    def merge(memory, losses, grads):
        weigh = lambda g: jnp.einsum("t,t...->...", memory, g)
        return jax.tree.map(weigh, grads), losses

    merging = Weighting(fixed.init, fixed.combine, merge)
    plain, merged = (parts_of(data, kind, options, w) for w in (fixed, merging))
    batch = jax.tree.map(lambda leaf: leaf[0], rows(1))
    state, key = started(plain), jax.random.key(0)
    want = jax.jit(plain.gradients)(state, batch, key)[0]
    got, seen, _ = jax.jit(merged.gradients)(state, batch, key)
    assert_close(got, want)
    (each, penalties), _ = jax.jit(plain.losses)(state.trained, state, batch, key)
    np.testing.assert_allclose(seen, each, rtol=1e-5)
    assert len(penalties) > 0


# Which parameters move, and how far.


@pytest.mark.parametrize("sampling", ["natural", "one_domain"])
def test_only_private_parameters_move_where_only_they_shall(sampling, data, rows):
    options = {"weight_decay": 0.1, "average_decay": 0.9, "only": ("private",)}
    parts = parts_of(data, "star", STAR, **options)
    parts = by_domain(parts) if sampling == "one_domain" else parts
    start = started(parts)
    state = stepped(parts, start, rows(0, 1, 2, 0))
    for kept in ("trained", "average"):
        before, after = (getattr(s, kept) for s in (start, state))
        for (path, a), b in zip(
            jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True
        ):
            moved = np.any(a != b)
            assert moved == one_domain.is_private(path), jax.tree_util.keystr(path)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("sluice", SLUICE), ("cross_stitch", TOGETHER["cross_stitch"])],
)
def test_stitch_rate_multiplies_the_steps_of_stitches(kind, options, data, rows):
    def moves(rate):
        chosen = options | {"stitch_rate": rate}
        parts = parts_of(data, kind, chosen, optimizer="sgd")
        start = started(parts)
        after = stepped(parts, start, rows(1))
        return jax.tree.map(jnp.subtract, after.trained, start.trained)

    plain, fast = moves(1.0), moves(8.0)
    stitches = 0
    for (path, one), eight in zip(
        jax.tree.leaves_with_path(plain), jax.tree.leaves(fast), strict=True
    ):
        if path_names(path)[-1] == "stitch":
            stitches += 1
            np.testing.assert_allclose(eight, 8 * one, rtol=1e-3, atol=1e-6)
            assert np.any(one != 0)
        else:
            np.testing.assert_array_equal(eight, one)
    assert stitches > 0


# The whole run.


@pytest.mark.parametrize("sampling", ["one_domain", "balanced"])
def test_a_stopped_star_resumes_to_the_same_bits(sampling, data, tmp_path, monkeypatch):
    options = {"sampling": sampling, "average_decay": 0.9, "epochs": 2}
    tree = TINY | {
        "model": {"kind": "star", **STAR},
        "train": TINY["train"] | {"batch_size": B} | options,
    }
    check_resume(config.from_dict(tree), data, tmp_path, monkeypatch, dispatches=6)


def test_another_way_of_sampling_cannot_resume_a_run(data):
    """Even where experiment.toml itself was changed."""
    of = lambda **options: progress.identity(
        [Run(None, config.from_dict({"train": options}), data)]
    )
    assert of() != of(sampling="one_domain")
    assert of(sampling="balanced") != of(sampling="balanced", temperature=3.0)


# Mistakes.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.5}, "train.temperature must be at least 1, got 0.5"),
        ({"temperature": float("nan")}, "temperature must be at least 1, got nan"),
        ({"sampling": "one_domian"}, "Did you mean 'one_domain'"),
        ({"sampling": "balance"}, "Did you mean 'balanced'"),
        ({"only": "private"}, "train.only: expected a list of str"),
    ],
)
def test_wrong_ways_of_sampling_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        config.from_dict({"train": options})


def test_an_infinite_temperature_can_be_written_down(tmp_path):
    path = tmp_path / "experiment.toml"
    experiment = config.from_dict({"train": {"temperature": float("inf")}})
    path.write_text(config.to_toml(experiment))
    assert config.from_dict(config.load(path)) == experiment


@pytest.mark.parametrize("sampling", ["natural", "one_domain"])
@pytest.mark.parametrize(
    ("kind", "only", "message"),
    [
        ("star", ["private", "sahred"], "'sahred' is not .* Did you mean 'shared'"),
        ("star", ["privat"], "'privat' is not .* Did you mean 'private'"),
        ("mmoe", ["private"], "'private' is not a known name .* Known: .*towers"),
    ],
)
def test_a_name_that_no_parameter_has_is_an_error(sampling, kind, only, message, data):
    options = {"sampling": sampling, "only": only}
    experiment = config.from_dict({"model": {"kind": kind}, "train": options})
    with pytest.raises(ValueError, match=message):
        trainer_of(experiment, data.layout).init()
