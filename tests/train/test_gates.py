"""Gates that collapse while training: read off validation, said, and kept."""

import numpy as np
import pytest
from lib.training import new_run, records

from ple_jax.analysis.gates import gate_use
from ple_jax.serve.files import load_scorer
from ple_jax.show import console
from ple_jax.train import course, gates, loop
from ple_jax.train.setup import Setup


def test_a_gate_of_one_expert_and_experts_of_none_are_named():
    own = np.array([[0.97, 0.02, 0.0, 0.01], [0.0, 0.0, 0.5, 0.5]])
    every = np.full((1, 40), 0.98 / 39)
    every[0, 3] = 0.004
    every[0, 4] += 0.016
    found = gates.collapse(
        {"level_0/mixture": own, "b/mixture": every}, ["click", "buy"]
    )
    assert found["alone"] == ["level_0, click: click 0"]
    assert found["unused"] == ["level_0: click 1", "b: expert 3"]
    even = np.full((2, 3), 1 / 3)
    assert not any(gates.collapse({"mixture": even}, ["click", "buy"]).values())
    alone = np.eye(2)  # no gate has a choice
    assert not gates.collapse({"mixture": alone}, ["click", "buy"])["alone"]


def test_gates_that_see_all_are_named_by_the_units_of_their_model():
    units, tasks = (2, 1, 1), ["click", "buy"]
    names = lambda count, units: gates.names(np.ones((count, 4)), tasks, units=units)
    experts = ["click 0", "click 1", "buy 0", "shared 0"]
    assert names(3, units) == (["click", "buy", "shared"], experts)
    assert names(2, units) == (["click", "buy"], experts)
    of_domains = names(2, (2, 1))
    assert of_domains == (["all", "shared"], ["all 0", "all 1", "shared 0"])
    alone = np.array([[0.97, 0.01, 0.01, 0.01], [0.25, 0.25, 0.25, 0.25]])
    found = gates.collapse({"level_1/mixture": alone}, tasks, units)
    assert found["alone"] == ["level_1, click: click 0"]


def test_a_run_knows_its_units(data, tmp_path):
    model = {"kind": "adatt", "experts_per_task": 1, "shared_experts": 0}
    train = {"epochs": 1, "members": 2}
    run = new_run(data, tmp_path / "run", model=model, train=train)
    loop.fit(run)
    for level in gate_use(run):
        tasks = [task.name for task in data.layout.tasks]
        assert level["gates"] == tasks
        assert level["experts"] == [f"{task} 0" for task in tasks]


def test_means_of_batches_count_by_their_rows():
    each = [({"mixture": np.array([[0.25, 0.75]])}, 3), ({"mixture": np.eye(2)[:1]}, 1)]
    np.testing.assert_allclose(gates.average(each)["mixture"], [[0.4375, 0.5625]])
    assert gates.average([({}, 3)]) == {}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data):
    """A run whose every gate counts as collapsed, and what it said."""
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gates, "ALONE", 0.1)
        patch.setattr(console, "say_once", said.append)
        run = new_run(
            data, tmp_path_factory.mktemp("gates") / "run", train={"epochs": 2}
        )
        result = loop.fit(run)
    return run, result, said


def test_a_collapse_is_said_and_kept(trained):
    run, result, said = trained
    first, last = (record["gates"]["alone"] for record in records(run))
    assert len(first) == len(last) == 5  # three gates, then two
    assert set(said) == {
        f"warning: run: a gate takes one expert alone ({gate})" for gate in first + last
    }
    (note,) = [n for n in result["course"]["notes"] if n.startswith("gates")]
    assert note.startswith("gates take one expert alone from epoch 1: level_0, ")


def test_what_is_watched_is_the_mean_of_gate_use(trained):
    run = trained[0]
    setup, (_, variables) = Setup([run.experiment], run.data), load_scorer(run)
    logits, means = setup.scorer.watched(variables, "validation")
    np.testing.assert_array_equal(
        logits, setup.scorer.of_split(variables, "validation")
    )
    # The last batch counts some of its rows twice.
    for level in gate_use(run, rows=10**6):
        watched = means[f"{level['level']}/mixture"]
        np.testing.assert_allclose(watched, level["mean"][0], atol=0.005)


def test_notes_tell_of_gates_at_the_best_epoch():
    epoch = lambda score, wrong: {
        "epoch": 0,
        "score": score,
        "loss": 1.0,
        "validation": {"tasks": {"click": {"auc_roc": score}}},
        "gates": wrong,
    }
    alone, both = {"alone": ["a"], "unused": []}, {"alone": ["a", "b"], "unused": ["e"]}
    found = course.course([epoch(0.5, {}), epoch(0.6, alone), epoch(0.7, both)], 9)
    assert found["notes"] == [
        "gates take one expert alone from epoch 2: a; b",
        "experts that no gate uses: e",
    ]
    found = course.course([epoch(0.7, {}), epoch(0.6, both)], 9)
    assert found["notes"] == []
