"""What a run compiles: few programs, each for a reason, whatever its sizes."""

import contextlib

import jax
import numpy as np
import pytest
from lib.training import new_run, tiny

from ple_jax.parallel.mesh import make_mesh
from ple_jax.train import divergence, glance, loop, setup, state
from ple_jax.train.trainer import jitted, step_of

COMPILED = "/jax/core/compile/backend_compile_duration"  # of the compiler or its cache
ALWAYS = ["_flags", "init", "score", "steps"]


@contextlib.contextmanager
def compiled():
    """The names of the programs that are compiled meanwhile."""
    names = []

    def note(event, seconds, fun_name="", **_):
        if event == COMPILED:
            names.append(fun_name.removeprefix("jit(").removesuffix(")"))

    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


@pytest.mark.parametrize("wide", [False, True])
def test_a_run_compiles_few_programs(request, tmp_path, monkeypatch, wide):
    # Two tasks in one domain; or more tasks, domains, tables, bags and sample spaces.
    data = request.getfixturevalue("everything" if wide else "data")
    monkeypatch.setattr(glance, "SECONDS", 0.0 if wide else np.inf)
    shape = {"groups": "tasks"}
    with compiled() as names:
        loop.fit(new_run(data, tmp_path / "run", model=shape, train={"epochs": 2}))
    assert sorted(names) == sorted([*ALWAYS, *["mean_loss"] * wide])


def test_a_state_has_the_same_bits_however_little_its_program_is_optimized(data):
    step = step_of(tiny(), data.layout, 1)
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        little, much = state.jit_init(step.init, step.tables), jax.jit(step.init)
        pairs = zip(jax.tree.leaves(little()), jax.tree.leaves(much()), strict=True)
        assert little.lower().as_text() == much.lower().as_text()
        assert all(np.array_equal(*pair) for pair in pairs)
    finally:
        jax.config.update("jax_disable_most_optimizations", True)


def test_large_arrays_of_a_state_lie_on_huge_pages(data, monkeypatch):
    moved = []
    take = lambda address, size: moved.append((address, size))
    monkeypatch.setattr(setup.runtime, "use_huge_pages", take)
    trainer = jitted(step_of(tiny(), data.layout, 1))
    made = setup.placed(trainer, make_mesh(1))
    assert not moved  # it is small
    monkeypatch.setattr(setup, "LARGE", 2**16)
    again = setup.on_huge_pages(made)
    large = [leaf for leaf in jax.tree.leaves(again) if leaf.nbytes >= 2**16]
    places = [(leaf.unsafe_buffer_pointer(), leaf.nbytes) for leaf in large]
    assert moved == places != []


def test_looking_for_faults_compiles_once():
    trees = [{"a": np.ones(3), "b": np.full(5, np.nan)}] * 2
    with compiled() as names:
        assert [divergence.not_finite(tree) for tree in trees] == [["['b']"]] * 2
    assert names == ["_flags"]
