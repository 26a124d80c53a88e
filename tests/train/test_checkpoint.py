"""Checkpoints: every field of a state comes back, and older records are read."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.training import assert_same, new_run, tiny

from ple_jax.train import divergence, progress, state
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.progress import Place, Standing
from ple_jax.train.setup import Setup
from ple_jax.train.state import TrainState, variables_of


class Wider(TrainState):
    """A state with a field that checkpoints have never heard of."""

    extra: jax.Array


@pytest.fixture(scope="module")
def data(prepared):
    return prepared("synthetic", examples=600)


def of_numbers(state, start):
    """A state of the same shapes, in which no two numbers are alike."""
    leaves, tree = jax.tree.flatten(state)
    ends = np.cumsum([leaf.size for leaf in leaves]) + start
    fill = lambda leaf, end: np.arange(end - leaf.size, end).reshape(leaf.shape)
    filled = [fill(x, end).astype(x.dtype) for x, end in zip(leaves, ends, strict=True)]
    return jax.tree.unflatten(tree, map(jnp.asarray, filled))


def wider(data, **sections):
    """States to save and to restore into, which share no number."""
    state = Setup([tiny(**sections)], data).trainer.init()
    fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
    state = Wider(extra=jnp.zeros((3, 5)), **fields)
    saved = of_numbers(state, 1).replace(step=jnp.asarray(11, jnp.int32))
    return saved, of_numbers(state, 10**6)


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("update", ["dense", "rows"])
def test_every_field_of_a_state_comes_back(data, tmp_path, average, update):
    if average and update == "rows":
        pytest.skip("a moving average walks over whole tables")
    sections = {"train": {"average_decay": average}, "inputs": {"update": update}}
    saved, like = wider(data, model={"batch_norm": True}, **sections)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(saved, {"epoch": 7})
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        restored = checkpoints.restore(like)
    assert restored.progress == {"epoch": 7}
    assert_same(restored.state, saved)


def test_a_field_that_is_left_out_is_noticed(data, tmp_path, monkeypatch):
    rest = lambda state: [n for n in names(state) if n != "extra"]
    names = state._rest
    monkeypatch.setattr(state, "_rest", rest)
    saved, like = wider(data)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(saved, {})
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        restored = checkpoints.restore(like)
    with pytest.raises(AssertionError, match="extra"):
        assert_same(restored.state, saved)


def test_variables_are_written_once_a_step(data, tmp_path):
    state = Setup([tiny()], data).trainer.init()
    first, second = (variables_of(of_numbers(state, n)) for n in (1, 1000))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save_variables(5, first, {}, 0.5)
        checkpoints.save_variables(5, second, {}, 0.7)
        checkpoints.save_variables(3, second, {}, 0.9)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest == 5
        assert_same(checkpoints.restore_variables(second), first)
        with pytest.raises(ValueError, match="trials are resumed together"):
            checkpoints.restore(state)


# Records.


def test_a_record_reads_back(data, tmp_path):
    place = Place(3, 7)
    standings = (Standing(3, 0.5, 22, 1), Standing(1, None, 0, 0, 11, "kernel"))
    runs = [new_run(data, tmp_path / name) for name in "ab"]
    record = progress.to_record(runs, place, standings)
    assert record["trials"] == ["a", "b"]
    assert record == json.loads(json.dumps(record))
    progress.check_identity(runs, record)
    assert progress.from_record(record, 5) == (place, standings)


OLD = {"epoch": 2, "step_in_epoch": 5, "best": 0.25, "epochs_since_best": 1}


def test_the_record_of_an_older_lone_run_is_read():
    assert progress.from_record({"progress": OLD}, 11) == (
        Place(2, 5),
        (Standing(2, 0.25, 11, 1),),
    )
    # Before the first epoch ends, the newest checkpoint is not the best of any.
    early = {"progress": OLD | {"epoch": 0, "best": None, "epochs_since_best": 0}}
    assert progress.from_record(early, 5) == (Place(0, 5), (Standing(),))


def test_the_record_of_older_trials_is_read():
    none = {"epoch": 0, "step_in_epoch": 0, "best": None, "epochs_since_best": 0}
    standings = [
        {"progress": OLD | {"step_in_epoch": 0}, "best_step": 11, "diverged": None},
        {"progress": none, "best_step": 0, "diverged": 22},
    ]
    place = none | {"epoch": 3, "step_in_epoch": 5}
    record = {"progress": place, "standings": standings}
    assert progress.from_record(record, 33) == (
        Place(3, 5),
        (Standing(2, 0.25, 11, 1), Standing(diverged=22)),
    )


# Divergence.


def test_what_is_not_finite_is_named():
    tree = {"a": np.ones((3, 5)), "b": {"c": np.ones((3,)), "d": np.ones((3, 2, 7))}}
    assert divergence.not_finite(tree) == [""]
    assert divergence.not_finite(tree, vmapped=True) == ["", "", ""]
    tree["b"]["d"][1, 0, 3], tree["b"]["c"][2], tree["b"]["d"][2] = (
        np.nan,
        np.inf,
        np.nan,
    )
    assert divergence.not_finite(tree) == ["['b']['c']"]
    wanted = ["", "['b']['d']", "['b']['c']"]
    assert divergence.not_finite(tree, vmapped=True) == wanted
