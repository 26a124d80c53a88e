"""A run directory is copied to an object store while it trains.

A copy is made of files that stay as they are meanwhile; an upload that is cut off takes
nothing away from the one before (see `runs.copies`).
"""

import hashlib
import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial

from ple_jax.data.remote import again, system_of
from ple_jax.disk import PARTIAL
from ple_jax.runs.copies import AT_ONCE, Copy, digest_of, newest, newest_step
from ple_jax.runs.directory import EXPERIMENT
from ple_jax.runs.lock import OWNER
from ple_jax.show import console

EVERY = 60.0  # seconds between two copies
GROWING = ".jsonl"  # journals: what they end with, a copy need not have
LEFT_OUT = (PARTIAL, "orbax-checkpoint-tmp", OWNER)  # what is being written
Stamp = tuple[int, int, int]  # size, time of change, inode


class Mirror:
    """Copies a run directory to a store."""

    def __init__(self, directory: pathlib.Path, url: str):
        self.directory, self.url = directory, url.rstrip("/")
        self._system, self._root = system_of(self.url)
        make = partial(self._system.makedirs, f"{self._root}/objects", exist_ok=True)
        try:
            again(make, f"{self.url}/objects", "made")
        except OSError as error:  # there is no such bucket, or it is another's
            raise ValueError(f"{self.url} cannot be written: {error}.") from error
        self._last = newest(self.url)
        self._known = self._last.objects  # what is surely there
        self._hashes: dict[tuple[str, Stamp], str] = {}

    def copy(self) -> bool:
        """Brings the store up to date; returns whether no file changed meanwhile."""
        before = stamps(self.directory)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                sent = pool.map(self._sent, before, before.values())
                files = dict(zip(before, sent, strict=True))
            except FileNotFoundError:
                if all((self.directory / path).exists() for path in before):
                    raise  # it is the store that lacks something
                return False  # an older checkpoint made room
        if steady(stamps(self.directory)) != steady(before):
            return False
        if files != self._last.files:
            self._say(Copy(self._last.number + 1, files))
        return True

    def _sent(self, path: str, stamp: Stamp) -> tuple[str, int]:
        """The hash and size of a file, whose bytes the store has."""
        place = self.directory / path
        if path.endswith(GROWING):
            content = place.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            # Stores name what is written as they like: it must come by its place.
            self._put(digest, lambda to: self._system.pipe_file(to, content))
            return digest, len(content)
        digest = self._hashes.get((path, stamp)) or digest_of(place)
        self._hashes[path, stamp] = digest
        self._put(digest, partial(self._system.put_file, str(place)))
        if stamp_of(place) != stamp:  # other bytes may have been sent
            self._known.discard(digest)
        return digest, stamp[0]

    def _put(self, digest: str, put: Callable[[str], None]) -> None:
        """Sends an object that the store may lack."""
        if digest in self._known:
            return
        to = f"{self._root}/objects/{digest}"
        again(partial(put, to), f"{self.url}/objects/{digest}", "written")
        self._known.add(digest)

    def _say(self, now: Copy) -> None:
        """Makes a copy count; then what only those before it had may go."""
        to = f"{self._root}/run.{now.number}.json"
        write = partial(self._system.pipe_file, to, now.text().encode())
        again(write, f"{self.url}/run.{now.number}.json", "written")
        old, self._last = self._last, now
        self._known &= now.objects
        gone = [f"run.{old.number}.json"] if old.number else []
        gone += [f"objects/{digest}" for digest in old.objects - now.objects]
        with suppress(Exception):  # what stays is in nobody's way
            for name in gone:
                self._system.rm_file(f"{self._root}/{name}")


def stamp_of(path: pathlib.Path) -> Stamp:
    """What changes when a file does."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def stamps(directory: pathlib.Path) -> dict[str, Stamp]:
    """The files of a run directory; not what is being written."""
    found = {}
    for folder, names, files in os.walk(directory):
        names[:] = sorted(n for n in names if not any(p in n for p in LEFT_OUT))
        for name in sorted(n for n in files if not any(p in n for p in LEFT_OUT)):
            path = pathlib.Path(folder, name)
            with suppress(FileNotFoundError):  # it went meanwhile
                found[path.relative_to(directory).as_posix()] = stamp_of(path)
    return found


def steady(files: dict[str, Stamp]) -> dict[str, Stamp]:
    """Those that must stay as they are while they are copied."""
    return {path: at for path, at in files.items() if not path.endswith(GROWING)}


def check(url: str, directory: pathlib.Path | None) -> None:
    """Raises a ValueError if a copy at `url` would take something away from there.

    Args:
        url: The address; "" is none.
        directory: The run that goes on; None for a new one.
    """
    found = newest(url) if url else Copy(0, {})
    if not found.number:
        return
    go_on = f"Go on with that one: `ple-jax restore {url} DIR`."
    if directory is None:
        raise ValueError(f"{url} has a run already. Name another address. {go_on}")
    digest, _ = found.files.get(EXPERIMENT, ("", 0))
    if digest != digest_of(directory / EXPERIMENT):
        raise ValueError(
            f"{url} has another run: its {EXPERIMENT} is not that of {directory}. Name "
            "another address."
        )
    here = newest_step(stamps(directory))
    if found.step > here:
        raise ValueError(
            f"{url} is ahead of {directory}: it has step {found.step:,}, not {here:,}. "
            f"{go_on}"
        )


@contextmanager
def mirrored(directory: pathlib.Path, url: str, every: float = EVERY) -> Iterator[None]:
    """Copies a run directory to `url` every so many seconds, and at the end.

    An address of "" copies nothing. A copy that fails meanwhile is said, and tried
    again.

    Raises:
        ValueError: The store cannot be written to, or the last copy failed.
    """
    if not url:
        yield
        return
    mirror, over = Mirror(directory, url), threading.Event()

    def keep() -> None:
        while not over.wait(every):
            with saying(url):
                mirror.copy()

    thread = threading.Thread(target=keep, name="mirror", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        end(thread, over)
        with saying(url):
            mirror.copy()
        raise
    end(thread, over)
    copy_last(mirror)


def end(thread: threading.Thread, over: threading.Event) -> None:
    """Tells a thread that all is over, and waits for it."""
    over.set()
    thread.join()


@contextmanager
def saying(url: str) -> Iterator[None]:
    """Says what fails, and lets it be."""
    try:
        yield
    except Exception as error:  # stores have errors of their own
        console.say_once(f"warning: {url} is not up to date: {error}")


def copy_last(mirror: Mirror) -> None:
    """Copies a run that no longer changes.

    Raises:
        ValueError: The store does not take it.
    """
    try:
        whole = mirror.copy()
    except Exception as error:
        raise ValueError(
            f"{mirror.url} has not all of {mirror.directory}, which is whole: {error}"
        ) from error
    if not whole:
        raise ValueError(
            f"{mirror.url} has not all of {mirror.directory}, which still changes."
        )
