"""Relative paths in an experiment file."""

import glob
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from ple_jax.show.console import say_once

NAMES = ("schema", "files", "directory", "data_dir")  # the options that hold paths


def with_paths(tree: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """The experiment with the paths of its data as they count from here.

    A relative path counts from the folder of the file, where it is there; or else from
    the working directory. If it is there in both, it is said which one is taken.
    """
    data = tree.get("data")
    if not isinstance(data, Mapping):
        return dict(tree)
    found = {name: _found(data[name], folder) for name in NAMES if name in data}
    return {**tree, "data": {**data, **found}}


def _found(value: Any, folder: pathlib.Path) -> Any:
    if isinstance(value, list | tuple):
        return [_found(each, folder) for each in value]
    beside = isinstance(value, str) and str(folder / value)
    if not beside or os.path.isabs(value) or not is_there(beside):
        return value
    if not is_there(value):
        return beside
    if os.path.realpath(beside) == os.path.realpath(value):
        return value
    say_once(f"{value}: taken from {folder}, beside the experiment, not from here")
    return beside


def from_folder(data: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """The options of a data set with paths that count from here as from a folder."""
    return {k: _moved(v, folder) if k in NAMES else v for k, v in data.items()}


def _moved(value: Any, folder: pathlib.Path) -> Any:
    if isinstance(value, list | tuple):
        return [_moved(each, folder) for each in value]
    if not isinstance(value, str) or os.path.isabs(value) or value.startswith("~"):
        return value
    return os.path.relpath(value, folder)


def is_there(path: str) -> bool:
    """Whether a path exists, or matches a file as a pattern."""
    return os.path.exists(path) or bool(glob.glob(path))
