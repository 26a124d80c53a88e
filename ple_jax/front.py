"""The front door: from rows in memory, or in files, to a run that predicts.

run = ple_jax.fit(frame, schema="schema.toml", model="ple", seeds=3)
run.table()
run.predict(frame)
"""

import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict, Unpack

from ple_jax import config
from ple_jax.checks import check_known
from ple_jax.config import sweep
from ple_jax.config.values import plain
from ple_jax.data.frames import source_of, table_of
from ple_jax.data.prepare import prepare
from ple_jax.data.schema_file import read_schema, schema_from_tree
from ple_jax.data.store import Prepared
from ple_jax.datasets import table
from ple_jax.parallel import runtime
from ple_jax.runs import directory as runs
from ple_jax.schema import Schema
from ple_jax.show import console
from ple_jax.studies import sweeps
from ple_jax.train import loop
from ple_jax.trained import TrainedRun, open


class Sections(TypedDict, total=False):
    """The sections of an experiment beside its data; each is a dict of knobs."""

    model: str | Mapping[str, Any]  # a kind, or its knobs with a `kind` among them
    weighting: str | Mapping[str, Any]
    inputs: Mapping[str, Any]
    train: Mapping[str, Any]
    sweep: Mapping[str, Any]  # section -> knob -> values


def fit(
    data: Any,
    schema: Schema | Mapping[str, Any] | str | os.PathLike | None = None,
    *,
    seeds: int | None = None,
    run_dir: str | os.PathLike | None = None,
    **sections: Unpack[Sections],
) -> TrainedRun:
    """Trains a model on rows in memory or in files, and keeps the run in a directory.

        fit(frame, "schema.toml", model="mmoe", train={"epochs": 5})
        fit("log-*.parquet", "schema.toml")
        fit(frame, schema, model={"kind": "ple", "expert_dims": [64]}, seeds=3)

    The run is to the bit that of `ple-jax train` on the same rows in a file.

    Args:
        data: A pandas or polars frame, an Arrow table, any object with the Arrow
            PyCapsule interface, or a dict of columns. Or the path of a file of CSV,
            CSV.gz or Parquet, a pattern with *, or a list of these. Or a data set that
            is prepared already, such as `data` of another run: it needs no schema.
        schema: What the columns mean: the path of a TOML file, its content as a dict,
            or a `Schema`.
        seeds: Trials to train, with one seed after another; sets `train.seeds`.
        run_dir: The new run directory; by default the first of runs/MODEL,
            runs/MODEL-2, ... that does not exist.
        **sections: `model`, `weighting`, `inputs`, `train` and `sweep`, as in an
            experiment file; a model or weighting may be its kind alone.

    Raises:
        ValueError: An unknown section, knob or column (with the nearest), or a value
            that does not fit the schema.
        FileExistsError: The run directory is not empty.
        Stopped: A signal came; the message says how to continue.
    """
    tree = _tree(sections, seeds)
    kind = config.kind_of("model", tree)
    place = pathlib.Path(run_dir) if run_dir else runs.free_directory(kind)
    runs.check_free(place)
    kept = str(place.resolve() / runs.DATA)
    tree, lists = sweep.taken({"data": {"kind": "prepared", "directory": kept}, **tree})
    of_kinds = lambda kinds: config.from_dict(config.with_kinds(tree, kinds)[0])
    experiment = of_kinds({})
    runtime.keep_compiled()
    with _prepared(data, schema, place.parent) as prepared:
        if sweep.is_sweep(config.to_dict(experiment), lists):
            sweeps.create(place, sweep.of(of_kinds, lists), prepared)
        else:
            loop.check(experiment, prepared)
            runs.create_run(place, experiment, prepared)
    console.say(f"run directory: {place}")
    return open(place).resume()


def _tree(sections: Mapping[str, Any], seeds: int | None) -> dict[str, Any]:
    """The nested dicts of an experiment, in plain values."""
    for name in sections:
        known = "schema", "seeds", "run_dir", *Sections.__annotations__
        check_known(name, known, "argument of fit")
    tree = {name: plain(section) for name, section in sections.items()}
    for section in config.PLUGINS:
        if isinstance(tree.get(section), str):
            tree[section] = {"kind": tree[section]}
    config.check_sections({k: v for k, v in tree.items() if k != "sweep"})
    if seeds is not None:
        if "seeds" in tree.get("train", {}):
            raise ValueError("train.seeds is given twice, as `seeds` and in `train`.")
        tree["train"] = {**tree.get("train", {}), "seeds": seeds}
    return tree


@contextmanager
def _prepared(data: Any, schema: Any, folder: pathlib.Path) -> Iterator[Prepared]:
    """Yields the prepared data set; one that is made here is gone afterwards."""
    if isinstance(data, Prepared):
        if schema is not None:
            raise ValueError("A prepared data set has its schema: name no other.")
        yield data
        return
    paths = _paths(data)
    if paths is None:
        source = source_of(table_of(data), _schema(schema))
    else:
        source = table.source_of(paths, _schema(schema))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as scratch:
        with console.bar("preparing") as advance:
            made = prepare(source, pathlib.Path(scratch) / runs.DATA, advance)
        yield made


def _paths(data: Any) -> list[str] | None:
    """The paths of files, if it is such; None for rows in memory."""
    if isinstance(data, str | os.PathLike):
        return [os.fspath(data)]
    several = isinstance(data, list | tuple) and len(data) > 0
    if several and all(isinstance(each, str | os.PathLike) for each in data):
        return [os.fspath(each) for each in data]
    return None


def _schema(given: Any) -> Schema:
    if isinstance(given, Schema):
        return given
    if isinstance(given, Mapping):
        return schema_from_tree(plain(given))
    if isinstance(given, str | os.PathLike):
        return read_schema(os.fspath(given))
    raise ValueError(
        "schema must be the path of a TOML file, its content as a dict, or a Schema, "
        f"got {given!r}."
    )
