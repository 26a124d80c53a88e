"""Copies of a run directory in an object store.

    URL/objects/SHA256   the bytes of a file, by their hash
    URL/run.N.json       copy N: path -> hash and size of every file, and their own hash

A copy counts once its JSON is there, and the objects of the one before stay until then.
"""

import hashlib
import json
import pathlib
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from ple_jax.data.remote import again, system_of
from ple_jax.disk import check_new, new_directory

AT_ONCE = 8  # files: a store takes long to answer
COPY = re.compile(r"run\.(\d+)\.json$")
STEP = re.compile(r"(?:^|/)checkpoints/(\d+)/")
Files = dict[str, tuple[str, int]]  # path -> hash, size


class Copy(NamedTuple):
    """What a store has of a run directory."""

    number: int  # N; 0 if it has nothing
    files: Files

    @property
    def step(self) -> int:
        """The newest checkpoint; 0 without any."""
        return newest_step(self.files)

    @property
    def objects(self) -> set[str]:
        """The hashes of all files."""
        return {digest for digest, _ in self.files.values()}

    def text(self) -> str:
        """Its JSON."""
        return json.dumps({"files": self.files, "sha256": _hash_of(self.files)})


def newest_step(paths: Iterable[str]) -> int:
    """The newest step that has a checkpoint among some paths; 0 without any."""
    found = [STEP.search(path) for path in paths]
    return max((int(match[1]) for match in found if match), default=0)


def newest(url: str) -> Copy:
    """The newest copy that is whole.

    Raises:
        ValueError: There are copies, and none is whole.
    """
    system, root = system_of(url)
    system.invalidate_cache()
    names = again(partial(system.glob, f"{root}/run.*.json"), f"{url}: its copies")
    numbers = sorted((int(m[1]) for m in map(COPY.search, names) if m), reverse=True)
    for number in numbers:
        read = partial(system.cat_file, f"{root}/run.{number}.json")
        files = files_of(again(read, f"{url}/run.{number}.json"))
        if files is not None:
            return Copy(number, files)
    if numbers:
        raise ValueError(f"{url} has no copy of a run that is whole.")
    return Copy(0, {})


def files_of(text: bytes) -> Files | None:
    """The files that a copy's JSON names; None if it was cut off or changed."""
    try:
        tree = json.loads(text)
        files = {path: (digest, size) for path, (digest, size) in tree["files"].items()}
        return files if tree["sha256"] == _hash_of(files) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _hash_of(files: Files) -> str:
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()


def digest_of(path: pathlib.Path) -> str:
    """The hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def restore(url: str, directory: pathlib.Path) -> Copy:
    """Makes a run directory of the newest copy in a store; each file is checked.

    Raises:
        FileExistsError: The directory exists.
        ValueError: There is no copy, or bytes of it are missing or damaged.
    """
    check_new(directory)
    url = url.rstrip("/")
    (system, root), found = system_of(url), newest(url)
    if not found.number:
        raise ValueError(f"{url} has no run that `ple-jax train --mirror` copied.")

    with new_directory(directory) as folder:

        def fetch(path: str) -> None:
            digest, _ = found.files[path]
            to, what = folder / path, f"{url}: {path} (objects/{digest})"
            to.parent.mkdir(parents=True, exist_ok=True)
            get = partial(system.get_file, f"{root}/objects/{digest}", str(to))
            try:
                again(partial(_checked, get, to, digest, what), what)
            except FileNotFoundError as error:
                raise ValueError(f"{what} is missing.") from error

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(fetch, found.files))
    return found


def _checked(get: Callable[[], None], to: pathlib.Path, digest: str, what: str) -> None:
    """Gets a file, which must have the bytes that were sent."""
    get()
    if digest_of(to) != digest:
        raise ValueError(f"{what} has other bytes than were written.")
