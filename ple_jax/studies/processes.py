"""Commands that run at once, each in a process of its own with a log."""

import contextlib
import pathlib
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import IO


def run_all(
    commands: Mapping[str, Sequence[str]], logs: pathlib.Path, workers: int
) -> Iterator[tuple[str, int]]:
    """Runs commands, some at a time; yields the name and status of each as it ends.

    What they print goes to LOGS/NAME.txt. If the caller stops, by Ctrl-C or SIGTERM,
    those that run are told to stop too, and waited for; the others never start.
    """
    logs.mkdir(exist_ok=True)
    running, stopped = list[subprocess.Popen](), threading.Event()
    starting = threading.Lock()  # held to stop them, so that none starts unseen

    def start(name: str, log: IO[bytes]) -> subprocess.Popen | None:
        with starting:
            if stopped.is_set():
                return None
            process = subprocess.Popen(commands[name], stdout=log, stderr=log)
            running.append(process)
            return process

    def call(name: str) -> int:
        with (logs / f"{name}.txt").open("ab") as log:
            process = start(name, log)
            return -signal.SIGTERM if process is None else process.wait()

    with _sigterm_interrupts(), ThreadPoolExecutor(workers) as pool:
        names = {pool.submit(call, name): name for name in commands}
        try:
            for done in as_completed(names):
                yield names[done], done.result()
        finally:
            with starting:
                stopped.set()
                for process in running:
                    process.terminate()  # does nothing to one that has ended


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Lets SIGTERM do what Ctrl-C does; else it would end this process alone."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def last_words(logs: pathlib.Path, name: str) -> str:
    """The last line that a command printed."""
    lines = (logs / f"{name}.txt").read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "")
