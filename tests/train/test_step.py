"""What one step adds to training: its moving average, and the clock of its epoch."""

import jax.numpy as jnp
import numpy as np
import pytest
from lib.training import tiny

from ple_jax import models
from ple_jax.data.loader import Loader
from ple_jax.embeddings.tables import Tables
from ple_jax.train.state import moving_average
from ple_jax.train.step import jitted, make_step
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
