"""Tables that several devices share: padded, never copied, and moved to others."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from lib.training import StopAfter, final_state, new_run, tiny

from ple_jax import config
from ple_jax.parallel.mesh import DATA
from ple_jax.train import loop, verify
from ple_jax.train.setup import Setup, placed
from ple_jax.train.state import variables_of


def on(run, devices):
    """The run with another number of devices."""
    experiment = config.with_values(run.experiment, {"train.devices": devices})
    return dataclasses.replace(run, experiment=experiment)


def is_of_table(path):
    return {"tables", "row_state"} & {
        getattr(p, "key", getattr(p, "name", "")) for p in path
    }


@pytest.mark.parametrize(
    ("update", "counts"), [("dense", (4, 3)), ("rows", (1, 4, 3, 2))]
)
def test_a_run_goes_on_with_other_numbers_of_devices(
    data, tmp_path, monkeypatch, update, counts
):
    knobs = {
        "inputs": {"update": update},
        "train": {"optimizer": "adagrad", "batch_size": 48, "epochs": 2},
    }
    whole = new_run(data, tmp_path / "whole", **knobs)
    loop.fit(whole)
    run = new_run(data, tmp_path / "run", **knobs)
    for devices in counts[:-1]:
        with monkeypatch.context() as patch:
            patch.setattr(loop, "ahead", lambda items: items)
            StopAfter(patch, 2)
            with pytest.raises(loop.Stopped):
                loop.fit(on(run, devices), resume=devices != counts[0])
        assert verify.verify(run.directory).faults == []
    loop.fit(on(run, counts[-1]), resume=True)
    found, wanted = final_state(run)[0], final_state(whole)[0]
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


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
