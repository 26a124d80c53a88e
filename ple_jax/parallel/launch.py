"""Starts the processes of one training on this machine, and ends them together."""

import itertools
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, NamedTuple

from ple_jax.parallel import told
from ple_jax.show import console

LOST = 76  # status of a process that ended because another did
OF_OTHERS = (LOST, -signal.SIGABRT)  # C++ aborts, too, where another is gone
FATAL = re.compile(rb"F\d{4} ")  # how C++ begins to say so
FINE = (0, 3, 130)  # done, done from an older checkpoint, stopped by a signal
GRACE = 5.0  # seconds in which the others may end by themselves
POLL = 0.05  # seconds


class Failure(NamedTuple):
    """Which process failed, and its status, below 0 for a signal.

    One that the others lost but that has not ended stands still: it has none.
    """

    number: int
    status: int | None

    def __str__(self) -> str:
        if self.status is None:
            return f"process {self.number} stood still"
        if self.status >= 0:
            return f"process {self.number} ended with status {self.status}"
        name = signal.Signals(-self.status).name
        return f"process {self.number} was killed by {name}"


def launch(count: int, command: Sequence[str]) -> int:
    """Runs a command of `ple-jax` in some processes; returns the status of all."""
    with tempfile.TemporaryDirectory(prefix="ple-jax-launch-") as name:
        folder, address = pathlib.Path(name), f"127.0.0.1:{free_port()}"
        each = [started(i, count, command, address, folder) for i in range(count)]
        speakers = [spoken for i, one in enumerate(each) for spoken in speaks(i, one)]
        try:
            with forwarded(each):
                failure = watch(each)
        finally:
            for process in each:
                process.kill()  # of one that has ended, this is nothing
            for speaker in speakers:
                speaker.join(GRACE)
        if failure is None:
            return max(process.wait() for process in each)
        tell(failure, count, command, folder)
        status = -signal.SIGKILL if failure.status is None else failure.status
        return status if status > 0 else 128 - status


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def started(
    number: int, count: int, command: Sequence[str], address: str, folder: pathlib.Path
) -> subprocess.Popen:
    """Starts one process; what it says goes to this one's stderr if it is not first.

    In a session of its own, it does not see the Ctrl-C of a terminal, which would come
    twice.
    """
    line = [sys.executable, "-m", "ple_jax", *command, "--train.distributed", address]
    place = {told.NUMBER: str(number), told.COUNT: str(count), told.FOLDER: str(folder)}
    said = None if sys.stderr.isatty() else subprocess.PIPE  # a bar needs the terminal
    # C++ logs what Python raises.
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, **place}
    return subprocess.Popen(
        line,
        env=environment,
        stdout=None if number == 0 else subprocess.PIPE,
        stderr=said if number == 0 else subprocess.STDOUT,
        start_new_session=True,
    )


def speaks(number: int, process: subprocess.Popen) -> Iterator[threading.Thread]:
    """Begins to pass on what a process says, if that comes here."""
    pipe, before = process.stderr or process.stdout, f"[{number}] " if number else ""
    if pipe is not None:
        thread = threading.Thread(target=pass_on, args=(pipe, before), daemon=True)
        thread.start()
        yield thread


def pass_on(lines: IO[bytes], before: str) -> None:
    """Copies lines to stderr, each with something before it.

    Not those of C++ that ends a process: it is told of in a sentence.
    """
    fatal = False
    for line in lines:
        fatal = (fatal or bool(FATAL.match(line))) and not line.startswith(b"error: ")
        if fatal:
            continue
        sys.stderr.write(before + line.decode(errors="replace"))
        sys.stderr.flush()


@contextmanager
def forwarded(processes: Sequence[subprocess.Popen]) -> Iterator[None]:
    """Hands SIGINT and SIGTERM on, once; a second one kills all."""
    came: list[int] = []

    def hand_on(number, frame):
        came.append(number)
        for process in processes:
            process.send_signal(number if len(came) == 1 else signal.SIGKILL)

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, hand_on) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def watch(processes: Sequence[subprocess.Popen]) -> Failure | None:
    """Waits for all; after the first failure only `GRACE` seconds. Returns it.

    One that ended because it lost another is the failure only if there is no other:
    not where one has not ended by then.
    """
    failed: list[Failure] = []
    deadline = float("inf")
    while any(process.poll() is None for process in processes):
        failed += new_failures(processes, failed)
        if failed and deadline == float("inf"):
            deadline = time.monotonic() + GRACE
        if time.monotonic() > deadline:
            break
        time.sleep(POLL)
    failed += new_failures(processes, failed)
    still = [Failure(i, None) for i, one in enumerate(processes) if one.poll() is None]
    own = (failure for failure in failed if failure.status not in OF_OTHERS)
    return next(own, next(iter([*still, *failed]), None))


def new_failures(
    processes: Sequence[subprocess.Popen], known: Sequence[Failure]
) -> list[Failure]:
    """The failures of processes of which none is known yet."""
    numbers = {failure.number for failure in known}
    found = [
        Failure(number, status)
        for number, process in enumerate(processes)
        if number not in numbers and (status := process.poll()) is not None
    ]
    return [failure for failure in found if failure.status not in FINE]


def tell(
    failure: Failure, count: int, command: Sequence[str], folder: pathlib.Path
) -> None:
    """Says which process failed and where, and how to go on."""
    step, run = told.step_told(folder, failure.number), told.run_told(folder)
    where = "before its first step" if step is None else f"at step {step}"
    console.say(f"{failure} {where}; the others of the {count} have been ended.")
    if run:
        plugins = [
            part
            for name, value in itertools.pairwise(command)
            if name == "--plugin"
            for part in (name, value)
        ]
        console.say(f"continue with: {resume_line(run, count, plugins)}")


def resume_line(run: str, count: int, options: Sequence[str] = ()) -> str:
    """The command that continues a run; by the launcher if `count` is not 0."""
    launched = ["launch", "-n", str(count), "--"] if count else []
    again = ["train", "--resume", "--run-dir", run, *options]
    return shlex.join(["ple-jax", *launched, *again])
