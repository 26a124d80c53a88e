"""The prepared data set: a directory of arrays that trains without the raw files."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import zlib
from functools import cached_property
from typing import Any

import numpy as np

from ple_jax.checks import check_known
from ple_jax.data.encode import Encoder
from ple_jax.data.examples import Examples
from ple_jax.data.ranges import check_ranges
from ple_jax.schema import SPLITS, Layout, Schema

VERSION = 1
FACTS = "dataset.json"


@dataclasses.dataclass(frozen=True)
class Prepared:
    """An open prepared data set. Its arrays are memory-mapped.

    dataset.json    version, rows, base rates, domain sizes, fingerprint
    encoder.json    schema, and what was fitted on train
    vocabularies/   value, count and id of every table, in Parquet
    train/ ...      ids.npy, numbers.npy, labels.npy, ...: one folder per split
    """

    directory: pathlib.Path
    facts: dict[str, Any]
    encoder: Encoder

    @classmethod
    def open(cls, directory: pathlib.Path) -> "Prepared":
        """Opens what `prepare` wrote.

        Raises:
            ValueError: The directory is no prepared data set, or of another version.
        """
        path = directory / FACTS
        if not path.is_file():
            raise ValueError(
                f"{directory} is not a prepared data set: it has no {FACTS}. "
                "`ple-jax prepare` makes one."
            )
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["version"] != VERSION:
            raise ValueError(
                f"{directory} was prepared in format {facts['version']}, but this "
                f"ple_jax reads format {VERSION}: prepare it again."
            )
        return cls(directory, facts, Encoder.load(directory))

    @property
    def schema(self) -> Schema:
        """What the raw columns mean."""
        return self.encoder.schema

    @cached_property
    def layout(self) -> Layout:
        """Describes the arrays."""
        return self.encoder.layout

    @property
    def fingerprint(self) -> str:
        """A hash that changes whenever the schema or a byte of the arrays does."""
        return self.facts["fingerprint"]

    def split(self, name: str) -> Examples:
        """The examples of train, validation or test.

        Raises:
            ValueError: A file is missing, or does not have the recorded number of rows,
                or an id or a domain is out of range.
        """
        check_known(name, SPLITS, "split")
        if name not in self._opened:
            self._opened[name] = self._open_split(name)
        return self._opened[name]

    @cached_property
    def _opened(self) -> dict[str, Examples]:
        return {}

    def _open_split(self, name: str) -> Examples:
        folder, rows = self.directory / name, self.facts["splits"][name]["rows"]
        arrays = {}
        for array in self.facts["arrays"]:
            path = folder / f"{array}.npy"
            if not path.is_file():
                raise ValueError(f"{self.directory} is damaged: {path} is missing.")
            arrays[array] = np.load(path, mmap_mode="r", allow_pickle=False)
            if len(arrays[array]) != rows:
                raise ValueError(
                    f"{self.directory} is damaged: {path} has {len(arrays[array])} "
                    f"rows, expected {rows}."
                )
        examples = Examples.of(arrays)
        check_ranges(examples, self.layout, folder)
        return examples

    def verify(self) -> None:
        """Reads every file whole.

        Raises:
            ValueError: A byte has changed since it was written. It names the files,
                unless the data set is so old that it has only a fingerprint.
        """
        found = compute_checksums(self.directory)
        if found["fingerprint"] != self.fingerprint:
            old, new = self.facts.get("checksums", {}), found["checksums"]
            changed = [k for k in sorted(old | new) if old.get(k) != new.get(k)]
            where = f" Changed: {', '.join(changed)}." if old else ""
            raise ValueError(
                f"{self.directory} is damaged: its fingerprint is "
                f"{found['fingerprint']}, expected {self.fingerprint}.{where} Prepare "
                "it again."
            )

    def small_files(self) -> list[str]:
        """Paths in the directory of all files but the arrays."""
        files = [
            p for p in self.directory.rglob("*") if p.suffix in (".json", ".parquet")
        ]
        return [p.relative_to(self.directory).as_posix() for p in files]

    def copy_to(self, directory: pathlib.Path) -> "Prepared":
        """Copies the data set to another directory, by hard links where possible."""
        shutil.copytree(self.directory, directory, copy_function=_link)
        return Prepared(directory, self.facts, self.encoder)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def compute_checksums(directory: pathlib.Path) -> dict[str, Any]:
    """The encoder, the vocabularies and every array: a hash of all, CRC-32 of each."""
    digest, checksums = hashlib.blake2b(digest_size=16), {}
    files = sorted(p for p in directory.rglob("*") if p.is_file() and p.name != FACTS)
    for path in files:
        name, crc = path.relative_to(directory).as_posix(), 0
        digest.update(name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
                crc = zlib.crc32(block, crc)
        checksums[name] = f"{crc:08x}"
    return {"fingerprint": digest.hexdigest(), "checksums": checksums}
