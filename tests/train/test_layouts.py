"""Tables of several devices: split, or copied if small, and moved to other devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from lib.training import StopAfter, final_state, new_run, tiny

from ple_jax import config
from ple_jax.config.experiment import MeshShape
from ple_jax.parallel.mesh import DATA, batch_shardings
from ple_jax.train import loop, trainer, verify
from ple_jax.train.setup import Setup, placed
from ple_jax.train.state import variables_of


def on(run, devices, model=1):
    """The run with another number of devices, of which `model` share experts."""
    shape = MeshShape(devices // model, model)
    values = {"train.devices": devices, "train.mesh": shape}
    experiment = config.with_values(run.experiment, values)
    return dataclasses.replace(run, experiment=experiment)


def is_of_table(path):
    return {"tables", "row_state"} & {
        getattr(p, "key", getattr(p, "name", "")) for p in path
    }


def stopped(run, devices, monkeypatch, resume):
    """Trains a run for two dispatches on so many devices."""
    with monkeypatch.context() as patch:
        patch.setattr(loop, "ahead", lambda items: items)
        StopAfter(patch, 2)
        with pytest.raises(loop.Stopped):
            loop.fit(on(run, devices), resume=resume)
    assert verify.verify(run.directory).faults == []


def assert_same_result(run, whole):
    found, wanted = final_state(run)[0], final_state(whole)[0]
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def knobs(update):
    train = {"optimizer": "adagrad", "batch_size": 48, "epochs": 2}
    return {"inputs": {"update": update}, "train": train}


def test_a_run_goes_on_with_other_numbers_of_devices(data, tmp_path, monkeypatch):
    """And at last of another shape, where two of them share experts."""
    whole = new_run(data, tmp_path / "whole", **knobs("rows"))
    loop.fit(whole)
    run = new_run(data, tmp_path / "run", **knobs("rows"))
    for devices in (1, 4, 3):
        stopped(run, devices, monkeypatch, resume=devices > 1)
    loop.fit(on(run, 4, model=2), resume=True)
    assert_same_result(run, whole)


def test_a_run_goes_on_where_tables_that_were_split_are_copied(
    everything, tmp_path, monkeypatch
):
    """Split over three devices, as before there was a rule; then copied to four."""
    whole = new_run(everything, tmp_path / "whole", **knobs("dense"))
    loop.fit(whole)
    run = new_run(everything, tmp_path / "run", **knobs("dense"))
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "replicated", lambda tables, train: frozenset())
        stopped(run, 3, monkeypatch, resume=False)
    assert Setup([on(run, 4).experiment], everything).trainer.replicated == {"dim_3"}
    loop.fit(on(run, 4), resume=True)
    assert_same_result(run, whole)


def test_small_tables_are_copied_and_stay_so(everything):
    """With two trials side by side, and all that Adam keeps; bags are read too."""

    def trained(devices):
        of = {"devices": devices, "optimizer": "adam", "average_decay": 0.9}
        each = [tiny(train={**of, "seed": seed}) for seed in (0, 3)]
        setup = Setup(each, everything, vmapped=True, trains=True)
        batches, axes = setup.loader.batches(0, 0, 4), setup.loader.axes
        batches = jax.device_put(batches, batch_shardings(setup.mesh, batches, axes))
        before = placed(setup.trainer, setup.mesh, vmapped=True)
        places = [leaf.sharding for leaf in jax.tree.leaves(before)]
        after, _ = setup.trainer.steps(before, batches, 4)
        return setup, places, after

    setup, before, found = trained(4)
    assert setup.trainer.replicated == {"dim_3"}
    kept = [is_of_table(path) for path, _ in jax.tree.leaves_with_path(found)]
    assert sum(map(bool, kept)) == 4  # a table, its average and its two moments
    after = [leaf.sharding for leaf in jax.tree.leaves(found)]
    assert all(place.is_fully_replicated for place in (*before, *after))
    wanted = trained(1)[2]
    for name, rows in setup.rows.of.items():
        table = found.trained["tables"][name]
        assert not np.any(table[:, rows:])
        wanted = wanted.trained["tables"][name]
        np.testing.assert_allclose(table[:, :rows], wanted, rtol=0, atol=1e-5)


def test_tables_of_any_size_are_split_and_the_rest_is_zero(data):
    devices = 3
    experiment = tiny(train={"devices": devices, "batch_size": 48})
    setup = Setup([experiment], data)
    state, alone = placed(setup.trainer, setup.mesh), Setup([tiny()], data)
    first = alone.trainer.init()
    ((name, rows),) = setup.rows.of.items()
    assert rows % devices, "choose other sizes"
    for path, leaf in jax.tree.leaves_with_path(state.trained):
        wanted = P(DATA) if is_of_table(path) else P()
        assert leaf.sharding.spec == wanted, path
    table = np.asarray(state.trained["tables"][name])
    assert np.array_equal(table[:rows], first.trained["tables"][name])
    assert not table[rows:].any()
    assert len(table) % devices == 0


def test_the_rows_at_the_end_are_never_read(everything):
    setup = Setup([tiny(train={"devices": 4})], everything)
    variables = variables_of(placed(setup.trainer, setup.mesh))
    wanted = setup.scorer.of_split(variables, "validation")
    padded = 0
    for name, rows in setup.rows.of.items():
        table = variables["tables"][name]
        padded += len(table) - rows
        variables["tables"][name] = table.at[rows:].set(jnp.nan)
    assert padded
    assert np.array_equal(setup.scorer.of_split(variables, "validation"), wanted)
