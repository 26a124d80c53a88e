"""Sinks get every number once, whatever stops or fails, and read back as written."""

import dataclasses
import json
import shutil
import struct
import sys

import numpy as np
import pytest
from lib import kept_sink
from lib.training import new_run, records, tiny

from ple_jax import config, plugins
from ple_jax.config import sweep
from ple_jax.runs.directory import open_run, same_run
from ple_jax.runs.followers import following
from ple_jax.studies import sweeps
from ple_jax.train import loop

SHORT = {"epochs": 2, "batch_size": 512}


@pytest.fixture(autouse=True)
def kept(followed):
    kept_sink.opened.clear()
    kept_sink.fails.clear()
    return kept_sink


def journal(run):
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def wanted_of(record):
    """The numbers of a line of the journal, by loops of its own."""
    found = {
        "train/loss": record["loss"],
        "train/examples_per_second": record["examples_per_second"],
        "validation/score": record["score"],
    }
    for split in ("train", "validation"):
        found |= of_report(split, record[split])
    return found


def of_report(split, report):
    found = {}
    for task, metrics in report["tasks"].items():
        found |= {f"{split}/{task}/{m}": v for m, v in metrics.items()}
    if len(report["domains"]) > 1:
        for domain, tasks in report["domains"].items():
            for task, metrics in tasks.items():
                found |= {f"{split}/{domain}/{task}/{m}": v for m, v in metrics.items()}
    return {name: value for name, value in found.items() if value is not None}


@pytest.fixture(scope="module")
def followed(everything, tmp_path_factory):
    """A finished run, what its sink was told of it, and the calls that it got."""
    plugins.allow(kept_sink.NAME)
    settings = {**SHORT, "sinks": [kept_sink.NAME]}
    folder = tmp_path_factory.mktemp("followed")
    made = new_run(everything, folder / "named", train=settings)
    loop.fit(made)
    ((about, calls),) = kept_sink.opened
    return made, about, calls


@pytest.fixture
def finished(followed):
    return followed[0]


@pytest.fixture
def copied(finished, tmp_path):
    """(names of sinks) -> a run with the journal of the finished one, and no more."""

    def made(*names, folder="run"):
        settings = {**SHORT, "sinks": list(names)}
        new = new_run(finished.data, tmp_path / folder, train=settings)
        new.metrics.write_bytes(finished.metrics.read_bytes())
        return new

    return made


def sent(run, *, lines=None, result=None):
    """Sends lines of the journal to a run's sinks, and maybe its final table."""
    with following([run]) as (follower,):
        for record in journal(run)[:lines]:
            follower.write(record)
        if result:
            follower.finish(result)


def test_training_sends_each_number_once_and_the_final_table(followed, kept):
    run, about, calls = followed
    result = run.result
    assert (about.name, about.group, about.step) == ("named", "", 0)
    assert about.knobs == config.flat(run.experiment)
    lines = journal(run)
    assert calls[:-2] == [("write", r["step"], wanted_of(r)) for r in lines]
    finish, step, numbers, page = calls[-2]
    assert (finish, step, calls[-1]) == ("finish", result["step"], ("close",))
    best = of_report("validation", result["validation"])
    best |= of_report("test", result["test"])
    assert numbers == {f"best/{name}": value for name, value in best.items()}
    assert "| buy" in page
    assert loop.fit(open_run(run.directory), resume=True) == result
    assert [call for _, calls in kept.opened for call in calls] == [("close",)]


def test_a_sink_that_fails_is_told_once_and_gets_the_rest_on_resuming(
    copied, finished, kept, capsys
):
    run, lines = copied(kept.NAME), journal(finished)
    kept.fails.add(lines[1]["step"])
    sent(run, result=finished.result)
    assert capsys.readouterr().err.count("nobody answers") == 1
    ((_, calls),) = kept.opened
    assert [call[:2] for call in calls] == [("write", lines[0]["step"]), ("close",)]
    kept.fails.clear()
    sent(run, result=finished.result)
    about, calls = kept.opened[1]
    assert about.step == lines[0]["step"]
    assert about.identity == kept.opened[0][0].identity
    assert [call[0] for call in calls] == ["write", "finish", "close"]
    assert calls[0][1] == lines[1]["step"]


def test_a_run_goes_on_with_the_sinks_that_are_asked_for_now(finished, tmp_path, kept):
    shutil.copytree(finished.directory, tmp_path / "run")
    recorded = open_run(tmp_path / "run")
    without = config.with_values(recorded.experiment, {"train.sinks": ()})
    loop.fit(same_run(recorded, without), resume=True)
    assert not kept.opened
    (tmp_path / "run" / "sinks.json").unlink()  # as if the sink was new to it
    loop.fit(same_run(recorded, recorded.experiment), resume=True)
    ((_, calls),) = kept.opened
    assert [call[0] for call in calls] == ["write", "write", "finish", "close"]
    unknown = config.with_values(recorded.experiment, {"train.sinks": ("wandbb",)})
    with pytest.raises(ValueError, match=r"'wandbb' is not a known sink.*'wandb'"):
        same_run(recorded, unknown)


def test_training_goes_on_whatever_a_sink_does(finished, tmp_path, kept):
    kept.fails.update(range(10_000))
    run = new_run(finished.data, tmp_path / "run", train=SHORT | {"sinks": [kept.NAME]})
    gone = config.with_values(run.experiment, {"train.sinks": (kept.NAME, "gone")})
    assert loop.fit(dataclasses.replace(run, experiment=gone)) == finished.result
    assert records(run) == records(finished)


def test_trials_have_names_of_their_own(data, tmp_path, kept):
    settings = SHORT | {"epochs": 1, "seeds": 2, "sinks": [kept.NAME]}
    asked = sweep.of(lambda kinds: tiny(train=settings), {})
    sweeps.fit(sweeps.create(tmp_path / "mine", asked, data))
    abouts = [about for about, _ in kept.opened]
    assert [about.name for about in abouts] == ["mine/seed=0", "mine/seed=1"]
    assert {about.group for about in abouts} == {"mine"}
    assert {about.home for about in abouts} == {tmp_path}
    assert len({about.identity for about in abouts}) == 2


def test_what_cannot_be_a_sink_is_refused_before_there_is_a_run(
    data, tmp_path, monkeypatch
):
    for names, told in (
        (["tensorbord"], "Did you mean 'tensorboard'"),
        (["wandb", "wandb"], "twice"),
        (["wandb"], r"needs the package wandb: pip install 'ple-jax\[wandb\]'"),
    ):
        monkeypatch.setitem(sys.modules, "wandb", None)
        with pytest.raises(ValueError, match=told):
            new_run(data, tmp_path / "run", train={"sinks": names})
    assert not (tmp_path / "run").exists()


def test_tensorboard_reads_what_was_sent(copied, finished):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    run, lines = copied("tensorboard"), journal(finished)
    sent(run, lines=1)
    sent(run, result=finished.result)  # in another process, as if it was resumed
    read = EventAccumulator(str(run.directory / "tensorboard"), {"tensors": 0})
    read.Reload()
    curve = lambda tag: [
        (e.step, make_ndarray(e.tensor_proto).item()) for e in read.Tensors(tag)
    ]
    for name in wanted_of(lines[0]):
        numbers = [(line["step"], wanted_of(line).get(name)) for line in lines]
        known = [(step, np.float32(v)) for step, v in numbers if v is not None]
        assert curve(name) == known, name
    best = finished.result["test"]["tasks"]["buy"]["log_loss"]
    assert curve("best/test/buy/log_loss")[0][1] == np.float32(best)
    assert b"train.epochs | 2" in curve("experiment")[0][1]
    assert b"| buy" in curve("result")[0][1]


def test_mlflow_reads_what_was_sent(copied, finished, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    run, lines = copied("mlflow"), journal(finished)
    sent(run, lines=1)
    sent(run, result=finished.result)
    client = mlflow.tracking.MlflowClient(f"sqlite:///{run.directory.parent}/mlflow.db")
    number = client.get_experiment_by_name("ple_jax").experiment_id
    (found,) = client.search_runs([number])
    assert found.info.run_name == "run"
    assert found.info.status == "FINISHED"
    assert found.data.params["train.epochs"] == "2"
    name = "validation/buy/log_loss"
    history = client.get_metric_history(found.info.run_id, name)
    assert [(m.step, m.value) for m in history] == [
        (line["step"], wanted_of(line)[name]) for line in lines
    ]
    best = finished.result["test"]["tasks"]["buy"]["log_loss"]
    assert found.data.metrics["best/test/buy/log_loss"] == best
    assert [f.path for f in client.list_artifacts(found.info.run_id)] == ["result.md"]


def logged(content, block=32768, head=7):
    """The records of a file in LevelDB's log format, after the 7 bytes of its own."""
    place, parts = head, b""
    while place + head <= len(content):
        size, kind = struct.unpack_from("<HB", content, place + 4)
        parts += content[place + head : place + head + size]
        if kind in (1, 4):  # whole, or the last part of one
            yield parts
            parts = b""
        place += head + size
        if block - place % block < head:
            place += block - place % block  # the rest of a block is empty


def test_weights_and_biases_writes_what_was_sent(copied, finished, monkeypatch):
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.delenv("WANDB_MODE", raising=False)
    run, lines = copied("wandb"), journal(finished)
    sent(run, lines=1)
    sent(run, result=finished.result)
    files = sorted(run.directory.glob("wandb/offline-run-*/*.wandb"))
    history, runs, summary = [], set(), {}
    for file in files:
        for data in logged(file.read_bytes()):
            record = Record.FromString(data)
            if record.run.run_id:
                runs.add((record.run.run_id, record.run.display_name))
            pairs = lambda items: {
                i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items
            }
            if record.history.item:
                history.append(pairs(record.history.item))
            summary |= pairs(record.summary.update)
    assert len(runs) == 1
    assert {name for _, name in runs} == {"run"}
    assert [one["_step"] for one in history] == [line["step"] for line in lines]
    for one, line in zip(history, lines, strict=True):
        for name, value in wanted_of(line).items():
            assert one[name] == pytest.approx(value), name
    best = finished.result["test"]["tasks"]["buy"]["log_loss"]
    assert summary["best/test/buy/log_loss"] == pytest.approx(best)
