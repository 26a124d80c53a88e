"""Commands in processes of their own, which can be killed, limited and sabotaged.

Each is forked from a process that has imported all and started no thread, so that a
command begins in 0.1 s; importing takes 3 s.
"""

import functools
import multiprocessing
import os
import pathlib
from typing import NamedTuple

from lib import in_child

LONGEST = 180  # seconds: what takes longer hangs
ROOT = pathlib.Path(__file__).parents[2]


class Ended(NamedTuple):
    """How a process ended: its status, below 0 for a signal, and what it said."""

    status: int
    said: str


class Started(NamedTuple):
    """A running process."""

    process: multiprocessing.Process
    output: pathlib.Path

    def end(self) -> Ended:
        """Waits for its end."""
        self.process.join(LONGEST)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"It hangs, having said: {self.output.read_text()}")
        return Ended(self.process.exitcode, self.output.read_text(errors="replace"))

    def killed_after(self, seconds: float) -> Ended:
        """Kills it after some time, unless it has ended by then."""
        self.process.join(seconds)
        self.process.kill()
        return self.end()


def start(output: pathlib.Path, *arguments: object, faults=()) -> Started:
    """Starts a command in this directory; what it says goes to `output`."""
    texts = tuple(map(str, arguments))
    details = texts, str(output), dict(os.environ), faults
    process = server().Process(target=in_child.run, args=details)
    process.start()
    return Started(process, output)


def run(output: pathlib.Path, *arguments: object, faults=()) -> Ended:
    """Runs a command to its end."""
    return start(output, *arguments, faults=faults).end()


@functools.cache
def server() -> multiprocessing.context.ForkServerContext:
    """What forks processes; threads of linear algebra are off in it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([in_child.__name__])
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    changed = {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}
    changed["PYTHONWARNINGS"] = "ignore::RuntimeWarning"  # JAX warns of any fork
    before = dict(os.environ)
    os.environ.update(changed)
    try:
        context.Process(target=os.getpid).start()  # the server keeps this environment
    finally:
        os.environ.clear()
        os.environ.update(before)
    return context
