"""How fast does data come in: preparing, loading, and feeding the device?

    python benchmarks/input_speed.py [--part loader|prepare|feed] [--rows N] [--json]

loader: shuffled batches of 4096 from a memory-mapped split of 40 ids, 8 numbers and 2
labels. The cold pass comes after the system was asked to drop the files from memory;
the warm one is two passes later.
prepare: a Parquet file of 10 columns, 5 of them strings with 10 to 100,000 values, is
prepared as a `table` in a process of its own, whose peak memory includes the mapped
files that it writes.
feed: synthetic rows for the default PLE in batches of 4096, five ways in turn: sent to
the device and not used; trained on while a thread sends them; trained on from a split
that lies on the device; trained on from blocks that a thread reads from disk, four at a
time; scored.
All files are written to the temporary directory (TMPDIR).
"""

import concurrent.futures
import functools
import multiprocessing
import os
import pathlib
import resource
import tempfile
import time
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from lib import machine, measure, report
from lib.training import BATCH, feeding

from ple_jax.data.examples import Examples
from ple_jax.data.loader import Loader
from ple_jax.data.prepare import prepare
from ple_jax.datasets import table

PARTS = ("loader", "prepare", "feed")
IDS, NUMBERS, TASKS, LOADED, FED = 40, 8, 2, 2_000_000, 400_000
QUICK = {"loader": 20_000, "prepare": 20_000, "feed": 2000}
STEPS, PATIENCE = 32, 20  # a chunk; seconds that one pass may take
STRINGS = {f"text_{values}": values for values in (10, 100, 1000, 10_000, 100_000)}
CHUNK = 2**20  # rows drawn at a time
SCHEMA = f"""
categorical = {list(STRINGS)}
numeric = ["number_0", "number_1", "number_2"]
[[tasks]]
name = "click"
[[tasks]]
name = "like"
"""


def main() -> None:
    """Print one table a part."""
    parser = report.command(__doc__)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--rows", type=int, default=10_000_000, help="to prepare")
    asked = parser.parse_args()
    rows = {"loader": LOADED, "prepare": asked.rows, "feed": FED}
    feed = functools.partial(feeding, batch=256, rounds=1) if asked.quick else feeding
    parts = {"loader": load, "prepare": preparing, "feed": feed}
    results = []
    for part in [asked.part] if asked.part else PARTS:
        with tempfile.TemporaryDirectory() as name:
            count = QUICK[part] if asked.quick else rows[part]
            results.append({"part": part} | parts[part](pathlib.Path(name), count))
    if asked.json:
        report.show("", results, as_json=True)
        return
    for result in results:
        report.show("input", [result], as_json=False)


def load(folder: pathlib.Path, rows: int) -> report.Record:
    """Rows a second of the loader, cold and warm."""
    files = write_split(folder, rows)
    forgotten = forget(files.values())
    before = blocks_read()
    cold = rows_per_second(files, epoch=0)
    read = blocks_read() - before
    rows_per_second(files, epoch=1)
    return {
        "rows": rows,
        "bytes a row": sum(path.stat().st_size for path in files.values()) // rows,
        "cold, rows/s": cold if forgotten else None,
        "read from disk, MB": read * 512 // 10**6,
        "warm, rows/s": rows_per_second(files, epoch=2),
    }


def write_split(folder: pathlib.Path, rows: int) -> dict[str, pathlib.Path]:
    """Write the arrays of a prepared split, each to its file."""
    kinds = {
        "ids": ((IDS,), np.int32),
        "numbers": ((NUMBERS,), np.float32),
        "domain": ((), np.int32),
        "labels": ((TASKS,), np.float32),
        "observed": ((TASKS,), bool),
        "weights": ((), np.float32),
    }
    rng, files = np.random.default_rng(0), {}
    for name, (shape, kind) in kinds.items():
        files[name] = folder / f"{name}.npy"
        values = rng.integers(0, 2, (rows, *shape), np.int8)
        np.save(files[name], values.astype(kind) * (name != "domain"))
    return files


def forget(files: Iterable[pathlib.Path]) -> bool:
    """Ask the system to drop these files from memory; returns whether it can."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())  # unwritten pages cannot be dropped
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def blocks_read() -> int:
    """Blocks of 512 bytes that this process has read from disk so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_inblock


def rows_per_second(files: dict[str, pathlib.Path], epoch: int) -> int:
    """Load one epoch, or what PATIENCE allows of it, with the files mapped anew."""
    arrays = {name: np.load(path, mmap_mode="r") for name, path in files.items()}
    loader = Loader(Examples.of(arrays), BATCH, seed=0)
    done, start = 0, time.perf_counter()
    for first in range(0, loader.steps_per_epoch, STEPS):
        count = min(STEPS, loader.steps_per_epoch - first)
        loader.batches(epoch, first, count)
        done += count * BATCH
        if time.perf_counter() - start > PATIENCE:
            break
    return round(done / (time.perf_counter() - start))


def preparing(folder: pathlib.Path, rows: int) -> report.Record:
    """Time and memory of preparing a Parquet file."""
    (folder / "schema.toml").write_text(SCHEMA, encoding="utf-8")
    write_table(folder / "rows.parquet", rows)
    # In a process of its own, so that the peak is that of preparing alone.
    alone = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=alone) as pool:
        taken, peak = pool.submit(prepare_here, folder).result()
    return {
        "rows": rows,
        "file, MB": (folder / "rows.parquet").stat().st_size // 10**6,
        "seconds": round(taken, 1),
        "rows/s": round(rows / taken),
        "peak, MB": peak // 10**6,
    }


def prepare_here(folder: pathlib.Path) -> tuple[float, int]:
    """Seconds, and this process's peak memory in bytes."""
    source = table.build(str(folder / "schema.toml"), (str(folder / "rows.parquet"),))
    taken = measure.seconds(prepare, source, folder / "prepared")
    return taken, machine.peak_memory()


def write_table(path: pathlib.Path, rows: int) -> None:
    """Draw the raw rows into one Parquet file, a chunk at a time."""
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, draw(rng, 1).schema) as writer:
        for first in range(0, rows, CHUNK):
            writer.write_table(draw(rng, min(CHUNK, rows - first)))


def draw(rng: np.random.Generator, rows: int) -> pa.Table:
    """Strings (lower codes are more frequent), numbers and labels."""
    columns = {name: strings(rng, rows, n) for name, n in STRINGS.items()}
    columns["number_0"] = rng.normal(size=rows)
    columns["number_1"] = rng.lognormal(size=rows).astype(np.float32)
    columns["number_2"] = rng.integers(0, 1000, rows)
    for name, rate in (("click", 0.2), ("like", 0.05)):
        columns[name] = (rng.random(rows) < rate).astype(np.int8)
    return pa.table(columns)


def strings(rng: np.random.Generator, rows: int, values: int) -> pa.Array:
    """Names of codes, skewed like those of logs."""
    codes = (values * rng.random(rows) ** 2).astype(np.int32)
    names = pa.array([f"value_{i:06}" for i in range(values)])
    return names.take(pa.array(codes))


if __name__ == "__main__":
    main()
