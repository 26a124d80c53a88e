"""What stands beside the scores of a file or frame: columns of the input, and more."""

import dataclasses
import pathlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa

from ple_jax.checks import check_known, check_unique
from ple_jax.data import arrow
from ple_jax.data.row_index import RowIndex
from ple_jax.data.source import Chunk
from ple_jax.runs.directory import Run
from ple_jax.show import console
from ple_jax.splits import SPLITS
from ple_jax.tasks import chain_of

DOMAIN, SPLIT = "domain", "split"


@dataclasses.dataclass(frozen=True)
class Beside:
    """The columns of a table of scores, apart from one a task.

    Attributes:
        keep: Columns of the input that are copied, in front; behind those of the
            schema's `keys` that the input has.
        domain: Whether there is `domain`: the one that the row was scored in.
        split: Whether there is `split`: that of the row, if the file is one that the
            data set was prepared from, and null otherwise.
        joint: Whether each binary task that is given another has its joint probability
            too, as `TASK_and_GIVEN`.
    """

    keep: Sequence[str] = ()
    domain: bool = False
    split: bool = False
    joint: bool = False


NONE = Beside()


class Columns:
    """The columns of a run's scores, of chunks that have columns of these types.

    Raises:
        ValueError: A column to keep is not there, or two columns have one name.
    """

    def __init__(self, run: Run, beside: Beside, given: pa.Schema, origin: str):
        self.run, self.beside = run, beside
        self.tasks = run.data.layout.tasks
        for name in beside.keep:
            check_known(name, given.names, f"column of {origin} (keep)")
        keys = [name for name in run.data.schema.keys if name in given.names]
        self.keep = [*keys, *(name for name in beside.keep if name not in keys)]
        kept = [pa.field(n, plain_type(given.field(n).type)) for n in self.keep]
        texts = [n for n in (DOMAIN, SPLIT) if getattr(beside, n)]
        numbers = [task.name for task in self.tasks]
        numbers += ["_and_".join(chain) for chain in self.chains]
        self.schema = pa.schema(
            [
                *kept,
                *((name, pa.string()) for name in texts),
                *((name, pa.float32()) for name in numbers),
            ]
        )
        check_unique(self.schema.names, "column of scores")

    @property
    def chains(self) -> list[list[str]]:
        """The names of each conditional task and of all that it is given, if asked."""
        if not self.beside.joint:
            return []
        return [
            [one.name for one in chain_of(task, self.tasks)]
            for task in self.tasks
            if task.given and task.is_binary
        ]

    def table(
        self, chunk: Chunk, domain: np.ndarray, scores: Sequence[np.ndarray]
    ) -> pa.Table:
        """The rows of a chunk, scored.

        Args:
            chunk: The raw rows.
            domain: The number of each row's domain (B,).
            scores: The score of each row for each task: T arrays (B,) float32.
        """
        columns = [self._kept(chunk, name) for name in self.keep]
        if self.beside.domain:
            columns.append(pa.array(self.run.data.layout.domains).take(domain))
        if self.beside.split:
            columns.append(self._splits(chunk))
        columns += scores
        by_name = dict(zip([task.name for task in self.tasks], scores, strict=True))
        for chain in self.chains:
            columns.append(np.prod([by_name[name] for name in chain], axis=0))
        return pa.table(columns, schema=self.schema)

    def _kept(self, chunk: Chunk, name: str) -> pa.ChunkedArray:
        check_known(name, chunk.table.column_names, f"column of {chunk.origin} (keep)")
        column, wanted = plain(chunk.table.column(name)), self.schema.field(name).type
        if column.type != wanted:
            raise ValueError(
                f"{chunk.origin}, column {name!r}: expected {wanted}, as in the file "
                f"before it, got {column.type}."
            )
        return column

    def _splits(self, chunk: Chunk) -> pa.Array:  # (B,) strings
        rows = len(chunk.table)
        if chunk.origin not in self._of_file:
            found = self._index.of_file(pathlib.Path(chunk.origin))
            self._of_file[chunk.origin] = found
            if found is None:
                console.say(
                    f"warning: {chunk.origin} is no file that the data set was "
                    "prepared from, or has changed since: no split is known"
                )
        found = self._of_file[chunk.origin]
        if found is None:
            return pa.nulls(rows, pa.string())
        return pa.array(np.array(SPLITS)[found[chunk.first :][:rows]])

    @cached_property
    def _index(self) -> RowIndex:
        return RowIndex.open(self.run.data)

    @cached_property
    def _of_file(self) -> dict[str, np.ndarray | None]:
        return {}


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column that is copied: categories are written out."""
    simple = arrow.simple_type(kind)
    return simple.value_type if pa.types.is_dictionary(simple) else simple


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values in their `plain_type`."""
    kind = plain_type(column.type)
    chunks = [arrow.simplify(chunk).cast(kind) for chunk in column.chunks]
    return pa.chunked_array(chunks, kind)
