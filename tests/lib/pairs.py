"""Two processes that train together, each with faults of its own."""

import json
import time
from multiprocessing.connection import wait
from typing import NamedTuple

import numpy as np
import pytest
from lib import processes

from ple_jax.parallel import launch, told

EXPERIMENT = processes.ROOT / "experiments" / "synthetic_ple.toml"
KNOBS = """
    --data.examples 700 --train.epochs 3 --train.batch-size 32 --train.members 1
    --train.average-decay 0 --train.steps-per-dispatch 2 --model.expert-dims 3
    --model.tower-dims 3 --train.optimizer adagrad --inputs.update rows
""".split()


def new(run, *knobs):
    return ["train", EXPERIMENT, "--run-dir", run, *KNOBS, *knobs]


def again(run):
    return ["train", "--resume", "--run-dir", run]


class Both(NamedTuple):
    """How two processes ended."""

    first: processes.Ended
    second: processes.Ended
    apart: float  # seconds from the end of one to that of the other

    @property
    def statuses(self):
        return self.first.status, self.second.status


def begun(folder, *lines, faults=((), ())):
    """Begins two processes, each with its command."""
    address = f"127.0.0.1:{launch.free_port()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(told.COUNT, "2")
        patch.setenv(told.FOLDER, str(folder))
        started = []
        for number, (line, own) in enumerate(zip(lines, faults, strict=True)):
            patch.setenv(told.NUMBER, str(number))
            output, meet = folder / f"said-{number}", ("--train.distributed", address)
            started.append(processes.start(output, *line, *meet, faults=own))
    return started


def together(folder, *lines, faults=((), ())):
    """Runs two processes, each with its command, to their ends."""
    started = begun(folder, *lines, faults=faults)
    wait([one.process.sentinel for one in started], processes.LONGEST)
    since = time.monotonic()
    ended = [one.end() for one in started]
    return Both(*ended, time.monotonic() - since)


def numbers(run):
    """All that the journal and the result of a run measured, but for speed."""
    journal = run / "metrics.jsonl"  # a sweep has none
    records = list(map(json.loads, journal.open())) if journal.exists() else []
    for record in records:
        del record["examples_per_second"]
        record.pop("exchange", None)
    tree = [records, json.loads((run / "result.json").read_text())]
    found = []

    def walk(node):
        if isinstance(node, dict | list):
            for value in node.values() if isinstance(node, dict) else node:
                walk(value)
        elif isinstance(node, int | float):
            found.append(float(node))

    walk(tree)
    return np.array(found)
