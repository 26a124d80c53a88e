"""Gradients of tasks: what is shared, and how the step merges them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import assert_close, random_like
from lib.small_models import SMALL, having
from lib.training import check_resume, tiny

from ple_jax import config, models, weightings
from ple_jax.config.experiment import Plugin
from ple_jax.data.loader import Loader
from ple_jax.parallel.mesh import make_mesh
from ple_jax.tasks import Task
from ple_jax.train import merging, vmapped
from ple_jax.train.sharing import smallest
from ple_jax.train.trainer import step_of
from ple_jax.weightings import Weighting

KEY = jax.random.key(0)
PLE = Plugin("ple", {"expert_dims": (7,), "tower_dims": (5,)})


def weighing(*weights, **options):
    """Constant weights of shared parameters."""
    weigh = lambda memory, losses, gram, now: (jnp.array(weights), memory)
    return Weighting(lambda tasks: ((), ()), weigh=weigh, **options)


def step_with(data, weighting, model=PLE, **sections):
    made = weightings.build(weighting) if isinstance(weighting, str) else weighting
    experiment = dataclasses.replace(tiny(**sections), model=model)
    step = step_of(experiment, data.layout, 10)
    parts = {f: getattr(step, f) for f in ("model", "tables", "train", "tx", "rows")}
    return type(step)(**parts, weighting=made, steps_per_epoch=10)


def batches_of(data, count=2):
    return Loader(data.split("train"), 64, 0).batches(0, 0, count)


def stepped(step, batches):
    """The state after a step on each of these batches."""
    count = len(batches.domain)
    return jax.jit(step.steps)(jax.jit(step.init)(), batches, count)[0]


def test_the_last_level_and_what_follows_is_private_to_tasks(data):
    """PLE of 2 tasks, with 2 experts each and 2 shared ones, at each of 2 levels."""
    step = step_with(data, "mgda")
    shared = step.shared(jax.eval_shape(step.init))["model"]
    first, last = (shared[f"level_{i}"] for i in range(2))
    assert first["experts"]["Dense_0"]["kernel"].all()
    # Gates of the tasks see 4 experts each; the shared gate's 6 columns come last.
    np.testing.assert_array_equal(first["gates"]["kernel"], [[False] * 8 + [True] * 6])
    own = last["experts"]["Dense_0"]["kernel"].ravel()
    np.testing.assert_array_equal(own, [False] * 4 + [True] * 2)
    assert not any(leaf.any() for leaf in jax.tree.leaves(last["gates"]))
    assert not any(leaf.any() for leaf in jax.tree.leaves(shared["towers"]))


def test_masks_are_as_small_as_they_can_be():
    mask = np.zeros((3, 5, 2), bool)
    mask[:, 1] = True
    np.testing.assert_array_equal(smallest(mask), mask[:1, :, :1])
    assert smallest(np.ones((3, 5), bool)).shape == (1, 1)


@pytest.mark.parametrize("kind", models.available())
def test_private_entries_are_read_by_one_task_alone(kind, prepared):
    """And shared ones by several: at random parameters, in every model."""
    data = prepared("synthetic", examples=1500, domains=3)
    step = step_with(data, "mgda", Plugin(kind, having(kind, SMALL)))
    state = jax.jit(step.init)()
    state = state.replace(trained=jax.tree.map(np.abs, random_like(state.trained)))
    batch = step.rows.with_touched_rows(batches_of(data, 1).at(0))
    losses_of = lambda trained: step.losses(trained, state, batch, KEY)
    slopes = jax.jit(lambda t: merging.task_gradients(losses_of, t)[1])(state.trained)
    shared = step.shared(state)
    for (path, slope), mask in zip(
        jax.tree.leaves_with_path(slopes), jax.tree.leaves(shared), strict=True
    ):
        readers = (np.asarray(slope) != 0).sum(axis=0)
        mask = np.broadcast_to(mask, readers.shape)
        name = jax.tree_util.keystr(path)
        assert (readers[~mask] <= 1).all(), name
        # Units may be closed for a task's examples, and rows not be in the batch.
        assert not mask.any() or (readers[mask] > 1).any(), name


def test_shared_entries_move_by_the_weights_and_private_ones_as_they_are(data):
    batch, weights = batches_of(data, 1).at(0), (2.0, 0.25)

    def gradients(weighting):
        step = step_with(data, weighting)
        state = jax.jit(step.init)()
        return jax.jit(step.gradients)(state, batch, KEY)[0], step.shared(state)

    fixed = lambda w: gradients(weightings.build("fixed", weights=w))[0]
    first, second, plain = fixed((1.0, 0.0)), fixed((0.0, 1.0)), fixed(())
    weigh = lambda a, b: weights[0] * a + weights[1] * b
    everywhere = jax.tree.map(weigh, first, second)
    assert_close(gradients(weighing(*weights, everywhere=True))[0], everywhere)
    got, shared = gradients(weighing(*weights))
    assert_close(got, jax.tree.map(np.where, shared, everywhere, plain))
    shared["tables"] = jax.tree.map(np.zeros_like, shared["tables"])
    got, _ = gradients(weighing(*weights, tables=False))
    assert_close(got, jax.tree.map(np.where, shared, everywhere, plain))


def test_the_gram_matrix_is_of_shared_entries(data):
    step = step_with(data, "mgda")
    state, batch = jax.jit(step.init)(), batches_of(data, 1).at(0)
    losses_of = lambda trained: step.losses(trained, state, batch, KEY)
    slopes = jax.jit(lambda t: merging.task_gradients(losses_of, t)[1])(state.trained)
    shared = step.shared(state)
    wanted = np.zeros((2, 2))
    for slope, mask in zip(
        jax.tree.leaves(slopes), jax.tree.leaves(shared), strict=True
    ):
        flat = np.float64(np.where(mask[None], slope, 0)).reshape(2, -1)
        wanted += flat @ flat.T
    grams = jax.tree.leaves(jax.tree.map(merging.gram, slopes, shared))
    np.testing.assert_allclose(sum(grams), wanted, rtol=1e-4)
    assert wanted[0, 1] != 0


def test_tasks_of_members_are_weighed_over_all_members(data):
    """By the Gram matrix of all members' gradients, each half of what it is alone."""
    weigh = lambda memory, losses, gram, now: (gram[0] / gram[0, 0], memory)
    weighting = Weighting(lambda tasks: ((), ()), weigh=weigh)
    several, one = (step_with(data, weighting, train={"members": m}) for m in (2, 1))
    state, batch = jax.jit(several.init)(), batches_of(data, 1).at(0)
    got, slopes = jax.jit(several.gradients)(state, batch, KEY)[0], []
    of_member = lambda tree, m: jax.tree.map(lambda leaf: leaf[m], tree)
    for m in range(2):
        model = of_member(state.trained["model"]["model"], m)
        lone = state.replace(trained={**state.trained, "model": model})
        losses_of = lambda trained, lone=lone: one.losses(trained, lone, batch, KEY)
        slopes.append(merging.task_gradients(losses_of, lone.trained)[1])
    shared = one.shared(lone)
    halves = [jax.tree.map(lambda g: np.float64(g) / 2, of) for of in slopes]
    models_of = [(half["model"], shared["model"]) for half in halves]
    tables = jax.tree.map(np.add, halves[0]["tables"], halves[1]["tables"])
    gram = np.zeros((2, 2))
    for grads, masks in (*models_of, (tables, shared["tables"])):
        pairs = zip(jax.tree.leaves(grads), jax.tree.leaves(masks), strict=True)
        for grad, mask in pairs:
            flat = np.where(mask[None], grad, 0).reshape(2, -1)
            gram += flat @ flat.T
    a, b = gram[0] / gram[0, 0]
    assert 0.01 < abs(b) < 0.99
    mix = lambda g, mask: np.where(mask, a * g[0] + b * g[1], g[0] + g[1])
    for m, (grads, masks) in enumerate(models_of):
        wanted = jax.tree.map(mix, grads, masks)
        assert_close(of_member(got["model"]["model"], m), wanted)
    assert_close(got["tables"], jax.tree.map(mix, tables, shared["tables"]))


def test_tables_updated_by_rows_move_as_dense_ones_do(data):
    train, kind = {"optimizer": "sgd"}, "metabalance"
    rows, dense = (
        stepped(
            step_with(data, kind, inputs={"update": u}, train=train), batches_of(data)
        )
        for u in ("rows", "dense")
    )
    assert rows.row_state
    assert_close(rows.trained, dense.trained, rtol=1e-3)
    assert_close(rows.memory, dense.memory, rtol=1e-3)


def test_batches_of_one_domain_move_as_in_the_whole_model(prepared):
    data = prepared("synthetic", examples=1500, domains=3)
    full = step_with(
        data, "gradnorm", Plugin("star", {"dims": (7,)}), train={"optimizer": "sgd"}
    )
    alone = full.by_domain(full.model.clone(num_domains=1))
    assert alone.alone is not None
    batches = batches_of(data)
    batches = batches.replace(domain=np.full_like(batches.domain, 2))
    a, b = (stepped(step, batches) for step in (full, alone))
    assert_close(a.trained, b.trained, rtol=1e-3, atol=1e-4)


def test_in_half_precision_gradients_and_memory_stay_float32(data):
    step = step_with(data, "metabalance", train={"compute_dtype": "bfloat16"})
    state = stepped(step, batches_of(data))
    leaves = jax.tree.leaves((state.trained, state.memory))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
    assert all(np.isfinite(leaf).all() for leaf in leaves)


def test_a_task_without_labels_leaves_the_others_gradient(data):
    batch = batches_of(data, 1).at(0)
    observed = np.array(batch.observed)
    observed[:, 1] = False
    batch = batch.replace(observed=observed)

    def gradients(weighting):
        step = step_with(data, weighting)
        return jax.jit(step.gradients)(jax.jit(step.init)(), batch, KEY)[0]

    plain = gradients("fixed")
    assert_close(gradients("mgda"), plain)


def test_a_task_of_the_entire_space_is_seen_without_its_condition(data):
    """A batch without a click says of purchases that there are none."""
    batch = batches_of(data, 1).at(0)
    batch = batch.replace(
        labels=np.zeros_like(batch.labels),
        observed=np.ones_like(batch.observed) & np.array([[True, False]]),
    )
    for entire, wanted in ((False, [64, 0]), (True, [64, 64])):
        buy = Task("buy", given="click", entire_space=entire)
        found = merging.task_weights(batch, (Task("click"), buy))
        np.testing.assert_array_equal(found, wanted)


def test_a_weighting_looks_back_at_the_batch_with_moved_parameters(data):
    look_back = lambda memory, losses, now: (memory[0], losses)
    init = lambda tasks: ((), (jnp.zeros(tasks), jnp.zeros(tasks)))
    combine = lambda params, memory, losses, now: (losses.sum(), (losses, memory[1]))
    step = step_with(data, Weighting(init, combine, look_back=look_back))
    batches = batches_of(data, 1)
    before, after = stepped(step, batches).memory
    assert (after < before).all()
    plain = stepped(step_with(data, "fixed"), batches)
    key = jax.random.fold_in(jax.random.wrap_key_data(plain.seed), 0)
    losses = jax.jit(step.losses)(plain.trained, plain, batches.at(0), key)[0][0]
    np.testing.assert_allclose(after, losses, rtol=1e-5)


def test_trials_of_several_options_are_one_program(data):
    """A traced option, weights of its own in each, and random draws by seed."""
    base = tiny(weighting={"kind": "cagrad"})
    values = [{"weighting.c": 0.1, "train.seed": 1}, {"weighting.c": 0.8}]
    trials = [config.with_values(base, value) for value in values]
    together = vmapped.trainer_of(trials, data.layout, 10, shared=True)
    batches = batches_of(data)
    state, _ = together.steps(together.init(), batches, 2)
    for i, trial in enumerate(trials):
        alone = stepped(step_of(trial, data.layout, 10), batches)
        own = vmapped.trial(state.trained, i, vmapped.Where(make_mesh(1)))
        assert_close(own, alone.trained, atol=1e-4)


def test_a_stopped_run_resumes_with_its_weights(data, tmp_path, monkeypatch):
    experiment = tiny(weighting={"kind": "gradnorm"}, train={"epochs": 2})
    check_resume(experiment, data, tmp_path, monkeypatch, dispatches=3)
