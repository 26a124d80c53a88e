"""Plain values and texts to annotated types, strictly; errors name the place."""

import contextlib
import dataclasses
import pathlib
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from ple_jax.checks import check_known, nearest

LEAST, MOST = -(2**63), 2**63 - 1  # whole numbers of TOML
UNIONS = (typing.Union, types.UnionType)


def read_toml(path: pathlib.Path) -> dict[str, Any]:
    """The nested values of a TOML file.

    Raises:
        ValueError: It is not TOML, or too deeply nested.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid TOML: {error}.") from error
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply to be read.") from error


def convert(wanted: Any, value: Any, path: str) -> Any:
    """`value` as type `wanted`; lists become tuples, integers become floats.

    Raises:
        ValueError: The value is of another type; the message starts with `path`.
    """
    origin = get_origin(wanted)
    if origin in UNIONS:
        return _union(wanted, value, path)
    if origin is Literal:
        return _choice(wanted, value, path)
    if origin is tuple:
        return _tuple(wanted, value, path)
    if isinstance(wanted, type) and dataclasses.is_dataclass(wanted):
        made = isinstance(value, wanted)  # out of a flag's text
        return value if made else dataclass_from(wanted, value, path)
    if type(value) is int and not LEAST <= value <= MOST:
        raise ValueError(f"{path}: expected a number of 64 bits, got {value}.")
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
    each = _types_of_items(wanted, len(value))
    if len(each) != len(value):
        raise ValueError(f"{path}: expected {len(each)} values, got {value!r}.")
    return tuple(
        convert(t, v, f"{path}[{i}]")
        for i, (t, v) in enumerate(zip(each, value, strict=True))
    )


def _types_of_items(wanted: Any, count: int) -> tuple[Any, ...]:
    items = get_args(wanted)
    return items[:1] * count if items[-1] is Ellipsis else items


def plain(value: Any) -> Any:
    """The value in Python's own types, as TOML has them: NumPy's and tuples are not."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value.tolist() if hasattr(value, "tolist") else value


def from_texts(wanted: Any, texts: Sequence[str], path: str) -> Any:
    """The value of type `wanted` that the texts after a flag spell.

    They are read as TOML, except that a string needs no quotes, that a list may also be
    given item by item (`7 5` or `[7, 5]`), and that `none` is None where that is
    allowed.

    Raises:
        ValueError: They spell another type; the message starts with `path`.
    """
    if not texts:
        raise ValueError(f"{path} needs a value: expected {spelled(wanted)}.")
    return convert(wanted, _plain(wanted, texts, path), path)


def _plain(wanted: Any, texts: Sequence[str], path: str) -> Any:
    """A plain value for `convert`; texts that spell none stay, for it to refuse."""
    origin, choices = get_origin(wanted), get_args(wanted)
    if origin in UNIONS:
        return _plain_of_union(choices, texts, path)
    if origin is tuple and not (len(texts) == 1 and texts[0].startswith("[")):
        each = _types_of_items(wanted, len(texts))
        if len(each) != len(texts):
            return list(texts)
        return [_plain(t, [x], path) for t, x in zip(each, texts, strict=True)]
    if len(texts) > 1:
        raise ValueError(f"{path} takes one value, got {' '.join(texts)}.")
    is_text = wanted is str or texts[0] in choices
    return texts[0] if is_text else from_toml(texts[0])


def _plain_of_union(choices: Sequence[Any], texts: Sequence[str], path: str) -> Any:
    if type(None) in choices and list(texts) == ["none"]:
        return None
    for choice in choices:
        try:
            return from_texts(choice, texts, path)
        except ValueError:
            continue
    return texts[0] if len(texts) == 1 else list(texts)


def from_toml(text: str) -> Any:
    """What a text spells in TOML, or as a float of Python (`.5`); else the text."""
    for read in (lambda t: tomllib.loads(f"value = {t}")["value"], float):
        with contextlib.suppress(ValueError, RecursionError):
            return read(text)
    return text


def spelled(wanted: Any) -> str:
    """A type in words: `int or a list of int`."""
    if wanted is bool:
        return "true or false"
    origin, args = get_origin(wanted), get_args(wanted)
    if origin in UNIONS:
        return " or ".join(spelled(a) for a in args if a is not type(None))
    if origin is tuple:
        return f"a list of {spelled(args[0])}"
    if origin is Literal:
        return "one of " * (len(args) > 1) + ", ".join(map(repr, args))
    return getattr(wanted, "__name__", str(wanted))
