"""What all faults are tried on: a small table, and runs that were trained on it."""

import functools
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import pytest
from lib import processes
from lib.in_child import die_at, note_changes
from lib.snapshots import held
from lib.tables import SCHEMA_TEXT, raw, write_csv

EXPERIMENT = """
[data]
kind = "table"
schema = "{here}/schema.toml"
files = ["{here}/rows.csv"]
[model]
kind = "shared_bottom"
expert_dims = [5]
tower_dims = [3]
batch_norm = true
[inputs]
embedding_dim = 2
[train]
epochs = 2
batch_size = 32
steps_per_dispatch = 3
checkpoint_every = 3
eval_batch_size = 64
average_decay = 0.9
members = 1
learning_rate = 0.03
devices = 1
metric = "log_loss/click"
"""
KINDS = {"lone": (), "group": ("--train.seeds", "2")}


def pytest_generate_tests(metafunc):
    """`@pytest.mark.drawn(n)`: the test has n seeds, times what --faults says."""
    if mark := metafunc.definition.get_closest_marker("drawn"):
        scale = metafunc.config.getoption("--faults")
        metafunc.parametrize("seed", range(mark.args[0] * scale))


class Here(NamedTuple):
    """A folder with a table, its schema and an experiment; runs are made in it."""

    folder: pathlib.Path

    @property
    def experiment(self) -> pathlib.Path:
        return self.folder / "tiny.toml"

    def run(self, *arguments, faults=()) -> processes.Ended:
        return self.start(*arguments, faults=faults).end()

    def start(self, *arguments, faults=(), said="said") -> processes.Started:
        output = self.folder / f"{said}.txt"
        return processes.start(output, *arguments, faults=faults)

    def train(self, kind: str, where: pathlib.Path, *faults) -> processes.Ended:
        arguments = ("train", self.experiment, "--run-dir", where, *KINDS[kind])
        return self.run(*arguments, faults=faults)

    def resume(self, where: pathlib.Path, *faults) -> processes.Ended:
        return self.run("train", "--resume", "--run-dir", where, faults=faults)


def fill(folder: pathlib.Path) -> Here:
    write_csv(folder / "rows.csv", raw(397))
    (folder / "schema.toml").write_text(SCHEMA_TEXT)
    (folder / "tiny.toml").write_text(EXPERIMENT.format(here=folder))
    return Here(folder)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """The table and experiment that most tests use, and a cache for its data set."""
    folder = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLE_JAX_CACHE", str(folder / "cache"))
        yield fill(folder)


class Whole(NamedTuple):
    """An uninterrupted run or group: what it holds, and how it wrote it."""

    directory: pathlib.Path
    held: dict
    changes: list[tuple[str, str]]  # audit event, path


@pytest.fixture(scope="session")
def whole(shared) -> Callable[[str], Whole]:
    """(kind) -> a run or group that was trained without a fault."""

    @functools.cache
    def trained(kind: str) -> Whole:
        run, log = shared.folder / f"whole-{kind}", shared.folder / f"{kind}.log"
        note = functools.partial(note_changes, str(run), str(log))
        ended = shared.train(kind, run, note)
        assert ended.status == 0, ended.said
        lines = [tuple(line.split("\t")) for line in log.read_text().splitlines()]
        return Whole(run, held(run), lines)

    return trained


@pytest.fixture(scope="session")
def stopped(shared) -> pathlib.Path:
    """A run that was killed in its second epoch: it has a best and a newest."""
    run = shared.folder / "stopped"
    fault = functools.partial(die_at, "open", "metrics.jsonl", 2)
    assert shared.train("lone", run, fault).status < 0
    return run
