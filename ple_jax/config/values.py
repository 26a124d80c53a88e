"""Plain values to annotated types, strictly, with errors that name the place."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from ple_jax.checks import check_known, nearest


def convert(wanted: Any, value: Any, path: str) -> Any:
    """`value` as type `wanted`; lists become tuples, integers become floats.

    Raises:
        ValueError: The value is of another type; the message starts with `path`.
    """
    origin = get_origin(wanted)
    if origin in (typing.Union, types.UnionType):
        return _union(wanted, value, path)
    if origin is Literal:
        return _choice(wanted, value, path)
    if origin is tuple:
        return _tuple(wanted, value, path)
    if isinstance(wanted, type) and dataclasses.is_dataclass(wanted):
        return dataclass_from(wanted, value, path)
    if wanted is float and type(value) is int:
        return float(value)
    if wanted is not Any and type(value) is not wanted:
        raise ValueError(f"{path}: expected {spelled(wanted)}, got {value!r}.")
    return value


def dataclass_from(cls: type, tree: Any, path: str) -> Any:
    """A dataclass from a mapping; unknown keys are errors."""
    if not isinstance(tree, Mapping):
        raise ValueError(f"{path}: expected a table, got {tree!r}.")
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]
    for key in tree:
        check_known(key, names, f"key of {path or cls.__name__}")
    needed = [f.name for f in dataclasses.fields(cls) if _is_required(f)]
    if missing := [name for name in needed if name not in tree]:
        raise ValueError(f"{path}: {', '.join(missing)} must be given.")
    return cls(**{k: convert(hints[k], v, f"{path}.{k}") for k, v in tree.items()})


def _is_required(field: dataclasses.Field) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _union(wanted: Any, value: Any, path: str) -> Any:
    for choice in get_args(wanted):
        if choice is type(None) and value is None:
            return None
    for choice in get_args(wanted):
        if choice is not type(None):
            try:
                return convert(choice, value, path)
            except ValueError:
                continue
    raise ValueError(f"{path}: expected {spelled(wanted)}, got {value!r}.")


def _choice(wanted: Any, value: Any, path: str) -> Any:
    choices = get_args(wanted)
    if value not in choices:
        raise ValueError(
            f"{path}: expected one of {', '.join(map(repr, choices))}, got {value!r}."
            f"{nearest(value, choices)}"
        )
    return value


def _tuple(wanted: Any, value: Any, path: str) -> tuple:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{path}: expected {spelled(wanted)}, got {value!r}.")
    items = get_args(wanted)
    if items[-1] is not Ellipsis and len(items) != len(value):
        raise ValueError(f"{path}: expected {len(items)} values, got {value!r}.")
    each = items[:1] * len(value) if items[-1] is Ellipsis else items
    return tuple(
        convert(t, v, f"{path}[{i}]")
        for i, (t, v) in enumerate(zip(each, value, strict=True))
    )


def spelled(wanted: Any) -> str:
    """A type in words: `int or a list of int`."""
    origin, args = get_origin(wanted), get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(spelled(a) for a in args if a is not type(None))
    if origin is tuple:
        return f"a list of {spelled(args[0])}"
    if origin is Literal:
        return f"one of {', '.join(map(repr, args))}"
    return getattr(wanted, "__name__", str(wanted))
