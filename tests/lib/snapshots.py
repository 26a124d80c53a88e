"""All that a run directory holds, read without the package that wrote it."""

import json
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

ITEMS = ("variables", "training")  # trees of arrays in a checkpoint
TEXTS = ("result.json", "experiment.toml", "metrics/metrics")
CLOCK = "examples_per_second"  # in a journal: other at each run


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
    """Whether Orbax draws its name, within an item, or writes it and never reads it."""
    within = any(parent.name in ITEMS for parent in path.parents)
    return within or path.name in ("_CHECKPOINT_METADATA", "commit_success.txt")


def content(path: pathlib.Path) -> Any:
    if path.name in ITEMS and path.parent.name.isdecimal():
        return arrays(path)
    if path.name == "metrics.jsonl":
        return epochs(path)
    if path.as_posix().endswith("progress/metadata"):
        return progress(path)
    return path.read_text() if path.as_posix().endswith(TEXTS) else None


def epochs(journal: pathlib.Path) -> list[dict[str, Any]]:
    """Its records of epochs, without what the clock says."""
    records = map(json.loads, journal.read_text().splitlines())
    return [{k: r[k] for k in r if k != CLOCK} for r in records if "epoch" in r]


def progress(path: pathlib.Path) -> Any:
    """A checkpoint's record, without checksums of what the clock says."""
    try:
        record = json.loads(path.read_text())
    except ValueError:  # damaged on purpose
        return path.read_bytes()
    record.pop("journals", None)
    record.get("checkpoint", {}).pop("record", None)
    return record


def arrays(item: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint's item by their path in its tree."""
    with ocp.PyTreeCheckpointer() as reader:
        shapes = reader.metadata(item).item_metadata.tree
        as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
        wanted = jax.tree.map(lambda _: as_numpy, shapes)
        tree = reader.restore(item, restore_args=wanted)
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The paths where two directories differ, in a bit of an array or else."""
    return [
        name
        for name in sorted(one.keys() | other.keys())
        if name not in one or name not in other or not alike(one[name], other[name])
    ]


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[k], other[k]) for k in one)
    return one == other
