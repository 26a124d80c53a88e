"""A run and a sweep in the format of version 0.1 still open, evaluate and resume.

`old_format` writes them. `LISTINGS` pins what they hold: it is what that version of the
package wrote itself. `ENDS` pins where that version took them from there.
"""

import hashlib
import json

import numpy as np
import orbax.checkpoint as ocp
import pyarrow.parquet as pq
import pytest
from lib.old_format import (
    END,
    FINISHED,
    STOPPED,
    SWEPT,
    TASKS,
    WRITE,
    arrays,
    variables,
)

from ple_jax.cli.main import main

# What is there, told by NumPy, JSON and Orbax.


def flat(tree, path=()):
    """Path -> leaf; an empty dict or tuple is a leaf."""
    if isinstance(tree, dict | list | tuple) and tree:
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, part in items:
            yield from flat(part, (*path, str(key)))
    else:
        yield "/".join(path), tree


def contents(file):
    """One line for each array, or for each key and what kind of value it has."""
    if file.suffix == ".npy":
        array = np.load(file, mmap_mode="r")
        return [f"{array.dtype} {array.shape}"]
    if file.suffix == ".parquet":
        return [str(pq.read_schema(file).remove_metadata()).replace("\n", ", ")]
    if file.name == "_METADATA":  # of an item of Orbax
        found = ocp.StandardCheckpointer().metadata(file.parent).item_metadata.tree
        of = lambda leaf: f"{leaf.dtype} {leaf.shape}" if hasattr(leaf, "dtype") else ""
        return [f"{path} {of(leaf)}" for path, leaf in flat(found)]
    if file.suffix == ".toml":
        return file.read_text().splitlines()
    text = (
        file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
    )
    trees = [pair for line in text for pair in flat(json.loads(line))]
    return [f"{path} {type(value).__name__}" for path, value in trees]


def listing(folder):
    """All that a directory holds, but for how Orbax and JSON lay it out."""
    inside = ("ocdbt.process_0", "d", "array_metadatas")
    own = ("_sharding", "commit_success.txt", "manifest.ocdbt", "_CHECKPOINT_METADATA")
    lines = []
    for file in folder.rglob("*"):
        path = file.relative_to(folder)
        if file.is_file() and file.name not in own and not {*inside} & {*path.parts}:
            lines += [f"{path.as_posix()}: {line}" for line in contents(file)]
    return sorted(lines)


LISTINGS = {  # how many lines, and the sha256 of all
    "dense": (
        312,
        "9cc2c8aaf02ed7c165adbae389e650dcb445ed0f4a80ff59608633667945de0a",
    ),
    "rows": (
        302,
        "66cdc6603be68663c491db034a4e2c96ff29ec09e5d3394762112fc9ed2a138b",
    ),
    "sweep": (
        1484,
        "8333d50a1ddb06367be49785dae0c276e34b88036f2788461b2b03dbc444de5c",
    ),
}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """kind -> its directory."""
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))

    def write(kind):
        (tmp_path / kind).mkdir()
        WRITE[kind](tmp_path / kind)
        return tmp_path / kind

    return write


@pytest.mark.parametrize("kind", WRITE)
def test_the_format_is_what_it_was(kind, written):
    lines = listing(written(kind))
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert (len(lines), digest) == LISTINGS[kind]


# What the package makes of it.


def losses(tree, split):
    """Log loss of each task, by NumPy."""
    rows, leaves = arrays(split), dict(flat(tree["model"]))
    x = np.c_[tree["tables"]["dim_2"][rows["ids"][:, 0]], rows["numbers"]]
    name = "bottom/Dense_0"
    h = np.maximum(x @ leaves[f"{name}/kernel"] + leaves[f"{name}/bias"], 0)
    found = {}
    for t, task in enumerate(TASKS):
        of = lambda name, t=t: (leaves[f"{name}/kernel"][t], leaves[f"{name}/bias"][t])
        (kernel, bias), (head, shift) = of("towers/mlp/Dense_0"), of("towers/heads")
        z = (np.maximum(h @ kernel + bias, 0) @ head + shift)[:, 0]
        found[task] = float(np.mean(np.logaddexp(0, z) - rows["labels"][:, t] * z))
    return found


def evaluate(folder, capsys):
    capsys.readouterr()
    assert main(["evaluate", str(folder), "--json"]) == 0
    tasks = json.loads(capsys.readouterr().out)["tasks"]
    return {name: values["log_loss"] for name, values in tasks.items()}


@pytest.mark.parametrize("kind", ["dense", "rows"])
def test_the_best_checkpoint_of_a_run_is_evaluated(kind, written, capsys):
    wanted = losses(variables("best"), "test")
    assert evaluate(written(kind), capsys) == pytest.approx(wanted, rel=1e-5)


def test_the_finished_trials_of_a_sweep_are_evaluated(written, capsys):
    folder = written("sweep")
    for name in FINISHED:
        wanted = losses(variables(name), "test")
        found = evaluate(folder / "replicas" / name, capsys)
        assert found == pytest.approx(wanted, rel=1e-5)


def kept(folder):
    """The best variables of a run, by Orbax alone, and their step."""
    step = json.loads((folder / "result.json").read_text())["step"]
    path = folder / "checkpoints" / str(step) / "variables"
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore(path.resolve())
    return step, dict(flat(tree))


def along(leaf):
    """A leaf in one number."""
    return float(np.ravel(leaf) @ np.cos(np.arange(np.size(leaf))))


def told(folder):
    """A resumed run in few numbers: its losses, and each leaf along a direction."""
    step, leaves = kept(folder)
    found = {"step": step} | {f"epoch {r['epoch']}": r["loss"] for r in journal(folder)}
    return found | {
        k: along(leaf) for k, leaf in leaves.items() if hasattr(leaf, "shape")
    }


def journal(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def epochs(folder):
    return [record["epoch"] for record in journal(folder)]


ENDS = {
    "dense": {
        "step": 6,
        "epoch 0": 18.0,
        "epoch 1": 1.464212,
        "epoch 2": 1.476265,
        "model/bottom/Dense_0/bias": -0.3824431,
        "model/bottom/Dense_0/kernel": 0.7627959,
        "model/towers/heads/bias": 0.1920534,
        "model/towers/heads/kernel": 0.0276807,
        "model/towers/mlp/Dense_0/bias": 0.5592986,
        "model/towers/mlp/Dense_0/kernel": -2.87485,
        "tables/dim_2": -2.209562,
    },
    "rows": {
        "step": 6,
        "epoch 0": 18.0,
        "epoch 1": 1.343909,
        "epoch 2": 1.308775,
        "model/bottom/Dense_0/bias": -0.6748419,
        "model/bottom/Dense_0/kernel": 2.335953,
        "model/towers/heads/bias": -0.3087971,
        "model/towers/heads/kernel": -0.09074324,
        "model/towers/mlp/Dense_0/bias": 0.1660094,
        "model/towers/mlp/Dense_0/kernel": 2.747271,
        "tables/dim_2": -1.819653,
    },
    "optimizer=adam,seed=0": {
        "step": 6,
        "epoch 0": 18.0,
        "epoch 1": 1.464212,
        "epoch 2": 1.476265,
        "model/bottom/Dense_0/bias": -0.3824431,
        "model/bottom/Dense_0/kernel": 0.7627959,
        "model/towers/heads/bias": 0.1920534,
        "model/towers/heads/kernel": 0.0276807,
        "model/towers/mlp/Dense_0/bias": 0.5592986,
        "model/towers/mlp/Dense_0/kernel": -2.87485,
        "tables/dim_2": -2.209562,
    },
    "optimizer=adam,seed=1": {
        "step": 9,
        "epoch 0": 18.0,
        "epoch 1": 1.386712,
        "epoch 2": 1.345001,
        "model/bottom/Dense_0/bias": 0.6555546,
        "model/bottom/Dense_0/kernel": 1.016174,
        "model/towers/heads/bias": -0.3997684,
        "model/towers/heads/kernel": 0.2221043,
        "model/towers/mlp/Dense_0/bias": 0.7661028,
        "model/towers/mlp/Dense_0/kernel": -2.950445,
        "tables/dim_2": -0.2564392,
    },
}


def resume(folder, *named):
    assert main(["train", *named, "--resume", "--run-dir", str(folder)]) == 0
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize(("kind", "is_named"), [("dense", False), ("rows", True)])
def test_a_run_is_resumed_where_it_was(kind, is_named, written, capsys):
    folder = written(kind)
    result = resume(folder, *[named(folder)] * is_named)
    assert told(folder) == pytest.approx(ENDS[kind], rel=1e-4, abs=1e-5)
    assert epochs(folder) == [0, 1, 2]
    assert result["epochs"] == 3
    said = capsys.readouterr().err.count("older than model.norm_window and goes on")
    assert said == is_named


def named(folder, more=""):
    """The experiment of a run as a file of its own, with more knobs of the model."""
    text = (folder / "experiment.toml").read_text()
    path = folder.parent / "named.toml"
    path.write_text(text.replace("[model]", f"[model]\n{more}"))
    return str(path)


@pytest.mark.parametrize("kind", ["rows", "sweep"])
def test_a_knob_that_is_younger_than_a_run_can_be_stated(kind, written, capsys):
    folder = written(kind)
    asked = named(folder, "norm_window = 0.1")
    assert main(["train", asked, "--resume", "--run-dir", str(folder)]) == 2
    assert "model.norm_window: 0.0 -> 0.1" in capsys.readouterr().err


def test_a_sweep_is_resumed_where_it_was(written):
    folder = written("sweep")
    result = resume(folder)
    trials = result["trials"]
    assert list(trials) == SWEPT
    for name in FINISHED:  # as they were found, nothing trained again
        one = folder / "replicas" / name
        assert trials[name] == json.loads((one / "result.json").read_text())
        assert told(one)["step"] == END
    for name in STOPPED:
        one = folder / "replicas" / name
        assert told(one) == pytest.approx(ENDS[name], rel=1e-4, abs=1e-5)
        assert epochs(one) == [0, 1, 2]
