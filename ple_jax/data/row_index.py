"""Which rows of the raw files are in which split.

That takes a byte for each row of the files, in their order. A split keeps this order:
row k of train is the k-th row whose split is train.
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ple_jax.data.arrays import append_file, append_rows, create_array, open_array
from ple_jax.data.files import file_identity
from ple_jax.data.places import INDEX, existing_file
from ple_jax.data.ranges import Expected, Range
from ple_jax.data.rows import Rows
from ple_jax.data.store import Prepared
from ple_jax.splits import SPLITS

EXPECTED = Expected(np.uint8, (), (Range("split", 0, len(SPLITS) - 1, "0, 1 or 2"),))
COLUMNS = pa.schema(
    [("file", pa.string()), ("row", pa.int64()), ("split", pa.string())]
)
MOST_ROWS = 1 << 20  # of a table


class Origin(NamedTuple):
    """Rows that lie one after another in a file, or in what else rows come from."""

    name: str
    first: int  # number of the first, from 1, as errors count
    rows: int


class IndexWriter:
    """Writes the split of each row, in order; the number of rows is known."""

    def __init__(self, directory: pathlib.Path, rows: int):
        self.path = directory / INDEX
        self.origins: list[Origin] = []
        create_array(self.path, EXPECTED, rows)

    def add(self, rows: Rows, split: np.ndarray) -> None:
        """Appends rows with the numbers (B,) of their splits."""
        append_rows(self.path, split.astype(np.uint8))
        if len(rows):
            self._note(Origin(rows.origin, int(rows.row_numbers[0]), len(rows)))

    def append(self, folder: pathlib.Path, origins: Iterable[Origin]) -> None:
        """Appends the index of another folder."""
        append_file(self.path, folder / INDEX)
        for origin in origins:
            self._note(origin)

    def _note(self, new: Origin) -> None:
        last = self.origins[-1] if self.origins else Origin("", 0, 0)
        if (last.name, last.first + last.rows) == (new.name, new.first):
            self.origins[-1] = last._replace(rows=last.rows + new.rows)
        else:
            self.origins.append(new)


@dataclasses.dataclass(frozen=True, eq=False)
class RowIndex:
    """The split of every row.

    Attributes:
        origins: Where the rows come from, in order.
        splits: Number of each row's split in `SPLITS` (rows,) uint8.
        identity: What the data set was prepared from, as its facts say.
    """

    origins: tuple[Origin, ...]
    splits: np.ndarray
    identity: dict[str, Any]

    @classmethod
    def open(cls, data: Prepared) -> "RowIndex":
        """Reads the index of a data set.

        Raises:
            ValueError: The data set is older than indices, or the index is damaged.
        """
        if not data.facts.get("origins"):
            raise ValueError(
                f"{data.directory} was prepared before data sets kept which rows are "
                "in which split: prepare it again to know."
            )
        origins = tuple(Origin(*each) for each in data.facts["origins"])
        path, rows = existing_file(data.directory, INDEX), sum(o.rows for o in origins)
        splits = open_array(path, EXPECTED, rows, data.checksums.get(INDEX))
        return cls(origins, splits, data.facts["identity"])

    def tables(self, split: str | None = None) -> Iterator[pa.Table]:
        """File, row and split of all rows, or of those of one split, in order."""
        start = 0
        for origin in self.origins:
            own = self.splits[start : start + origin.rows]
            start += origin.rows
            for first in range(0, origin.rows, MOST_ROWS):
                part = own[first : first + MOST_ROWS]
                kept = np.arange(len(part))
                if split is not None:
                    kept = np.flatnonzero(part == SPLITS.index(split))
                columns = [
                    pa.repeat(origin.name, len(kept)),
                    origin.first + first + kept,
                    np.array(SPLITS)[part[kept]],
                ]
                yield pa.table(columns, schema=COLUMNS)

    def of_file(self, path: pathlib.Path) -> np.ndarray | None:  # (rows,) uint8
        """The splits of a file's rows; None unless it is one of the data set's files.

        A file that has changed since is none of them.
        """
        files = self.identity.get("files", [])
        known = self.identity.get("kind") == "table" and len(files) == len(self.origins)
        if not known or (wanted := file_identity(path)) not in files:
            return None
        number = files.index(wanted)
        start = sum(origin.rows for origin in self.origins[:number])
        return self.splits[start : start + self.origins[number].rows]
