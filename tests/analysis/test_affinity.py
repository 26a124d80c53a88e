"""Task affinity and the seesaw plane, against the definition in loops."""

import itertools

import jax
import numpy as np
import pytest

from ple_jax.analysis import conflict
from ple_jax.analysis.affinity import groups_of, partitions, task_affinity, worth
from ple_jax.analysis.seesaw import pareto_front, planes
from ple_jax.report import tasks as shown
from ple_jax.train.setup import Setup
from ple_jax.train.trainer import step_of


def test_affinity_is_what_a_step_along_one_gradient_does(sides):
    run = sides[0].runs[0]
    found = task_affinity(run, batches=1)
    setup = Setup([run.experiment], run.data)
    step = step_of(run.experiment, run.data.layout, setup.steps_per_epoch)
    state, split = conflict.trained_state(step, run), run.data.split("train")
    (batch,) = conflict.random_batches(split, 1, setup.train.batch_size)
    key = jax.random.fold_in(jax.random.wrap_key_data(state.seed), state.step)
    losses = jax.jit(lambda trained: step.losses(trained, state, batch, key)[0][0])
    slopes = jax.jit(jax.jacrev(losses))(state.trained)
    masks, before = step.shared(state), np.asarray(losses(state.trained), float)
    leaves, shape = jax.tree.flatten(state.trained)
    where = [np.asarray(m) for m in jax.tree.leaves(masks)]
    parts = [x * m for x, m in zip(leaves, where, strict=True)]
    size = np.sqrt(sum((part**2).sum() for part in parts))
    for i in range(2):
        grads = [g[i] * m for g, m in zip(jax.tree.leaves(slopes), where, strict=True)]
        length = np.sqrt(sum((g**2).sum() for g in grads))
        pairs = zip(leaves, grads, strict=True)
        moved = [x - 1e-3 * size * g / length for x, g in pairs]
        after = np.asarray(losses(jax.tree.unflatten(shape, moved)), float)
        np.testing.assert_allclose(found["mean"][i], 1 - after / before, atol=2e-6)
        assert found["mean"][i, i] > 0
    assert found["tasks"] == ["click", "like"]
    assert sorted(itertools.chain(*found["groups"])) == ["click", "like"]


@pytest.mark.parametrize(("items", "bell"), [(0, 1), (1, 1), (3, 5), (5, 52)])
def test_every_grouping_is_met_once(items, bell):
    each = [*partitions(list(range(items)))]
    keys = {frozenset(map(frozenset, groups)) for groups in each}
    assert len(each) == len(keys) == bell
    assert all(sorted(itertools.chain(*g)) == list(range(items)) for g in each)


@pytest.mark.parametrize("count", [4, 10])
def test_tasks_that_help_each_other_are_grouped(count):
    block = np.arange(count) < count // 2
    z = np.where(block[:, None] == block, 0.02, -0.01)
    groups = sorted(map(sorted, groups_of(z)))
    half = count // 2
    assert groups == [list(range(half)), list(range(half, count))]
    assert worth(z, groups) == pytest.approx(0.02 * count)
    assert len(groups_of(np.full((count, count), -1.0))) == count
    assert len(groups_of(np.full((3, 3), np.nan))) == 1


def test_the_front_is_what_no_other_beats():
    rng = np.random.default_rng(0)
    points = np.round(rng.normal(size=(23, 2)), 1)
    for i, on_front in enumerate(pareto_front(points)):
        beaten = [
            all(q >= p for p, q in zip(points[i], other, strict=True))
            and any(q > p for p, q in zip(points[i], other, strict=True))
            for other in points
        ]
        assert on_front == (not any(beaten))


def test_a_plane_has_the_reference_at_its_origin():
    gain = lambda mean: {"mean": mean, "interval": [mean - 1, mean + 1]}
    none = {"mean": None, "interval": None}
    gains = {
        "click": {"a": gain(2.0), "b": gain(-1.0), "c": none},
        "like": {"a": gain(-1.0), "b": gain(-2.0), "c": gain(9.0)},
    }
    (plane,) = planes({"gains": gains, "reference": "twin"})
    assert plane["names"] == ["twin", "a", "b"]
    assert plane["gains"].tolist() == [[0, 0], [2, -1], [-1, -2]]
    assert plane["ends"][1].tolist() == [[1, 3], [-2, 0]]
    assert plane["front"].tolist() == [True, True, False]
    assert planes({"gains": {"click": gains["click"]}, "reference": "twin"}) == []


def test_the_page_says_who_pulls_against_whom(sides, monkeypatch):
    cosines = {
        "pairs": [("click", "like")],
        "layers": ["level_0", conflict.ALL],
        "mean": np.array([[np.nan], [-0.25]]),
        "deviation": np.array([[np.nan], [0.5]]),
        "opposed": np.array([[np.nan], [0.75]]),
    }
    affinity = {
        "tasks": ["click", "like"],
        "mean": np.array([[0.01, -0.002], [np.nan, 0.02]]),
        "groups": [["click"], ["like"]],
    }
    monkeypatch.setattr(shown, "gradient_conflict", lambda run: cosines)
    monkeypatch.setattr(shown, "task_affinity", lambda run: affinity)
    times = [{"examples": n} | cosines for n in (0, 5003, 10_007)]
    monkeypatch.setattr(shown, "conflict_over_time", lambda run: times)
    made = shown.torn(sides[:1], wanted=True, over_time=True)
    (drawn,) = made.figures
    for text in ("click, like", "cosine", "examples"):
        assert f"<!-- {text} -->" in drawn.svg or f">{text}<" in drawn.svg
    assert not shown.torn(sides[:1], wanted=True).figures
    against, groups = made.words
    assert "against each other (cosine -0.250, below 0 in 75% of batches)" in against
    assert groups.endswith("in these groups: click; like.")
    first, second = made.grids
    assert first.rows == [[conflict.ALL, "click, like", "-0.2500", "0.500", "0.750"]]
    assert second.rows[0] == ["click", "+1.0000 %", "-0.2000 %"]
    assert second.rows[1][1] == "undefined"
    assert "--conflict" in shown.torn(sides, wanted=False).words[0]
