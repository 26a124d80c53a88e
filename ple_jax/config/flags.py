"""The knobs of an experiment on a command line: `--section.knob VALUE ...`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from ple_jax import config, plugins
from ple_jax.checks import check_known
from ple_jax.config import sweep
from ple_jax.config.experiment import Experiment, new_name
from ple_jax.config.values import from_texts, from_toml

Knobs = Mapping[str, Sequence[str]]  # dotted path -> the texts after its flag
SWEEP, TUNE = "sweep.", "tune."
DATA_DIR = "data.data_dir"
NAMES = {int: "INT", float: "FLOAT", str: "TEXT"}


def split(arguments: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Splits a command line into its ordinary arguments and its knobs.

    A knob is a flag with a dot in its name. What follows it, up to the next flag, are
    its values; `--section.knob=VALUE` has just the one.

    Raises:
        ValueError: A knob is given twice.
    """
    ordinary: list[str] = []
    knobs: dict[str, list[str]] = {}
    taking = ordinary
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if re.match("--.*[.]", flag):
            path = flag[2:].replace("-", "_")
            if path in knobs:
                raise ValueError(f"{flag} is given twice.")
            knobs[path] = [value] if equals else []
            taking = ordinary if equals else knobs[path]
        else:
            if re.match("--|-[A-Za-z]$", argument):
                taking = ordinary
            taking.append(argument)
    return ordinary, knobs


def split_sweep(knobs: Knobs) -> tuple[dict[str, Sequence[str]], dict[str, list[Any]]]:
    """Splits `--sweep.section.knob VALUE ...` off: the other knobs, and path -> values.

    Each text is one value, a list is written as in TOML.
    """
    return _split_off(SWEEP, knobs)


def split_ranges(knobs: Knobs) -> tuple[dict[str, Sequence[str]], dict[str, Any]]:
    """Splits `--tune.section.knob ...` off: the other knobs, and path -> range.

    What follows is as in a table [tune]: LOW HIGH, choices, or one TOML table.
    """
    single, lists = _split_off(TUNE, knobs)
    is_table = lambda v: len(v) == 1 and isinstance(v[0], dict)
    return single, {k: v[0] if is_table(v) else v for k, v in lists.items()}


def _split_off(
    prefix: str, knobs: Knobs
) -> tuple[dict[str, Sequence[str]], dict[str, list[Any]]]:
    single = {k: v for k, v in knobs.items() if not k.startswith(prefix)}
    lists = {
        k.removeprefix(prefix): [from_toml(text) for text in v]
        for k, v in knobs.items()
        if k not in single
    }
    return single, lists


def check_not_swept(knobs: Iterable[str], swept: Iterable[str]) -> None:
    """Raises a ValueError for a knob that has one value here and is swept, too."""
    for path in set(knobs) & set(swept):
        raise ValueError(
            f"{path} is swept, so it cannot have one value: use --sweep.{path} to give "
            "it others."
        )


def with_data_dir(knobs: Knobs, folder: str | None) -> Knobs:
    """The knobs with `--data-dir FOLDER` among them, which is `--data.data-dir FOLDER`.

    Raises:
        ValueError: Both are given, and name two folders.
    """
    if not folder:
        return knobs
    if (other := knobs.get(DATA_DIR)) and list(other) != [folder]:
        raise ValueError(
            f"--data-dir {folder} and --data.data-dir {' '.join(other)} name two "
            "folders: give one."
        )
    return {**knobs, DATA_DIR: [folder]}


def experiment(tree: Mapping[str, Any], knobs: Knobs) -> tuple[Experiment, list[str]]:
    """The experiment of nested dicts, with these knobs in the place of its own.

    `--model.kind mmoe` exchanges a plugin, and drops the options that do not fit it.

    Returns:
        The experiment, and the paths of the options that are dropped.

    Raises:
        ValueError: An unknown section or knob (with the nearest), or texts that do not
            spell a value of the knob's type.
    """
    changed, dropped = overridden(tree, knobs)
    return config.from_dict(changed), dropped


def overridden(
    tree: Mapping[str, Any], knobs: Knobs
) -> tuple[dict[str, Any], list[str]]:
    """The nested dicts with these knobs, and the paths of the options dropped."""
    by_path = {new_name(*path.split(".", 1)): texts for path, texts in knobs.items()}
    for section, _ in by_path:
        check_known(section, config.SECTIONS, "section of an experiment")
    kinds = {
        section: from_texts(str, texts, f"{section}.kind")
        for (section, name), texts in by_path.items()
        if name == "kind" and section in config.PLUGINS
    }
    tree, dropped = config.with_kinds(tree, kinds)
    for (section, name), texts in by_path.items():
        kind = config.kind_of(section, tree)
        known = config.knobs(section, kind)
        check_known(name, known, f"knob of {config.titled(section, kind)}")
        value = from_texts(known[name].type, texts, f"{section}.{name}")
        tree.setdefault(section, {})[name] = value
    return tree, dropped


class Line(NamedTuple):
    """A knob, as `--help` shows it."""

    flag: str  # "--train.batch-size"
    expected: str  # "INT"
    help: str  # what it is, and the value that it has
    choices: Sequence[str] | None  # the known values, where they can be listed


class Section(NamedTuple):
    """A section's knobs, as `--help` shows them."""

    title: str  # "model 'ple'"
    summary: str
    lines: Sequence[Line]


def described(tree: Mapping[str, Any], knobs: Knobs) -> list[Section]:
    """Every knob of an experiment: what it is, what it takes, and what it has."""
    single, more = split_sweep(split_ranges(knobs)[0])
    base, lists = sweep.taken(tree, more)
    base, _ = overridden(base, single)
    return [_section(section, base, lists) for section in config.SECTIONS]


def all_lines() -> list[Line]:
    """Every knob of every plugin, once; what it has is its default."""
    each = [
        _section(section, {section: {"kind": kind}})
        for section in config.SECTIONS
        for kind in _kinds(section) or [""]
    ]
    return list({line.flag: line for one in each for line in one.lines}.values())


def _section(
    section: str, tree: Mapping[str, Any], lists: sweep.Lists = MappingProxyType({})
) -> Section:
    kind, given = config.kind_of(section, tree), tree.get(section, {})
    lines = [
        _line(section, name, knob, _now(f"{section}.{name}", knob, given, lists))
        for name, knob in config.knobs(section, kind).items()
    ]
    return Section(config.titled(section, kind), config.summary(section, kind), lines)


def _now(
    path: str, knob: plugins.Option, given: Mapping[str, Any], lists: sweep.Lists
) -> str:
    """What a knob has: a value, several that are swept, or nothing yet."""
    if path in lists:
        return f"swept: {config.toml_value(lists[path])}"
    name = path.partition(".")[2]
    if knob.required and name not in given:
        return "must be given"
    value = given.get(name, knob.default)
    return f"now {'none' if value is None else config.toml_value(value)}"


def _line(section: str, name: str, knob: plugins.Option, now: str) -> Line:
    choices = _kinds(section) if name == "kind" else choices_of(knob.type)
    about = knob.help
    if name == "kind":
        about += f" Known: {', '.join(choices)}, and modules that --plugin allows."
    flag = f"--{section}.{name}".replace("_", "-")
    return Line(flag, expected(knob.type), f"{about} ({now})", choices or None)


def _kinds(section: str) -> list[str]:
    package = config.PLUGINS.get(section)
    return plugins.available(package) if package else []


def expected(wanted: Any) -> str:
    """What stands for the values of a type in help: `INT ...`, `{adam,sgd}`."""
    if choices := choices_of(wanted):
        return f"{{{','.join(choices)}}}"
    if get_origin(wanted) is tuple:
        return f"{expected(get_args(wanted)[0])} ..."
    each = [expected(c) for c in get_args(wanted) if c is not type(None)]
    return "|".join(each) or NAMES.get(wanted, "VALUE")


def choices_of(wanted: Any) -> list[str]:
    """All values of a type; none where they cannot be listed."""
    if wanted is bool:
        return ["true", "false"]
    return [str(c) for c in get_args(wanted) if get_origin(wanted) is Literal]
