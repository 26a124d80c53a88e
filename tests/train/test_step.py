"""What one step adds to training: its moving average, and the clock of its epoch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import assert_close
from lib.training import tiny

from ple_jax import models, weightings
from ple_jax.data.loader import Loader
from ple_jax.embeddings.tables import Tables
from ple_jax.layout import Scale
from ple_jax.metrics import streaming
from ple_jax.schema import Task
from ple_jax.train.state import moving_average, variables_of
from ple_jax.train.trainer import jitted, make_step
from ple_jax.weightings import Weighting


@pytest.fixture
def trainer(data):
    """(weighting, steps an epoch) -> the trainer of a small model."""

    def made(weighting, steps_per_epoch):
        model = models.build("separate", num_tasks=2, tower_dims=(5,))
        tables, train = Tables(data.layout, tiny().inputs), tiny().train
        return jitted(make_step(model, tables, weighting, train, steps_per_epoch))

    return made


@pytest.mark.parametrize("decay", [0.5, 0.95])
def test_the_average_forgets_faster_at_the_start(decay, trainer):
    """Against the formula, below and above the step where the lower decay ends."""
    state = trainer(unweighted(), 7).init()
    ones = {"model": {"kernel": jnp.ones(3)}, "tables": {}}
    wanted, average = 0.0, {"model": {"kernel": jnp.zeros(3)}, "tables": {}}
    for t in range(200):
        keep = min(decay, (1 + t) / (10 + t))
        wanted = keep * wanted + (1 - keep) * 1.0
        state = state.replace(step=jnp.int32(t), average=average)
        average = moving_average(state, ones, decay)
        np.testing.assert_allclose(average["model"]["kernel"], wanted, rtol=1e-5)
    assert (1 + 3) / (10 + 3) < decay < (1 + 199) / (10 + 199)


def unweighted():
    return Weighting(lambda tasks: ((), ()), lambda p, m, each, now: (each.sum(), m))


def test_the_clock_counts_steps_and_whole_epochs(data, trainer):
    """Two epochs' ends are passed, and the first step of each is its own."""

    def note(params, memory, each, now):
        return each.sum(), memory.at[now.step].set(jnp.stack([now.step, now.epoch]))

    noting = Weighting(lambda tasks: ((), jnp.zeros((7, 2), jnp.int32)), note)
    taken = trainer(noting, steps_per_epoch=3)
    batches = Loader(data.split("train"), 64, 0).batches(0, 0, 7)
    state, _ = taken.steps(taken.init(), batches, 7)
    steps, epochs = np.asarray(state.memory).T
    np.testing.assert_array_equal(steps, range(7))
    np.testing.assert_array_equal(epochs, [0, 0, 0, 1, 1, 1, 2])


@pytest.mark.parametrize("kind", ["fixed", "schedule"])
def test_the_unit_of_a_squared_label_changes_its_predictions_alone(data, kind):
    """Seconds or hours: the same parameters, and predictions in the label's unit."""
    tasks = (data.layout.tasks[0], Task("time", loss="squared"))
    of_unit = lambda unit, mean: dataclasses.replace(
        data.layout, tasks=tasks, scales=(Scale(), Scale(mean, 0.5 * unit))
    )
    batches = Loader(data.split("train"), 64, 0).batches(0, 0, 3)
    seconds = batches.labels * np.float32([1, 3600]) + np.float32([0, 7200])
    hours, long = of_unit(1, 0.1), of_unit(3600, 360 + 7200)
    weighting = weightings.build(kind)

    def trained(layout, batches):
        model = models.build("separate", num_tasks=2, tower_dims=(5,))
        tables = Tables(layout, tiny().inputs)
        made = jitted(make_step(model, tables, weighting, tiny().train, 3))
        state, _ = made.steps(made.init(), batches, 3)
        measured = streaming.compute(state.stream, tasks, ("all",))["tasks"]
        loss = streaming.total_loss(measured, layout.deviations)
        return state.trained, made.score(variables_of(state), batches.at(0)), loss

    one, z, loss = trained(hours, batches)
    other, in_seconds, same = trained(long, batches.replace(labels=seconds))
    assert_close(other, one, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(in_seconds[:, 0], z[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(in_seconds[:, 1], z[:, 1] * 3600 + 7200, rtol=1e-4)
    assert same == pytest.approx(loss, rel=1e-4)
    assert np.abs(np.mean(z[:, 1] - 0.1)) < 0.5  # near the mean that it starts from


def test_a_running_normaliser_is_the_mean_weight_of_a_task_so_far(data):
    """Each task's gradient is its batch's, times what the batch has over the mean."""
    split = data.split("train")
    batches = Loader(split, 64, 0).batches(0, 0, 3)
    rng = np.random.default_rng(0)
    few = batches.observed & (rng.random(batches.observed.shape) < [1, 0.3])
    batches = batches.replace(observed=few, weights=rng.random(few.shape[:2]))
    weight = (few * batches.weights[..., None]).sum(axis=1)  # (steps, T)

    def step_with(normaliser):
        train = tiny(train={"normaliser": normaliser}).train
        model = models.build("separate", num_tasks=2, tower_dims=(5,))
        tables = Tables(data.layout, tiny().inputs)
        return make_step(model, tables, weightings.build("fixed"), train, 3)

    running, own = step_with("running"), step_with("batch")
    state, _ = jitted(running).steps(running.init(), batches, 2)
    np.testing.assert_allclose(state.totals, weight[:2].mean(axis=0), rtol=1e-5)
    assert own.init().totals == ()
    totals = running.totals(state, batches.at(2))
    np.testing.assert_allclose(totals, weight.mean(axis=0), rtol=1e-5)
    key = jax.random.key(0)
    of = lambda step, state: step.losses(state.trained, state, batches.at(2), key)[0][0]
    found, wanted = of(running, state.replace(totals=totals)), of(own, state)
    ratio = weight[2] / weight.mean(axis=0)
    assert abs(ratio - 1).max() > 0.05
    np.testing.assert_allclose(found, wanted * ratio, rtol=1e-5)
