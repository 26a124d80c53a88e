"""Tables updated by rows, in the step and in the loop."""

import jax
import numpy as np
import pytest
from lib.arrays import assert_close, assert_same
from lib.batches import make_batch
from lib.training import (
    StopAfter,
    final_state,
    new_run,
    tiny,
)

from ple_jax import weightings
from ple_jax.config.experiment import Inputs, Train
from ple_jax.data.loader import Loader
from ple_jax.embeddings.tables import Tables
from ple_jax.layout import IdColumn, Layout
from ple_jax.models.shared_bottom import SharedBottom
from ple_jax.parallel.mesh import batch_shardings, make_mesh, state_shardings
from ple_jax.runs.directory import open_run
from ple_jax.schema import Task
from ple_jax.train import loop
from ple_jax.train.trainer import jitted, make_step, trainer_of


def trained(data, update, steps=8, mesh=None, host=True, rule="same", **of_train):
    """A trainer, and its state after some steps."""
    section = {"optimizer": "adagrad", **of_train}
    inputs = {"update": update, "row_optimizer": rule}
    experiment = tiny(train=section, inputs=inputs)
    loader = Loader(data.split("train"), 64, 0)
    trainer = trainer_of(experiment, data.layout, loader.steps_per_epoch)
    batches, state = loader.batches(0, 0, steps), trainer.init()
    batches = trainer.prepare(batches) if host else batches
    if mesh:
        state = jax.device_put(state, state_shardings(mesh, state))
        batches = jax.device_put(batches, batch_shardings(mesh, batches))
    return trainer, trainer.steps(state, batches, steps)[0]


@pytest.mark.parametrize("name", ["data", "everything"])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_rows_and_dense_train_alike(name, optimizer, clip, request):
    data = request.getfixturevalue(name)
    options = {"optimizer": optimizer, "clip_norm": clip, "schedule": "cosine"}
    _, dense = trained(data, "dense", **options)
    _, rows = trained(data, "rows", **options)
    assert not dense.row_state
    assert rows.row_state
    assert_close(rows.trained, dense.trained, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rule", ["adam", "rowwise_adagrad"])
def test_host_and_device_rows_train_to_the_same_bits(everything, rule):
    _, host = trained(everything, "rows", rule=rule)
    _, device = trained(everything, "rows", rule=rule, host=False)
    assert_same(host, device)


def test_four_devices_update_rows_as_one(data):
    _, wanted = trained(data, "rows", rule="rowwise_adagrad", weight_decay=0.01)
    mesh = make_mesh(4)
    for host in (True, False):
        _, got = trained(
            data, "rows", 8, mesh, host, rule="rowwise_adagrad", weight_decay=0.01
        )
        assert_close(got.trained, wanted.trained, rtol=1e-5, atol=1e-5)


def test_weight_decay_spares_rows_that_no_batch_touches(data):
    trainer, state = trained(data, "rows", steps=1, rule="adam", weight_decay=0.5)
    before, after = (s.trained["tables"]["dim_3"] for s in (trainer.init(), state))
    batch = trainer.prepare(Loader(data.split("train"), 64, 0).batches(0, 0, 1))
    rows = np.unique(batch.touched["dim_3"].rows)
    others = np.setdiff1d(np.arange(len(before)), rows)
    assert len(others)
    np.testing.assert_array_equal(after[others], before[others])
    assert (after != before).any(1).sum() == (rows < len(before)).sum()


@pytest.mark.parametrize("only", ["tables", "towers"])
def test_only_what_train_only_names_is_moved(data, only):
    trainer, state = trained(data, "rows", only=[only])
    before, after = (s.trained["tables"]["dim_3"] for s in (trainer.init(), state))
    assert (np.array(before) != after).any() == (only == "tables")


@pytest.mark.parametrize("update", ["dense", "rows"])
def test_what_is_not_trained_does_not_hold_back_what_is(data, update):
    of_train = {"optimizer": "sgd", "learning_rate": 1.0, "only": ["towers"]}
    trainer, state = trained(data, update, steps=1, clip_norm=0.01, **of_train)
    steps = jax.tree.map(np.subtract, state.trained, trainer.init().trained)
    square = sum(np.sum(np.square(step)) for step in jax.tree.leaves(steps))
    np.testing.assert_allclose(np.sqrt(square), 0.01, rtol=1e-4)


class Faster(SharedBottom):
    """A model that asks for a table to learn at another rate."""

    rate_multipliers = {"dim_3": 2.0}  # noqa: RUF012 (not a field)


@pytest.mark.parametrize("update", ["dense", "rows"])
def test_a_table_has_a_rate_of_its_own_only_where_it_is_dense(data, update):
    tables = Tables(data.layout, Inputs(embedding_dim=3, update=update))
    weighting = weightings.build("fixed")
    trainer = jitted(make_step(Faster(2), tables, weighting, Train(), 1))
    if update == "dense":
        trainer.init()
    else:
        with pytest.raises(
            ValueError, match=r"'dim_3' is not a known .* Known: .*bias"
        ):
            trainer.init()


def test_no_step_copies_a_table(monkeypatch):
    """What a dispatch needs beside its state is far smaller than the table."""
    columns = tuple(IdColumn(n, n, 200_000) for n in "abc")
    layout = Layout(columns, (), (), (Task("click"),), ("all",))
    inputs = {"update": "rows", "row_optimizer": "adam"}
    trainer = trainer_of(tiny(inputs=inputs), layout)
    state, one = trainer.shapes(), make_batch(np.zeros((8, 3)))
    batches = jax.tree.map(lambda leaf: leaf[None], one)
    with monkeypatch.context():
        jax.config.update("jax_disable_most_optimizations", False)
        compiled = trainer.steps.lower(state, batches, 1).compile()
        jax.config.update("jax_disable_most_optimizations", True)
    table = state.trained["tables"]["dim_3"]
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * table.size / 4


@pytest.mark.parametrize(
    ("rule", "frozen"), [("adam", []), ("rowwise_adagrad", ["category_0"])]
)
def test_a_stopped_run_resumes_to_the_same_bits(
    data, tmp_path, monkeypatch, rule, frozen
):
    inputs = {"update": "rows", "row_optimizer": rule, "frozen": frozen}
    options = {"inputs": inputs}
    whole = new_run(data, tmp_path / "whole", **options)
    wanted = loop.fit(whole)
    broken = new_run(data, tmp_path / "broken", **options)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "ahead", lambda items: items)
        StopAfter(patch, 5)
        with pytest.raises(loop.Stopped, match="SIGTERM"):
            loop.fit(broken)
    again = open_run(broken.directory)
    assert loop.fit(again, resume=True) == wanted
    assert_same(final_state(whole), final_state(again))
