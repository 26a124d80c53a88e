"""How fast does data come in: preparing, batches from a prepared split, and epochs?

    python benchmarks/input.py [--part loader|prepare|feed] [--rows N] [--json]

loader: a mapped split of 40 ids, 8 numbers and 2 labels, shuffled batches of 4096. Cold
is after the system was asked to forget the files, warm is the pass after the next.
prepare: a Parquet file of 10 columns, 5 of them strings, of 10 to 100,000 values, is
prepared as a `table` in a process of its own; its peak counts the mapped files that it
writes, too.
feed: synthetic rows on their way to the default PLE, in batches of 4096 and in turn:
batches that are only sent to the device; epochs of training on batches that a thread
sends, and on a split that lies on the device; and scoring.
All files are written to the temporary directory (TMPDIR).
"""

import concurrent.futures
import dataclasses
import multiprocessing
import os
import pathlib
import resource
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable

import _measure
import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ple_jax import config
from ple_jax.data.examples import Examples
from ple_jax.data.loader import Loader
from ple_jax.data.prepare import prepare
from ple_jax.datasets import synthetic, table
from ple_jax.train import loop
from ple_jax.train.feed import Feed, feed_of
from ple_jax.train.progress import Place
from ple_jax.train.setup import Setup, placed
from ple_jax.train.state import variables_of
from ple_jax.train.step import Trainer

PARTS = ("loader", "prepare", "feed")
IDS, NUMBERS, TASKS, LOADED, FED = 40, 8, 2, 2_000_000, 400_000
BATCH, STEPS, PATIENCE = 4096, 32, 20  # seconds that one pass may take
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
    """Prints one line a part."""
    parser = _measure.command(__doc__)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--rows", type=int, default=10_000_000, help="to prepare")
    asked = parser.parse_args()
    rows = {"loader": LOADED, "prepare": asked.rows, "feed": FED}
    parts = {"loader": load, "prepare": preparing, "feed": feeding}
    results = []
    for part in [asked.part] if asked.part else PARTS:
        with tempfile.TemporaryDirectory() as name:
            count = 20_000 if asked.quick else rows[part]
            results.append({"part": part} | parts[part](pathlib.Path(name), count))
    if asked.json:
        _measure.show("", results, as_json=True)
        return
    for result in results:
        _measure.show("input", [result], as_json=False)


def load(folder: pathlib.Path, rows: int) -> _measure.Record:
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
    """The arrays of a prepared split, each in its file."""
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
    """Asks the system to drop these files from memory; whether it can be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())  # what is not written yet cannot be dropped
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def blocks_read() -> int:
    """Of 512 bytes, that this process had to read from a device so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_inblock


def rows_per_second(files: dict[str, pathlib.Path], epoch: int) -> int:
    """Of one epoch, or as much of it as time allows; the files are mapped anew."""
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


def preparing(folder: pathlib.Path, rows: int) -> _measure.Record:
    """Time and memory of preparing a Parquet file."""
    (folder / "schema.toml").write_text(SCHEMA, encoding="utf-8")
    write_table(folder / "rows.parquet", rows)
    # A process of its own: this one's memory is not what preparing needs.
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
    """Seconds, and the most bytes that this process held."""
    source = table.build(str(folder / "schema.toml"), (str(folder / "rows.parquet"),))
    taken = _measure.seconds(prepare, source, folder / "prepared")
    return taken, _measure.peak_memory()


def write_table(path: pathlib.Path, rows: int) -> None:
    """Draws the raw rows, a chunk at a time, into one Parquet file."""
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, draw(rng, 1).schema) as writer:
        for first in range(0, rows, CHUNK):
            writer.write_table(draw(rng, min(CHUNK, rows - first)))


def draw(rng: np.random.Generator, rows: int) -> pa.Table:
    """Strings, the lower the number the more frequent; numbers; labels."""
    columns = {name: strings(rng, rows, n) for name, n in STRINGS.items()}
    columns["number_0"] = rng.normal(size=rows)
    columns["number_1"] = rng.lognormal(size=rows).astype(np.float32)
    columns["number_2"] = rng.integers(0, 1000, rows)
    for name, rate in (("click", 0.2), ("like", 0.05)):
        columns[name] = (rng.random(rows) < rate).astype(np.int8)
    return pa.table(columns)


def strings(rng: np.random.Generator, rows: int, values: int) -> pa.Array:
    """Names of codes that are skewed as those of logs are."""
    codes = (values * rng.random(rows) ** 2).astype(np.int32)
    names = pa.array([f"value_{i:06}" for i in range(values)])
    return names.take(pa.array(codes))


def feeding(folder: pathlib.Path, rows: int, rounds: int = 3) -> _measure.Record:
    """Rows a second of an epoch, by where its rows lie, and of scoring."""
    data = prepare(synthetic.build(examples=rows), folder / "prepared")
    train = {"batch_size": BATCH, "eval_batch_size": BATCH, "devices": 1}
    experiment = config.from_dict({"model": {"kind": "ple"}, "train": train})
    setup = Setup([experiment], data)
    loader, trainer, scorer = setup.loader, setup.trainer, setup.scorer
    variables = variables_of(trainer.init())

    def feed_on(where: str) -> Feed:
        settings = dataclasses.replace(experiment.train, data_on=where)
        return feed_of(loader, trainer, settings, setup.mesh)

    host, device = feed_on("host"), feed_on("device")
    ways = {
        "sent": lambda: deque(host.chunks(0, 0), 1),
        "trained, sent": epochs(trainer, host),
        "trained, on device": epochs(trainer, device),
        "scored": lambda: scorer.of_split(variables, "train"),
    }
    taken = _measure.medians(_measure.in_turn(ways, rounds))
    trained = loader.steps_per_epoch * BATCH
    of_way = dict.fromkeys(ways, trained) | {"scored": len(data.split("train"))}
    return {"rows": trained} | {n: round(of_way[n] / s) for n, s in taken.items()}


def epochs(trainer: Trainer, feed: Feed) -> Callable[[], jax.Array]:
    """A function that trains one epoch from where it stopped before."""
    state = placed(trainer, feed.mesh)

    def run():
        nonlocal state
        ((state, _),) = deque(loop.steps(trainer, feed, state, Place()), 1)
        return state.step

    return run


if __name__ == "__main__":
    main()
