"""All that a run directory holds, read without the package that wrote it."""

import json
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

ITEMS = ("variables", "training")  # trees of arrays in a checkpoint
TEXTS = ("result.json", "experiment.toml", "progress/metadata", "metrics/metrics")
CLOCK = ("examples_per_second", "checksum")  # in a journal: other at each run


def held(directory: pathlib.Path) -> dict[str, Any]:
    """Paths and contents: arrays of checkpoints, journals, results, names of the rest.

    Data are immutable and linked, so their names do.
    """
    return {
        str(path.relative_to(directory)): content(path)
        for path in sorted(directory.rglob("*"))
        if not hidden(path.relative_to(directory))
    }


def hidden(path: pathlib.Path) -> bool:
    """Whether a path is within an item, where Orbax draws names."""
    return any(parent.name in ITEMS for parent in path.parents)


def content(path: pathlib.Path) -> Any:
    if path.name in ITEMS and path.parent.name.isdecimal():
        return arrays(path)
    if path.name == "metrics.jsonl":
        return list(map(record, path.read_text().splitlines()))
    return path.read_text() if path.as_posix().endswith(TEXTS) else None


def arrays(item: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint's item by their path in its tree."""
    with ocp.PyTreeCheckpointer() as reader:
        shapes = reader.metadata(item).item_metadata.tree
        as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
        wanted = jax.tree.map(lambda _: as_numpy, shapes)
        tree = reader.restore(item, restore_args=wanted)
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def record(line: str) -> dict[str, Any]:
    return {k: v for k, v in json.loads(line).items() if k not in CLOCK}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The paths where two directories differ, in a bit of an array or else."""
    return [
        name
        for name in sorted(one.keys() | other.keys())
        if name not in one or name not in other or not alike(one[name], other[name])
    ]


def alike(one: Any, other: Any) -> bool:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one == other
    return one.keys() == other.keys() and all(
        one[k].dtype == other[k].dtype and one[k].tobytes() == other[k].tobytes()
        for k in one
    )
