"""How does preparing grow with ids, and how much do workers and memory take?

    python benchmarks/prepare_scale.py [--part ids|rows] [--scale F] [--workers N]
                                       [--memory SIZE] [--ids N ...]

ids: a Parquet column of ids that all differ, 1, 4 and 16 million of them, prepared by
one process: CPU seconds for a million ids. `--ids` has other numbers of them, by N
workers.
rows: 50 million rows of 10 columns in 8 Parquet files, one of them with 20 million ids,
embedded alone (`encodings = ["id"]`), prepared by N workers (default 2).
`--scale F` makes both F times as large; `--memory` is that of `ple-jax prepare`.

Seconds of CPU are those of all processes of `ple-jax prepare`. Memory is theirs
together, sampled five times a second: what they hold, and with pages of mapped files,
which the system may drop (PSS, which counts shared pages once). Files are written to
the temporary directory (TMPDIR).
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from lib import report

IDS = (1_000_000, 4_000_000, 16_000_000)
ROWS, MOST_IDS, FILES = 50_000_000, 20_000_000, 8
FEW = {"shop": 10, "category": 1000, "item": 100_000}
CHUNK = 2**20  # rows drawn at a time
SCHEMA = """
categorical = {ids}
numeric = {numbers}
[[tasks]]
name = "click"
[fields.user]
encodings = ["id"]
"""
EXPERIMENT = """
[data]
kind = "table"
schema = "schema.toml"
files = ["*.parquet"]
"""


def main() -> None:
    """Print one table a part."""
    parser = report.command(__doc__)
    parser.add_argument("--part", choices=("ids", "rows"))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", default="512MB")
    parser.add_argument("--ids", type=int, nargs="+")
    asked = parser.parse_args()
    scale = 0.0005 if asked.quick else asked.scale
    sizes = asked.ids or IDS[: 1 if asked.quick else len(IDS)]
    workers = asked.workers if asked.ids else 1
    results = []
    if asked.part != "rows":
        results += [growing(round(n * scale), workers, asked.memory) for n in sizes]
    if asked.part != "ids":
        results.append(large(scale, asked.workers, asked.memory))
    report.show("prepare", results, as_json=asked.json)


def growing(ids: int, workers: int, memory: str) -> report.Record:
    """A column of ids that all differ."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write(folder / "0.parquet", range(ids), ids, few={}, numbers=0)
        describe(folder, few={}, numbers=0)
        record = measured(folder, workers, memory)
        per_million = record["CPU seconds"] / ids * 1e6
        return {"part": "ids", "rows": ids, **record, "CPU s/million": per_million}


def large(scale: float, workers: int, memory: str) -> report.Record:
    """Rows of 10 columns; ids come round."""
    rows, ids, numbers = round(ROWS * scale), round(MOST_IDS * scale), 5
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for i, part in enumerate(np.array_split(np.arange(rows), FILES)):
            file = range(part[0], part[-1] + 1)
            write(folder / f"{i}.parquet", file, ids, FEW, numbers)
        describe(folder, FEW, numbers)
        return {"part": "rows", "rows": rows, **measured(folder, workers, memory)}


def describe(folder: pathlib.Path, few: dict[str, int], numbers: int) -> None:
    """Write the schema and the experiment."""
    names = [f"number_{i}" for i in range(numbers)]
    schema = SCHEMA.format(ids=["user", *few], numbers=names)
    (folder / "schema.toml").write_text(schema, encoding="utf-8")
    (folder / "data.toml").write_text(EXPERIMENT, encoding="utf-8")


def write(
    path: pathlib.Path, rows: range, ids: int, few: dict[str, int], numbers: int
) -> None:
    """Draw rows into one Parquet file, a chunk at a time."""
    rng = np.random.default_rng(rows.start)
    writer = None
    for first in range(rows.start, rows.stop, CHUNK):
        number = np.arange(first, min(first + CHUNK, rows.stop), dtype=np.int64)
        # A multiplication by a prime scatters neighbours.
        user = number * 2_654_435_761 % ids
        columns = {"user": pa.array(user).cast(pa.string())}
        for name, values in few.items():
            codes = (values * rng.random(len(number)) ** 2).astype(np.int64)
            columns[name] = pa.array(codes).cast(pa.string())
        for i in range(numbers):
            columns[f"number_{i}"] = pa.array(rng.lognormal(size=len(number)))
        columns["click"] = pa.array((rng.random(len(number)) < 0.2).astype(np.int8))
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def measured(folder: pathlib.Path, workers: int, memory: str) -> report.Record:
    """Seconds, CPU seconds and memory of `ple-jax prepare`."""
    command = [sys.executable, "-m", "ple_jax", "prepare", folder / "data.toml"]
    command += ["--out", folder / "prepared", "--workers", str(workers)]
    command += ["--memory", memory]
    start, peak = time.perf_counter(), np.zeros(2, np.int64)
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            break
        peak = np.maximum(peak, memory_of(child.pid))
        time.sleep(0.2)
    if status:
        raise SystemExit("ple-jax prepare failed")
    return {
        "workers": workers,
        "seconds": time.perf_counter() - start,
        "CPU seconds": usage.ru_utime + usage.ru_stime,
        "peak, MB": int(peak[0] // 10**6),
        "with files, MB": int(peak[1] // 10**6),
    }


def memory_of(session: int) -> np.ndarray:  # (2,) int64
    """Bytes that all processes of a session hold, and those with mapped files."""
    found = np.zeros(2, np.int64)
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(path.name)) == session:
                lines = (path / "smaps_rollup").read_text().splitlines()
                sizes = dict(line.split()[:2] for line in lines[1:])
                found += [int(sizes["Pss_Anon:"]), int(sizes["Pss:"])]
        except (OSError, KeyError):  # it ended meanwhile
            continue
    return found * 1024


if __name__ == "__main__":
    main()
