"""Prepares a data set from raw rows: one pass counts train, another encodes all."""

import hashlib
import json
import pathlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ple_jax.data.encode import Encoder
from ple_jax.data.examples import Examples
from ple_jax.data.read import changed
from ple_jax.data.rows import Rows
from ple_jax.data.schema_file import schema_to_dict
from ple_jax.data.source import Chunks, Source
from ple_jax.data.split import Assign, assigner
from ple_jax.data.store import FACTS, VERSION, Prepared, compute_checksums
from ple_jax.data.train_counts import Counts
from ple_jax.disk import cache_dir, new_directory
from ple_jax.schema import SPLITS, Schema

Advance = Callable[[int], None]  # is called with the number of rows just done


def load_or_prepare(source: Source, progress: Advance = lambda rows: None) -> Prepared:
    """Opens the source's prepared data set from the cache, or prepares it there."""
    whole = [VERSION, schema_to_dict(source.schema), source.identity]
    identity = json.dumps(whole, sort_keys=True)
    key = hashlib.blake2b(identity.encode(), digest_size=12).hexdigest()
    directory = cache_dir() / "prepared" / key
    if directory.exists():
        return Prepared.open(directory)
    try:
        return prepare(source, directory, progress)
    except FileExistsError:  # another process finished first
        return Prepared.open(directory)


def prepare(
    source: Source, directory: pathlib.Path, progress: Advance = lambda rows: None
) -> Prepared:
    """Writes a new prepared data set. An interrupted call leaves nothing behind.

    Memory holds one chunk of rows at a time, the counts of train and, for a split by
    time, one number per row.

    Raises:
        FileExistsError: The directory exists.
        ValueError: A row does not fit the schema, a split is empty, a binary task has
            one class only, or a file changes meanwhile.
    """
    with new_directory(directory) as partial:
        steady = source._replace(chunks=_Steady(source.chunks))
        _write(steady, partial, progress)
    return Prepared.open(directory)


class _Steady:
    """Reads all chunks at each call, and checks that each pass reads the same files.

    Raises:
        ValueError: A file has another size, time or number of rows than before.
    """

    def __init__(self, chunks: Callable[[], Chunks]):
        self._chunks = chunks
        self._stamps: dict[str, tuple[int, int] | None] = {}  # by origin
        self._rows: Counter[str] = Counter()  # by origin; empty in the first pass

    def __call__(self) -> Chunks:
        rows: Counter[str] = Counter()
        for chunk in self._chunks():
            name = chunk.origin
            rows[name] += len(chunk.table)
            grown = self._rows and rows[name] > self._rows[name]
            if grown or chunk.stamp != self._stamps.setdefault(name, chunk.stamp):
                raise ValueError(changed(name))
            yield chunk
        if fewer := self._rows - rows:
            raise ValueError(changed(next(iter(fewer))))
        self._rows = rows


def _write(source: Source, directory: pathlib.Path, progress: Advance) -> None:
    assign = assigner(source)
    counts, sizes = Counts(source.schema), np.zeros(len(SPLITS), np.int64)
    for rows, split, fold in _rows_and_splits(source, assign):
        sizes += np.bincount(split, minlength=len(SPLITS))
        counts.add(rows.where(split == 0), fold[split == 0])
        progress(len(rows))
    if not sizes.all():
        raise ValueError(f"Every split needs examples, got {_size_listing(sizes)}.")
    encoder = Encoder.fit(counts)
    encoder.save(directory)
    writers = [
        _SplitWriter(directory / s, int(n)) for s, n in zip(SPLITS, sizes, strict=True)
    ]
    for rows, split, fold in _rows_and_splits(source, assign):
        for number, writer in enumerate(writers):
            if (mine := split == number).any():
                folds = fold[mine] if number == 0 else None
                writer.add(encoder.encode(rows.where(mine), folds=folds))
        progress(len(rows))
    facts = {s: w.facts(encoder) for s, w in zip(SPLITS, writers, strict=True)}
    _check_classes(source, facts["train"])
    _check_weights(source.schema, writers[0].arrays)
    whole = {
        "version": VERSION,
        "identity": source.identity,
        "arrays": list(writers[0].arrays),
        "splits": facts,
        **compute_checksums(directory),
    }
    text = json.dumps(whole, indent=1, allow_nan=False)
    (directory / FACTS).write_text(text, encoding="utf-8")


def _rows_and_splits(
    source: Source, assign: Assign
) -> Iterator[tuple[Rows, np.ndarray, np.ndarray]]:
    """Each chunk's rows, with the number of each row's split and fold (B,)."""
    first = 0
    for chunk in source.chunks():
        rows = Rows(chunk, source.schema.format)
        yield rows, *assign(rows, first)
        first += len(rows)


def _size_listing(sizes: np.ndarray) -> str:
    return ", ".join(f"{s} {n:,}" for s, n in zip(SPLITS, sizes, strict=True))


class _SplitWriter:
    """Writes the arrays of one split chunk by chunk; its number of rows is known."""

    def __init__(self, folder: pathlib.Path, rows: int):
        self.folder, self.rows, self.done = folder, rows, 0
        self.arrays: dict[str, np.ndarray] = {}

    def add(self, examples: Examples) -> None:
        """Appends encoded rows."""
        for name, array in examples.arrays().items():
            if name not in self.arrays:
                self.arrays[name] = self._new(name, array)
            self.arrays[name][self.done : self.done + len(array)] = array
        self.done += len(examples)

    def _new(self, name: str, like: np.ndarray) -> np.ndarray:
        path = self.folder / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (self.rows, *like.shape[1:])
        if 0 in shape:  # nothing to map
            np.save(path, np.zeros(shape, like.dtype))
            return np.zeros(shape, like.dtype)
        return np.lib.format.open_memmap(path, "w+", like.dtype, shape)

    def facts(self, encoder: Encoder) -> dict[str, Any]:
        """Flushes the arrays to disk; returns rows, base rates and domain sizes."""
        for array in self.arrays.values():
            if isinstance(array, np.memmap):
                array.flush()
        domain = np.bincount(self.arrays["domain"], minlength=len(encoder.domains))
        return {
            "rows": self.rows,
            "base_rates": self._base_rates(encoder),
            "domains": dict(zip(encoder.domains, domain.tolist(), strict=True)),
        }

    def _base_rates(self, encoder: Encoder) -> dict[str, float | None]:
        """The mean label of each task over its own sample space."""
        observed = self.arrays["observed"].sum(axis=0)
        totals = self.arrays["labels"].sum(axis=0, dtype=np.float64)
        return {
            task.name: float(totals[i] / observed[i]) if observed[i] else None
            for i, task in enumerate(encoder.schema.tasks)
        }


def _check_classes(source: Source, train: dict[str, Any]) -> None:
    """Raises a ValueError if a binary task has only one class in train."""
    for task in source.schema.tasks:
        rate = train["base_rates"][task.name]
        if task.loss == "binary" and rate in (None, 0.0, 1.0):
            values = ", ".join(map(repr, _some_values(source, task.label_column)))
            raise ValueError(
                f"Task {task.name!r} cannot be learned: its base rate in train is "
                f"{rate}, expected both classes. Column {task.label_column!r} holds "
                f"{values}."
            )


def _check_weights(schema: Schema, train: dict[str, np.ndarray]) -> None:
    """Raises a ValueError if all examples of a task in train have weight 0."""
    for task, observed in zip(schema.tasks, train["observed"].T, strict=True):
        weighed = np.any(train["weights"], where=observed)
        if observed.any() and not weighed:
            raise ValueError(
                f"Task {task.name!r} cannot be learned: column {schema.weight!r} gives "
                "all of its examples in train the weight 0."
            )


def _some_values(source: Source, column: str, most: int = 10) -> list[str | None]:
    found: dict[str | None, None] = {}
    for chunk in source.chunks():
        _, values = Rows(chunk, source.schema.format).text(column)
        found |= dict.fromkeys(values.to_pylist()[:-1])
    return list(found)[:most]
