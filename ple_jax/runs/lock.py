"""One training at a time has a run directory."""

import fcntl
import json
import os
import pathlib
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple

from ple_jax.disk import new_file, read_json
from ple_jax.runs.directory import EXPERIMENT
from ple_jax.show import console

OWNER = "training.json"


class Owner(NamedTuple):
    """The process that trains a run.

    Attributes:
        host: Where it runs.
        process: Its number there.
        started: When it started, in the kernel's count: numbers are used again.
        since: When it took the run, in seconds since 1970.
    """

    host: str
    process: int
    started: str
    since: float

    def __str__(self) -> str:
        clock = time.strftime("%H:%M", time.localtime(self.since))
        since = f"since {clock} ({ago(time.time() - self.since)})"
        return f"process {self.process} on {self.host} {since}"

    @property
    def may_live(self) -> bool:
        """Whether it runs; of another host, nobody here can tell."""
        here = self.host == platform.node()
        return not here or start_of(self.process) == self.started


@contextmanager
def locked(directory: pathlib.Path) -> Iterator[None]:
    """Keeps a run directory for one training; the system lets go if the process dies.

    Where the file system has no locks, the owner that is recorded is asked for.

    Raises:
        ValueError: Another training has it; names its process, host and age.
    """
    path = directory / OWNER
    with (directory / EXPERIMENT).open("rb+") as file:
        is_locked, owner = _lock(file, directory), recorded(path)
        if owner and owner.may_live and not is_locked:
            raise _refusal(directory, owner)
        if owner:
            console.say(f"{directory} is taken over from {owner}: it has ended")
        path.unlink(missing_ok=True)
        _record(path, directory)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock(file: IO[bytes], directory: pathlib.Path) -> bool:
    """Locks a file; False where the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _refusal(directory, recorded(directory / OWNER)) from error
    except OSError as error:
        console.say(
            f"warning: {directory} cannot be locked ({error.strerror}); {OWNER} in it "
            "says who trains it"
        )
        return False
    return True


def _record(path: pathlib.Path, directory: pathlib.Path) -> None:
    process = os.getpid()
    me = Owner(platform.node(), process, start_of(process), time.time())
    try:
        with new_file(path) as partial:
            partial.write_text(json.dumps(me._asdict()), encoding="utf-8")
    except FileExistsError as error:  # another was faster, where there are no locks
        raise _refusal(directory, recorded(path)) from error


def _refusal(directory: pathlib.Path, owner: Owner | None) -> ValueError:
    who = str(owner) if owner else "another process"
    advice = "wait for its end, or stop it and resume"
    if owner and owner.host != platform.node():
        advice += f" (if it is gone, remove {directory / OWNER})"
    return ValueError(f"{directory} is being trained by {who}: {advice}.")


def recorded(path: pathlib.Path) -> Owner | None:
    """The recorded owner, if there is one that can be read."""
    try:
        tree = read_json(path)
        kinds = Owner.__annotations__.items()
        return Owner(**{name: kind(tree[name]) for name, kind in kinds})
    except (ValueError, TypeError, KeyError, FileNotFoundError):
        return None


def start_of(process: int) -> str:
    """When a process of this host started, in the kernel's count; "" if it ended."""
    try:
        stat = pathlib.Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return "" if pathlib.Path("/proc/self").exists() else _answers(process)
    return stat.rpartition(")")[2].split()[19]


def _answers(process: int) -> str:
    """Like `start_of`, where there is no /proc: only whether it runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "runs"


def ago(seconds: float) -> str:
    """An age in one number: "12 s ago"."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
