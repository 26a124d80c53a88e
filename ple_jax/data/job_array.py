"""Preparation by the jobs of an array, which share a folder and nothing else.

A data set is prepared in passes over its shards; the result of a pass over a shard is a
file. A job does its own shards of the first pass that is not whole, and ends; then all
jobs run again. So whatever starts jobs says when and where, and tries them again.
"""

import functools
import io
import json
import pathlib
import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from ple_jax.checks import listing
from ple_jax.data.schema_file import schema_to_dict
from ple_jax.data.source import Source
from ple_jax.disk import read_json, replace_file, write_json
from ple_jax.engines import Outcome

A = TypeVar("A")

PLAN = "plan.json"
# All that results of passes are made of. None of it does anything when it is made.
PLAIN = {
    "builtins": "bytearray",
    "collections": "Counter",
    "numpy": "dtype ndarray",
    "numpy._core.multiarray": "_reconstruct",
    "pathlib": "PosixPath",
    "ple_jax.data.counts": "NumberCounts ValueCounts",
    "ple_jax.data.label_sums": "LabelSums _Part",
    "ple_jax.data.oddities": "Oddities",
    "ple_jax.data.passes": "Block Tally",
    "ple_jax.data.row_index": "Origin",
    "ple_jax.data.spill": "Spill",
    "ple_jax.data.train_counts": "Counts",
    "ple_jax.derived": "Derived",
    "ple_jax.engines": "Outcome",
    "ple_jax.schema": "Field Format Schema",
    "ple_jax.splits": "Split",
    "ple_jax.tasks": "Task",
    "pyarrow.lib": "_reconstruct_table _restore_array chunked_array field py_buffer "
    "schema type_for_alias",
}


class WaitingError(ValueError):
    """A pass is not whole, and what lacks is for other jobs to do.

    Attributes:
        number: Of the pass, from 1.
        jobs: Those that have not done it.
    """

    def __init__(self, number: int, jobs: list[int], of: int):
        named = listing(list(map(str, jobs)), most=10)
        super().__init__(
            f"Pass {number} lacks the shards {named} of {of}. Run all shards again, "
            "when those that run have ended."
        )
        self.number, self.jobs = number, jobs


class JobArray:
    """An engine whose calls are divided among jobs: call i is of job i modulo n.

    Attributes:
        workers: n, the number of jobs.
        mine: The number of this one, from 0; None does nothing but find results.
        folder: Where results are, as files that are whole or not there.
    """

    def __init__(self, folder: pathlib.Path, workers: int, mine: int | None = None):
        self.folder, self.workers, self.mine = folder, workers, mine
        self._passes = 0

    def map(self, function: Callable[[A], Any], items: Sequence[A]) -> Iterable[Any]:
        """What the function returns for each item, in order.

        Raises:
            WaitingError: Other jobs have to call it first.
        """
        self._passes += 1
        name = f"pass-{self._passes}"
        paths = [self.folder / f"{name}-{i}-of-{len(items)}" for i in range(len(items))]
        for i, path in enumerate(paths):
            if i % self.workers == self.mine and not path.exists():
                _write(path, function(items[i]))
        lacking = [i % self.workers for i, p in enumerate(paths) if not p.exists()]
        if lacking:
            raise WaitingError(self._passes, sorted(set(lacking)), self.workers)
        return map(_read, paths)

    def map_reduce(
        self,
        function: Callable[[A], Any],
        merge: Callable[[Any, Any], Any],
        items: Sequence[A],
    ) -> Any:
        """The same, merged by each job that needs it."""
        return functools.reduce(merge, self.map(function, items))


def folder_of(directory: pathlib.Path) -> pathlib.Path:
    """Where the jobs that prepare a directory share what they have done."""
    return directory.with_name(f"{directory.name}.shards")


def begin(folder: pathlib.Path, source: Source, jobs: int) -> None:
    """Makes the folder, unless another job has, and checks that it is of this array.

    Raises:
        ValueError: The folder is of other files, another schema or number of jobs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / PLAN).exists():
        write_json(folder / PLAN, {"jobs": jobs, **_about(source)})
    if check(folder, source) != jobs:
        raise ValueError(
            f"{folder} has shards of {check(folder, source)} jobs, not of {jobs}: give "
            "all of them the same number, or remove that folder and begin again."
        )


def check(folder: pathlib.Path, source: Source) -> int:
    """The number of jobs of a folder.

    Raises:
        ValueError: There is no such folder, or it is of other files or another schema.
    """
    path = folder / PLAN
    if not path.is_file():
        raise ValueError(
            f"There is no {path}: prepare the shards first, by --shard 0/N, 1/N, ..."
        )
    found = read_json(path)
    for key, value in json.loads(json.dumps(_about(source))).items():
        if found.get(key) != value:
            raise ValueError(
                f"{folder} has shards of other {key}: remove that folder and begin "
                "again, or prepare what they were begun with."
            )
    return found["jobs"]


def _about(source: Source) -> dict[str, Any]:
    return {"files": source.identity, "columns": schema_to_dict(source.schema)}


def _write(path: pathlib.Path, outcome: Outcome) -> None:
    """Writes what a function returned; raises the fault that it raised."""
    outcome.get()
    with replace_file(path) as partial:
        partial.write_bytes(pickle.dumps(outcome))


def _read(path: pathlib.Path) -> Outcome:
    """Reads it, and makes nothing but what is in `PLAIN`."""
    try:
        return _Plain(io.BytesIO(path.read_bytes())).load()
    except Exception as error:  # bytes may mean anything
        raise ValueError(
            f"{path} is damaged ({error}): remove it, and run its shard again."
        ) from error


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in PLAIN.get(module, "").split():
            raise ValueError(f"it names {module}.{name}")
        return super().find_class(module, name)
