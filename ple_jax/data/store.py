"""The prepared data set: a directory of arrays that trains without the raw files."""

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from ple_jax.checks import check_known
from ple_jax.config.values import convert
from ple_jax.data.arrays import open_array
from ple_jax.data.blocks import Blocks
from ple_jax.data.checksums import check_bytes, compute_checksums
from ple_jax.data.encode import ENCODER, Encoder
from ple_jax.data.examples import Examples
from ple_jax.data.facts import FACTS, OLD, read_facts
from ple_jax.data.places import existing_file, files_of
from ple_jax.data.ranges import Expected, expected_arrays, row_bytes
from ple_jax.data.remote import RemoteFile
from ple_jax.disk import read_json
from ple_jax.layout import Layout
from ple_jax.schema import Schema
from ple_jax.show import console
from ple_jax.splits import SPLITS

ELSEWHERE = "elsewhere.json"  # names the URL of a data set, which has train


@dataclasses.dataclass(frozen=True)
class Prepared:
    """An open prepared data set. Its arrays are memory-mapped.

    dataset.json    what it says of itself: see `data.facts`
    encoder.json    schema, and what was fitted on train
    vocabularies/   value, count and id of every table, in Parquet
    splits.npy      the split of each row of the raw files: see `data.row_index`
    train/ ...      ids.npy, numbers.npy, labels.npy, ...: one folder per split
    elsewhere.json  instead of train/: the URL of the data set that has it
    """

    directory: pathlib.Path
    facts: dict[str, Any]
    encoder: Encoder

    @classmethod
    def open(cls, directory: pathlib.Path) -> "Prepared":
        """Opens what `prepare` wrote, and checks all of its files but the arrays.

        Raises:
            ValueError: The directory is no prepared data set, or is damaged, or has a
                format that is not known.
        """
        facts = read_facts(directory)
        for file, wanted in facts.get("checksums", {}).items():
            if not file.endswith(".npy"):
                check_bytes(existing_file(directory, file), wanted)
        opened = cls(directory, facts, Encoder.load(directory))
        opened._check_names()
        _ = opened.elsewhere
        return opened

    def _check_names(self) -> None:
        """Raises a ValueError unless dataset.json names what the encoder does."""
        tasks = [task.name for task in self.schema.tasks]
        names: dict[str, tuple[Iterable[str], Iterable[str]]]
        names = {"arrays": (self.facts["arrays"], self._expected)}
        for split, facts in self.facts["splits"].items():
            names[f"base rates of {split}"] = facts["base_rates"], tasks
            names[f"domains of {split}"] = facts["domains"], self.layout.domains
        if self.checksums or self.facts["version"] != OLD:
            names["checksums"] = self.checksums, self._files.values()
        if index := self.facts.get("blocks"):
            arrays = [
                f for n, f in self._files.items() if "/" in n and n[-4:] == ".npy"
            ]
            names["blocks"] = index["checksums"], arrays
        for what, (found, wanted) in names.items():
            if odd := set(found) ^ set(wanted):
                raise ValueError(
                    f"{self.directory / FACTS} is damaged: its {what} do not fit "
                    f"{ENCODER}: only one of them names {sorted(odd)}."
                )

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

    @property
    def checksums(self) -> Mapping[str, str]:
        """File -> CRC-32 in hex; empty if the data set is too old to have any."""
        return self.facts.get("checksums", {})

    @cached_property
    def _expected(self) -> dict[str, Expected]:
        return expected_arrays(self.encoder)

    @cached_property
    def _files(self) -> dict[str, str]:
        index = bool(self.facts.get("origins"))
        return files_of(self.encoder, self.facts["version"], index)

    @property
    def splits(self) -> tuple[str, ...]:
        """Train, validation and, if the schema wants one, test."""
        return tuple(s for s in SPLITS if self.facts["splits"][s]["rows"])

    def split(self, name: str) -> Examples:
        """The examples of train, validation or test; the first call reads all bytes.

        Raises:
            ValueError: There is no test split, or a file is missing, is not as it was
                written, or does not hold what the layout says; names the file.
        """
        self.check_split(name)
        if name not in self._opened:
            self._opened[name] = self._open_split(name)
        return self._opened[name]

    def check_split(self, name: str) -> None:
        """Raises a ValueError if there is no such split."""
        check_known(name, SPLITS, "split")
        if name not in self.splits:
            raise ValueError(
                f"{self.directory} has no {name} split: its schema wants none. It has "
                f"{' and '.join(self.splits)}."
            )

    @property
    def has_blocks(self) -> bool:
        """Whether splits can be read by blocks; data sets of before have no index."""
        return bool(self.facts.get("blocks"))

    def blocks(self, name: str) -> Blocks:
        """A split to be read by blocks; only the headers of its files are read here.

        Raises:
            ValueError: The data set has no index of blocks; or as `split`.
        """
        self.check_split(name)
        if not self.has_blocks:
            raise ValueError(
                f"{self.directory} was prepared before data sets could be read by "
                "blocks: prepare it again."
            )
        index = self.facts["blocks"]
        files = {array: self._files[f"{name}/{array}.npy"] for array in self._expected}
        url = self.elsewhere.get(name)
        place = lambda file: (
            RemoteFile(f"{url}/{file}") if url else existing_file(self.directory, file)
        )
        return Blocks(
            {array: place(file) for array, file in files.items()},
            self._expected,
            self.facts["splits"][name]["rows"],
            index["rows"],
            {array: index["checksums"][file] for array, file in files.items()},
            at_once=len(files) if url else 1,
        )

    @cached_property
    def elsewhere(self) -> dict[str, str]:
        """Split -> the URL of the data set that has it, if it is not here."""
        return read_elsewhere(self.directory)

    def bytes_of(self, split: str) -> int:
        """Bytes of the arrays of a split."""
        return row_bytes(self._expected) * self.facts["splits"][split]["rows"]

    @cached_property
    def _opened(self) -> dict[str, Examples]:
        return {}

    def _open_split(self, split: str) -> Examples:
        if split in self.elsewhere:
            raise ValueError(
                f"{split} lies in {self.elsewhere[split]}, and is read by blocks alone "
                "(train.order = 'blocks'). For all else, copy the data set here."
            )
        if not self.checksums:
            console.say_once(
                "The data set is so old that its arrays have no checksums."
            )
        rows = self.facts["splits"][split]["rows"]

        def opened(name):
            file = self._files[f"{split}/{name}.npy"]
            path = existing_file(self.directory, file)
            return open_array(
                path, self._expected[name], rows, self.checksums.get(file)
            )

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # zlib and NumPy free the lock
            arrays = pool.map(opened, self._expected)
            return Examples.of(dict(zip(self._expected, arrays, strict=True)))

    def verify(self) -> None:
        """Reads every file whole that is here.

        Raises:
            ValueError: A byte has changed since it was written. It names the files,
                unless the data set is so old that it has only a fingerprint.
        """
        for file in self._here():
            existing_file(self.directory, file)
        if self.elsewhere:
            for file in self._here():
                check_bytes(self.directory / file, self.checksums[file])
            return
        found = compute_checksums(self.directory, self._files)
        if found["fingerprint"] != self.fingerprint:
            old, new = self.checksums, found["checksums"]
            changed = [k for k in sorted(new) if old.get(k) != new[k]]
            where = f" Changed: {', '.join(changed)}." if old else ""
            raise ValueError(
                f"{self.directory} is damaged: its fingerprint is "
                f"{found['fingerprint']}, expected {self.fingerprint}.{where} Prepare "
                "it again."
            )

    def small_files(self) -> list[str]:
        """Paths in the directory of all files but the arrays."""
        notes = [ELSEWHERE] if self.elsewhere else []
        small = [f for f in self._files.values() if not f.endswith(".npy")]
        return [FACTS, *notes, *small]

    def _here(self) -> list[str]:
        """Paths of all files but those of splits that lie elsewhere."""
        of_split = lambda file: file.partition("/")[0]
        return [f for f in self._files.values() if of_split(f) not in self.elsewhere]

    def copy_to(self, directory: pathlib.Path) -> "Prepared":
        """Copies the data set to a new directory, by hard links where possible."""
        directory.mkdir(parents=True)
        for file in dict.fromkeys((*self.small_files(), *self._here())):
            target = directory / file
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(existing_file(self.directory, file).resolve(), target)
        return Prepared(directory, self.facts, self.encoder)


def read_elsewhere(directory: pathlib.Path) -> dict[str, str]:
    """Split -> the URL of the data set that has it, if it is not here.

    Raises:
        ValueError: The file that says so is damaged.
    """
    path = directory / ELSEWHERE
    found = read_json(path) if path.is_file() else {}
    if not isinstance(found, dict) or found.keys() - {"train"}:
        raise ValueError(f"{path} is damaged: it names other things than train.")
    return {k: convert(str, url, f"{path}: {k}") for k, url in found.items()}


def _link(source: pathlib.Path, target: pathlib.Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def damaged_files(directory: pathlib.Path) -> Iterator[str]:
    """One sentence for each file that is here and is not as it was written.

    It needs dataset.json alone to be whole, and finds nothing where that has no
    checksums.
    """
    elsewhere = read_elsewhere(directory)
    for file, wanted in read_facts(directory).get("checksums", {}).items():
        if file.partition("/")[0] in elsewhere:
            continue
        try:
            check_bytes(existing_file(directory, file), wanted)
        except (ValueError, OSError) as error:
            yield str(error)
