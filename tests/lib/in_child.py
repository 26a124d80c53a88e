"""What a forked process runs: one command, with faults built in."""

import itertools
import os
import pathlib
import re
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

import jax
from jax._src import compiler

# So that each fork has them at once. None of them starts a thread.
from ple_jax.cli import main as cli
from ple_jax.data import prepare
from ple_jax.parallel import processes as together
from ple_jax.parallel import runtime, told
from ple_jax.runs import journal
from ple_jax.serve import files  # noqa: F401
from ple_jax.studies import sweeps  # noqa: F401
from ple_jax.train import loop, progress, state, storage  # noqa: F401

jax.config.update("jax_disable_most_optimizations", True)
Fault = Callable[[], None]
# Events of Python's audit hooks that change what is on the disk.
CHANGES = "open os.mkdir os.rename os.link os.remove os.rmdir os.truncate shutil.rmtree"


def run(
    arguments: Sequence[str],
    output: str,
    environment: Mapping[str, str],
    faults: Sequence[Fault],
) -> None:
    """Runs a command with its output in a file; ends with its status."""
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    runtime.keep_compiled = lambda: None  # the cache of all tests serves
    keep_what_others_compile()
    for fault in faults:
        fault()
    sys.exit(cli.main(arguments))


def keep_what_others_compile() -> None:
    """Lets all processes write to the cache, where JAX lets only the first."""
    write, first = compiler._cache_write, SimpleNamespace(process_id=0)

    def as_first(*details: Any) -> None:
        with mock.patch.object(
            compiler, "distributed", SimpleNamespace(global_state=first)
        ):
            write(*details)

    compiler._cache_write = as_first


# Faults. Those with arguments are made by `functools.partial`.


def die_at(event: str, pattern: str, nth: int) -> None:
    """Kills this process right before the nth change of a file that fits."""

    def hook(found: str, arguments: tuple[Any, ...]) -> None:
        nonlocal nth
        if found == event and is_change(found, arguments):
            nth -= bool(re.search(pattern, named(arguments)))
            if nth <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def at_step(nth: int, act: str, later: float = 0.0) -> None:
    """Is killed, stopped or asked to stop, raises or hangs, at the nth dispatch.

    A kill may come `later`, in seconds.
    """
    kill = partial(os.kill, os.getpid(), signal.SIGKILL)
    acts = {
        "hang": lambda: time.sleep(1000),
        "freeze": lambda: os.kill(os.getpid(), signal.SIGSTOP),
        "kill later": lambda: threading.Timer(later, kill).start(),
        "kill": kill,
        "stop": lambda: os.kill(os.getpid(), signal.SIGTERM),
        "raise": lambda: int("broken"),
    }
    tell, count = told.tell_step, itertools.count(1)

    def counted(step: int) -> None:
        tell(step)
        if next(count) == nth:
            acts[act]()

    told.tell_step = counted


def be_patient() -> None:
    """Takes no process for lost because the machine let it stand still for a while."""
    os.environ[together.SECONDS] = "100"


def note_changes(below: str, log: str) -> None:
    """Writes the event and the path of each change of a file below a folder."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT)

    def hook(found: str, arguments: tuple[Any, ...]) -> None:
        if is_change(found, arguments) and below in (path := named(arguments)):
            os.write(file, f"{found}\t{path}\n".encode())

    sys.addaudithook(hook)


def is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether an audit event changes the disk: reading does not."""
    if event == "open":
        return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in CHANGES.split()


def named(arguments: tuple[Any, ...]) -> str:
    """The paths of an audit event."""
    return " ".join(str(a) for a in arguments if isinstance(a, str | pathlib.Path))


def limit_files(size: int) -> None:
    """Fails every write beyond this many bytes of a file, like a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def write_in_place() -> None:
    """Prepares data under their final name from the beginning."""

    @contextmanager
    def placed(path: pathlib.Path) -> Iterator[pathlib.Path]:
        path.mkdir()
        yield path

    prepare.new_directory = placed


def forget_the_optimizer() -> None:
    """Saves and restores all but the state of the optimizer."""
    fields = state._rest
    state._rest = lambda whole: [f for f in fields(whole) if f != "opt_state"]


def forget_the_place() -> None:
    """Resumes at the beginning of the epoch."""
    read = progress.from_record

    def at_its_beginning(record, best_step):
        place, standings = read(record, best_step)
        return progress.Place(place.epoch), standings

    progress.from_record = at_its_beginning


def save_without_an_item() -> None:
    """Leaves what only training needs out of every checkpoint."""
    save = storage.Storage.save

    def skipping(self, step, items, *rest):
        save(self, step, {k: v for k, v in items.items() if k != "training"}, *rest)

    storage.Storage.save = skipping


def keep_no_journal() -> None:
    """Writes no line of the journal."""
    journal.Journal.write = lambda *record: None
