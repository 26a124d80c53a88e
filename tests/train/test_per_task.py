"""Tables of each task's own: tasks that train together as each would alone."""

import dataclasses

import jax
import numpy as np
import pytest
from lib.arrays import assert_close
from lib.training import call, tiny

from ple_jax.data.loader import Loader
from ple_jax.train.state import variables_of
from ple_jax.train.trainer import trainer_of

STEPS = 5


def of_one_task(leaf, path, t):
    """The share that task `t` of two has of a leaf."""
    names = [getattr(key, "key", "") for key in path]
    if "tables" not in names:
        axis = int("private" in names)  # of the stacked networks
        return np.take(leaf, [t], axis)
    width = leaf.shape[1] // 2
    return leaf[:, t * width : (t + 1) * width]


def share(trained, t):
    take = lambda path, leaf: of_one_task(leaf, path, t)
    return jax.tree_util.tree_map_with_path(take, trained)


@pytest.mark.parametrize("update", ["dense", "rows"])
@pytest.mark.parametrize("groups", ["tasks", "tasks_domains"])
def test_tasks_train_together_as_each_would_alone(data, update, groups):
    model = {"kind": "single_task", "groups": groups}
    inputs = {"per_task": True, "update": update}
    experiment = tiny(model=model, inputs=inputs)
    batches = Loader(data.split("train"), 64, 0).batches(0, 0, STEPS)
    trainer = trainer_of(experiment, data.layout)
    start = trainer.init()
    state, _ = trainer.steps(trainer.init(), batches, STEPS)
    logits = trainer.score(variables_of(state), batches.at(0))
    for t in range(2):
        layout = dataclasses.replace(data.layout, tasks=data.layout.tasks[t : t + 1])
        alone = trainer_of(experiment, layout)
        own = batches.replace(
            labels=batches.labels[..., t : t + 1],
            observed=batches.observed[..., t : t + 1],
        )
        before = alone.init().replace(trained=share(start.trained, t))
        after, _ = alone.steps(before, own, STEPS)
        assert_close(share(state.trained, t), after.trained, rtol=1e-5, atol=1e-6)
        of_task = alone.score(variables_of(after), own.at(0))
        np.testing.assert_allclose(logits[:, t : t + 1], of_task, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "model", [{"kind": "ple"}, {"kind": "single_task", "groups": "domains"}]
)
def test_a_model_that_shares_its_input_refuses_tables_a_task(data, model):
    experiment = tiny(model=model, inputs={"per_task": True})
    with pytest.raises(ValueError, match=r"inputs.per_task needs .* 'single_task'"):
        trainer_of(experiment, data.layout)


def test_the_command_line_trains_and_scores_them(tmp_path, capsys):
    file = tmp_path / "own.toml"
    file.write_text(
        '[data]\nkind = "synthetic"\nexamples = 500\n[model]\nkind = "single_task"\n'
        '[inputs]\nper_task = true\nupdate = "rows"\n'
        "[train]\nepochs = 1\nbatch_size = 64\n"
    )
    assert call("train", file, "--run-dir", tmp_path / "run") == 0
    assert call("evaluate", tmp_path / "run") == 0
    assert call("train", file, "--run-dir", tmp_path / "no", "--model.kind", "ple") == 2
    assert "inputs.per_task needs a model" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
