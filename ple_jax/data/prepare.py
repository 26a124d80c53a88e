"""Prepares a data set from raw rows: one pass counts train, another encodes all."""

import hashlib
import json
import pathlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ple_jax.data import oddities
from ple_jax.data.auto import RULE, is_open
from ple_jax.data.checksums import compute_checksums
from ple_jax.data.derive import rows_of
from ple_jax.data.encode import ENCODER, Encoder
from ple_jax.data.examples import Examples
from ple_jax.data.facts import FACTS, VERSION, write_facts
from ple_jax.data.labels import read_labels
from ple_jax.data.places import files_of
from ple_jax.data.ranges import expected_arrays
from ple_jax.data.read import changed
from ple_jax.data.row_index import IndexWriter
from ple_jax.data.rows import Rows
from ple_jax.data.schema_file import schema_to_dict
from ple_jax.data.slips import slips
from ple_jax.data.source import Chunks, Source, Stamp
from ple_jax.data.split import Assign, assigner
from ple_jax.data.store import Prepared
from ple_jax.data.train_counts import Counts
from ple_jax.data.writer import SplitWriter, check_space
from ple_jax.disk import cache_dir, naming, new_directory
from ple_jax.schema import OWN, Schema, Task
from ple_jax.show import console
from ple_jax.splits import SPLITS

Advance = Callable[[int], None]  # is called with the number of rows just done


def load_or_prepare(source: Source, progress: Advance = lambda rows: None) -> Prepared:
    """Opens the source's prepared data set from the cache, or prepares it there."""
    whole = [VERSION, schema_to_dict(source.schema), source.identity]
    if not all(task.is_binary for task in source.schema.tasks):
        whole.append("scales")  # which the cache may have without
    if any(map(is_open, source.schema.fields)):
        whole.append(RULE)  # by which the cache may have others
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
        self._stamps: dict[str, Stamp | None] = {}  # by origin
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
        if not sizes.any():
            read_labels(rows, source.schema)  # a wrong kind of label is said at once
        sizes += np.bincount(split, minlength=len(SPLITS))
        counts.add(rows.where(split == 0), fold[split == 0])
        progress(len(rows))
    wanted = sizes if source.schema.split.has_test else sizes[:2]
    if not wanted.all():
        raise ValueError(f"Every split needs examples, got {_size_listing(sizes)}.")
    encoder = Encoder.fit(counts)
    for line in slips(encoder) if source.own else ():
        console.say(line)
    with naming(directory / ENCODER):
        encoder.save(directory)
    expected = expected_arrays(encoder)
    check_space(expected, int(sizes.sum()), directory)
    writers = [
        SplitWriter(directory / split, int(rows), expected)
        for split, rows in zip(SPLITS, sizes, strict=True)
    ]
    index = IndexWriter(directory, int(sizes.sum()))
    for rows, split, fold in _rows_and_splits(source, assign):
        index.add(rows, split)
        for number, writer in enumerate(writers):
            folds = fold if number == 0 else None
            writer.add(encoder, rows, np.flatnonzero(split == number), folds)
        progress(len(rows))
    facts = {s: w.facts(encoder) for s, w in zip(SPLITS, writers, strict=True)}
    _check_classes(source, facts["train"], writers[0].written)
    _check_weights(source.schema, writers[0].written)
    _warn_of_untrained(source.schema, facts["train"])
    odd = oddities.facts_of({s: w.odd for s, w in zip(SPLITS, writers, strict=True)})
    sizes_of = dict(zip(SPLITS, sizes.tolist(), strict=True))
    for line in oddities.lines(odd, sizes_of, source.schema):
        console.say(line)
    whole = {"version": VERSION, "identity": source.identity, "arrays": list(expected)}
    whole |= {"splits": facts, "origins": index.origins, "oddities": odd}
    checksums = compute_checksums(directory, files_of(encoder))
    with naming(directory / FACTS):
        write_facts(directory, {**whole, **checksums})
    make_read_only(directory)


def _rows_and_splits(
    source: Source, assign: Assign
) -> Iterator[tuple[Rows, np.ndarray, np.ndarray]]:
    """Each chunk's rows, with the number of each row's split and fold (B,)."""
    first = 0
    for chunk in source.chunks():
        rows = rows_of(chunk, source.schema)
        yield rows, *assign(rows, first)
        first += len(rows)


def _size_listing(sizes: np.ndarray) -> str:
    return ", ".join(f"{s} {n:,}" for s, n in zip(SPLITS, sizes, strict=True))


def make_read_only(directory: pathlib.Path) -> None:
    """Takes from all files the right to write.

    Runs link to the arrays of the cache: what changes one in place changes all of them.
    """
    for path in directory.rglob("*"):
        if path.is_file():
            path.chmod(path.stat().st_mode & ~0o222)


def _check_classes(source: Source, facts: dict[str, Any], train: Examples) -> None:
    """Raises a ValueError if a task's labels in train are all alike.

    Those of a binary task, of a count, and of an amount that is often 0.
    """
    for i, task in enumerate(source.schema.tasks):
        rate = facts["base_rates"][task.name]
        if task.kind.link == "log":
            _check_amounts(task, train.labels[train.observed[:, i], i])
        if task.is_binary and rate in (None, 0.0, 1.0):
            values = ", ".join(map(repr, _some_values(source, task.label_column)))
            raise ValueError(
                f"Task {task.name!r} cannot be learned: its base rate in train is "
                f"{rate}, expected both classes. Column {task.label_column!r} holds "
                f"{values}."
            )


def _check_amounts(task: Task, labels: np.ndarray) -> None:
    """Raises a ValueError unless some labels (n,) are above 0, and some are 0 if asked.

    The odds of a weighted logistic loss have no end where no label is 0.
    """
    if not labels.any():
        raise ValueError(
            f"Task {task.name!r} cannot be learned: no label in train is above 0."
        )
    if task.loss == "weighted_logistic" and labels.all():
        raise ValueError(
            f"Task {task.name!r} cannot be learned by a weighted logistic loss: no "
            "label in train is 0, and it predicts how often one is not. Give it all "
            "examples, those with 0 too, or take loss = 'poisson' or 'squared'."
        )


def _check_weights(schema: Schema, train: Examples) -> None:
    """Raises a ValueError if all examples of a task in train have weight 0."""
    for task, observed in zip(schema.tasks, train.observed.T, strict=True):
        weighed = np.any(train.weights, where=observed)
        if observed.any() and not weighed:
            raise ValueError(
                f"Task {task.name!r} cannot be learned: column {schema.weight!r} gives "
                "all of its examples in train the weight 0."
            )


def _warn_of_untrained(schema: Schema, train: dict[str, Any]) -> None:
    """Says so if no row of train is in the domain for rows without one."""
    if schema.unseen_domain == OWN and not train["domains"][OWN]:
        console.say(
            f"warning: no row of train lacks its {schema.domain!r}, so that domain "
            f"{OWN!r} learns what all domains share and nothing of its own: name a "
            "domain of train as `unseen_domain` to score unknown ones by that"
        )


def _some_values(source: Source, column: str, most: int = 10) -> list[str | None]:
    found: dict[str | None, None] = {}
    for chunk in source.chunks():
        _, values = rows_of(chunk, source.schema, [column]).text(column)
        found |= dict.fromkeys(values.to_pylist()[:-1])
    return list(found)[:most]
