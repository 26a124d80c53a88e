"""Writes encoded rows as the arrays of a split, in bounded memory."""

import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from ple_jax.data.arrays import append_file, append_rows, create_array, open_array
from ple_jax.data.encode import Encoder
from ple_jax.data.examples import Examples
from ple_jax.data.oddities import Oddities
from ple_jax.data.places import array_files
from ple_jax.data.ranges import Expected, row_bytes
from ple_jax.data.rows import Rows
from ple_jax.schema import Schema

MOST_BYTES = 256 << 20  # of rows that are encoded at once, and so of one row


def check_space(
    expected: Mapping[str, Expected], rows: int, directory: pathlib.Path
) -> None:
    """Raises a ValueError if so many rows of these arrays need too much space."""
    sizes = {name: array.row_bytes for name, array in expected.items()}
    widest, of_row = max(sizes, key=sizes.__getitem__), sum(sizes.values())
    free = shutil.disk_usage(directory).free
    told = f"of which {sizes[widest]:,} are of {widest!r}"
    if of_row > MOST_BYTES:
        raise ValueError(
            f"A prepared row takes {of_row:,} bytes, {told}: expected at most "
            f"{MOST_BYTES:,}."
        )
    if rows * of_row > free:
        raise ValueError(
            f"The prepared data set takes {rows * of_row:,} bytes, but only {free:,} "
            f"are free in {directory.parent}. It has {rows:,} rows of {of_row:,} "
            f"bytes, {told}."
        )


class SplitWriter:
    """Writes the arrays of one split in order; its number of rows is known."""

    def __init__(
        self, folder: pathlib.Path, rows: int, expected: Mapping[str, Expected]
    ):
        self.folder, self.rows, self.done = folder, rows, 0
        self.expected, self.odd = expected, Oddities()
        self.paths = {name: folder / f for name, f in array_files(expected).items()}
        for name, path in self.paths.items():
            create_array(path, expected[name], rows)

    def add(
        self,
        encoder: Encoder,
        rows: Rows,
        mine: np.ndarray,
        folds: np.ndarray | None = None,
    ) -> None:
        """Encodes and appends those of the rows whose numbers (n,) are given.

        A part of them at a time, so that what is encoded takes at most `MOST_BYTES`.
        Rows of train have folds (rows,).
        """
        most = max(1, MOST_BYTES // row_bytes(self.expected))
        for first in range(0, len(mine), most):
            mask = np.zeros(len(rows), bool)
            mask[mine[first : first + most]] = True
            of_mine = None if folds is None else folds[mask]
            examples = encoder.encode(rows.where(mask), folds=of_mine, odd=self.odd)
            for name, array in examples.arrays().items():
                append_rows(self.paths[name], array)
        self.done += len(mine)

    def append(self, folder: pathlib.Path) -> None:
        """Appends the arrays of another folder."""
        for name, file in array_files(self.expected).items():
            append_file(self.paths[name], folder / file)

    def check_whole(self) -> None:
        """Raises a ValueError if more or fewer rows were added than were counted."""
        if self.done != self.rows:
            raise ValueError(
                f"The rows changed while they were read: {self.folder.name} had "
                f"{self.rows:,} of them, and then {self.done:,}."
            )


def read_back(
    folder: pathlib.Path, rows: int, expected: Mapping[str, Expected]
) -> Examples:
    """All rows of a split that was written, checked."""
    files = array_files(expected)
    return Examples.of(
        {k: open_array(folder / files[k], e, rows) for k, e in expected.items()}
    )


def split_facts(examples: Examples, encoder: Encoder) -> dict[str, Any]:
    """Rows, base rates and domain sizes."""
    domain = np.bincount(examples.domain, minlength=len(encoder.domains))
    return {
        "rows": len(examples.domain),
        "base_rates": _base_rates(examples, encoder.schema),
        "domains": dict(zip(encoder.domains, domain.tolist(), strict=True)),
    }


def _base_rates(examples: Examples, schema: Schema) -> dict[str, float | None]:
    """The mean label of each task over its own sample space."""
    observed = examples.observed.sum(axis=0)
    totals = examples.labels.sum(axis=0, dtype=np.float64)
    return {
        task.name: float(totals[i] / observed[i]) if observed[i] else None
        for i, task in enumerate(schema.tasks)
    }
