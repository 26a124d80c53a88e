"""Prepares a data set from raw rows: one pass counts train, another encodes all."""

import hashlib
import json
import pathlib
import shutil
from collections import Counter
from collections.abc import Callable

from ple_jax.data import job_array, oddities
from ple_jax.data.auto import RULE, is_open
from ple_jax.data.blocks import index_of
from ple_jax.data.checksums import compute_checksums
from ple_jax.data.encode import ENCODER, Encoder
from ple_jax.data.facts import FACTS, VERSION, write_facts
from ple_jax.data.learnable import check_learnable
from ple_jax.data.passes import (
    Advance,
    Block,
    count,
    encode,
    fit,
    join,
    silent,
    total,
)
from ple_jax.data.places import files_of
from ple_jax.data.ranges import expected_arrays
from ple_jax.data.read import changed
from ple_jax.data.schema_file import schema_to_dict
from ple_jax.data.shards import whole_of
from ple_jax.data.slips import slips
from ple_jax.data.source import Chunks, Source, Stamp
from ple_jax.data.spill import MOST_BYTES, Spill
from ple_jax.data.split import assigner
from ple_jax.data.spread import Spread
from ple_jax.data.store import Prepared
from ple_jax.data.writer import check_space, read_back, split_facts
from ple_jax.disk import cache_dir, check_new, naming, new_directory
from ple_jax.engines import Engine
from ple_jax.show import console
from ple_jax.splits import SPLITS

BLOCKS = "blocks"  # folder of what an engine encodes, until it is joined
SPILL = "spill"  # folder of counts that memory should not hold


def cached(source: Source) -> pathlib.Path:
    """Where the cache has the source's prepared data set, once it is prepared."""
    whole = [VERSION, schema_to_dict(source.schema), source.identity]
    if not all(task.is_binary for task in source.schema.tasks):
        whole.append("scales")  # which the cache may have without
    if any(map(is_open, source.schema.fields)):
        whole.append(RULE)  # by which the cache may have others
    identity = json.dumps(whole, sort_keys=True)
    key = hashlib.blake2b(identity.encode(), digest_size=12).hexdigest()
    return cache_dir() / "prepared" / key


def load_or_prepare(
    source: Source,
    progress: Advance = silent,
    engine: Engine | None = None,
    memory: int = MOST_BYTES,
) -> Prepared:
    """Opens the source's prepared data set from the cache, or prepares it there."""
    directory = cached(source)
    if directory.exists():
        return Prepared.open(directory)
    try:
        return prepare(source, directory, progress, engine, memory)
    except FileExistsError:  # another process finished first
        return Prepared.open(directory)


def prepare(
    source: Source,
    directory: pathlib.Path,
    progress: Advance = silent,
    engine: Engine | None = None,
    memory: int = MOST_BYTES,
) -> Prepared:
    """Writes a new prepared data set. An interrupted call leaves nothing behind.

    Memory holds one chunk of rows at a time, the counts of train and its sums of labels
    as far as `memory` allows and, for a split by time, one number per row.

    Args:
        source: The rows, and what they mean.
        directory: A new folder; an engine's processes must reach it.
        progress: Is told how many rows are done, in each of two passes.
        engine: Counts and encodes in processes of its own; by default this one does.
            The data set is the same, to the byte.
        memory: Bytes of values with their counts that each process holds, before it
            goes on with them on disk, beside the data set.

    Raises:
        FileExistsError: The directory exists.
        ValueError: A row does not fit the schema, a split is empty, a binary task has
            one class only, or a file changes meanwhile; or the source has no files
            that an engine could read.
    """
    with new_directory(directory) as partial:
        if engine is None:
            steady = source._replace(chunks=_Steady(source.chunks))
            _write(steady, partial, progress, memory)
        else:
            (work := partial / BLOCKS).mkdir()
            encoded = encode_by(engine, source, work, progress, memory)
            _join(source, partial, *encoded)
    return Prepared.open(directory)


def prepare_shard(
    source: Source,
    directory: pathlib.Path,
    mine: int,
    of: int,
    memory: int = MOST_BYTES,
) -> None:
    """Does what shard `mine`, from 0, of a job array does next, in DIRECTORY.shards.

    Raises:
        WaitingError: Other shards have to be run first, and then all again.
        ValueError: As `prepare`; or the folder is of another array.
    """
    check_new(directory)
    folder = job_array.folder_of(directory)
    job_array.begin(folder, source, of)
    engine = job_array.JobArray(folder, of, mine)
    encode_by(engine, source, folder, memory=memory)


def merge_shards(
    source: Source,
    directory: pathlib.Path,
    progress: Advance = silent,
    memory: int = MOST_BYTES,
) -> Prepared:
    """Joins what the shards of a job array encoded, and removes their folder.

    Raises:
        WaitingError: A shard is not done.
        ValueError: There are no shards, or they are of other files or another schema.
    """
    folder = job_array.folder_of(directory)
    engine = job_array.JobArray(folder, job_array.check(folder, source))
    with new_directory(directory) as partial:
        encoded = encode_by(engine, source, folder, progress, memory)
        _join(source, partial, *encoded, keep=True)
    shutil.rmtree(folder)
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


def _write(
    source: Source, directory: pathlib.Path, progress: Advance, memory: int
) -> None:
    assign, rows = assigner(source), whole_of(source)
    spill = _spill_of(directory, memory)
    tally = count(rows, source.schema, assign, progress, spill)
    encoder, sizes = fit(tally), total(tally.sizes)
    del tally  # its counts may be large
    _save(source, encoder, directory)
    check_space(expected_arrays(encoder), sum(sizes), directory)
    block = encode(rows, encoder, assign, sizes, directory, progress)
    shutil.rmtree(spill.folder)
    _finish(source, encoder, block, sizes)


def _join(
    source: Source,
    directory: pathlib.Path,
    encoder: Encoder,
    sizes: tuple[int, ...],
    blocks: list[Block],
    keep: bool = False,
) -> None:
    """Writes a data set from blocks; those within its directory are removed."""
    _save(source, encoder, directory)
    block = join(blocks, sizes, encoder, directory, keep)
    shutil.rmtree(directory / BLOCKS, ignore_errors=True)
    _finish(source, encoder, block, sizes)


def encode_by(
    engine: Engine,
    source: Source,
    work: pathlib.Path,
    progress: Advance = silent,
    memory: int = MOST_BYTES,
) -> tuple[Encoder, tuple[int, ...], list[Block]]:
    """Fits an encoder, and encodes all rows into blocks, by an engine.

    Args:
        engine: Counts and encodes.
        source: The rows, and what they mean.
        work: A folder for the blocks, which the engine's processes must reach.
        progress: Is told how many rows are done.
        memory: As in `prepare`.

    Returns:
        The encoder, how many rows each split has, and the blocks in order.
    """
    spread = Spread.of(source, engine)
    assign = assigner(source, spread.over)
    tally = spread.count(source.schema, assign, _spill_of(work, memory))
    encoder, of_shards, sizes = fit(tally), tally.sizes, total(tally.sizes)
    del tally
    progress(sum(sizes))
    check_space(expected_arrays(encoder), sum(sizes), work)
    blocks = spread.encode(encoder, assign, of_shards, work)
    progress(sum(sizes))
    return encoder, sizes, blocks


def _spill_of(work: pathlib.Path, memory: int) -> Spill:
    (folder := work / SPILL).mkdir(exist_ok=True)
    return Spill(folder.absolute(), memory)


def _save(source: Source, encoder: Encoder, directory: pathlib.Path) -> None:
    """Writes what is fitted, and says what looks like a slip."""
    for line in slips(encoder) if source.own else ():
        console.say(line)
    with naming(directory / ENCODER):
        encoder.save(directory)


def _finish(
    source: Source, encoder: Encoder, block: Block, sizes: tuple[int, ...]
) -> None:
    """Checks what was encoded, and writes what the data set says of itself."""
    directory, expected = block.folder, expected_arrays(encoder)
    rows_of_split = dict(zip(SPLITS, sizes, strict=True))
    splits = {
        s: read_back(directory / s, n, expected) for s, n in rows_of_split.items()
    }
    facts = {s: split_facts(examples, encoder) for s, examples in splits.items()}
    check_learnable(source, facts["train"], splits["train"])
    odd = oddities.facts_of(dict(zip(SPLITS, block.odd, strict=True)))
    for line in oddities.lines(odd, rows_of_split, source.schema):
        console.say(line)
    whole = {"version": VERSION, "identity": source.identity, "arrays": list(expected)}
    whole |= {"splits": facts, "origins": block.origins, "oddities": odd}
    whole["blocks"] = index_of(directory, rows_of_split, expected)
    checksums = compute_checksums(directory, files_of(encoder))
    with naming(directory / FACTS):
        write_facts(directory, {**whole, **checksums})
    make_read_only(directory)


def make_read_only(directory: pathlib.Path) -> None:
    """Takes from all files the right to write.

    Runs link to the arrays of the cache: what changes one in place changes all of them.
    """
    for path in directory.rglob("*"):
        if path.is_file():
            path.chmod(path.stat().st_mode & ~0o222)
