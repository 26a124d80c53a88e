"""The space of a search: a range for each knob that it varies.

An experiment's table [tune] has these as its own; without any, all ranges are searched
that knobs state beside their types.

    [tune.train]
    learning_rate = [1e-4, 1e-2]                           # two numbers: a range
    batch_size = [128, 256, 512]                           # else choices
    weight_decay = { low = 1e-6, high = 1e-2, log = true }
    average_decay = { choices = [0.0, 0.999] }
    [tune.model]
    dropout_rate = []                                      # the range that it states
"""

import typing
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from ple_jax import config, plugins
from ple_jax.checks import check_known
from ple_jax.config import sweep
from ple_jax.config.experiment import Experiment, new_name
from ple_jax.config.values import convert
from ple_jax.plugins import Option
from ple_jax.space import Between, OneOf, Range

TUNE = "tune"
Space = Mapping[str, Range]  # dotted path -> range
WIDE = 100  # from here on, a range that states nothing else is one of logarithms
FIXED = {
    "data": "all trials read one data set",
    "kind": "options depend on it; tune one kind after another",
    "seed": "trials differ in what is searched alone",
    "seeds": "each trial has one; train the chosen point with several",
    "metric": "it chooses the trial",
}


def taken(
    tree: Mapping[str, Any], more: Mapping[str, Any] = MappingProxyType({})
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits off the table [tune]: an experiment's dicts, and ranges by dotted path.

    Args:
        tree: Section -> knob -> value, and `tune`.
        more: Ranges by dotted path, which override those of the table.

    Raises:
        ValueError: It has lists of values to sweep, too.
    """
    rest = dict(tree)
    table = rest.pop(TUNE, {})
    if rest.get("sweep"):
        raise ValueError("[sweep] and `tune` are two ways to search: use one.")
    if not isinstance(table, Mapping):
        raise ValueError(f"[{TUNE}] must be a table, got {table!r}.")
    return rest, {**dict(_flat(table)), **more}


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, knobs in table.items():
        if not isinstance(knobs, Mapping):
            raise ValueError(
                f"{TUNE}.{section} must name a knob, as tune.train.learning_rate does."
            )
        for knob, asked in knobs.items():
            yield ".".join(new_name(section, knob)), asked


def space_of(base: Experiment, asked: Mapping[str, Any]) -> Space:
    """The space of a search: what is asked for, or else all that the knobs state.

    Raises:
        ValueError: An unknown section or knob (with the nearest), one that cannot be
            searched, or a range that holds a value the knob does not take.
    """
    return {path: _range(base, path, of) for path, of in asked.items()} or all_of(base)


def all_of(base: Experiment) -> dict[str, Range]:
    """Every range that the sections of an experiment state."""
    sections = [s for s in config.SECTIONS if s != "data"]
    each = {section: _stated(base, section) for section in sections}
    return {f"{s}.{knob}": r for s, known in each.items() for knob, r in known.items()}


def _kind(base: Experiment, section: str) -> str:
    return getattr(base, section).kind if section in config.PLUGINS else ""


def _stated(base: Experiment, section: str) -> dict[str, Range]:
    if section in config.SETTINGS:
        return stated(config.SETTINGS[section])
    package = config.PLUGINS[section]
    return stated(plugins.find(package, _kind(base, section)).build)


def stated(build: Callable[..., Any]) -> dict[str, Range]:
    """Option -> range, of the options of a plugin that state one.

    Example:
        >>> stated(plugins.find("ple_jax.models", "mmoe").build)["dropout_rate"]
        Between(low=0.0, high=0.5, log=False)
    """
    hints = typing.get_type_hints(plugins.unwrap(build), include_extras=True)
    return {
        name: part
        for name in plugins.options_of(build)
        for part in getattr(hints.get(name), "__metadata__", ())
        if isinstance(part, Range)
    }


def _range(base: Experiment, path: str, asked: Any) -> Range:
    section, _, name = path.partition(".")
    check_known(section, config.SECTIONS, "section to tune")
    kind = _kind(base, section)
    known = config.knobs(section, kind)
    check_known(name, known, f"knob of {config.titled(section, kind)}")
    if why := FIXED.get(section) or FIXED.get(name):
        raise ValueError(f"{path} cannot be tuned: {why}.")
    stated = _stated(base, section).get(name)
    try:
        found = _read(f"{TUNE}.{path}", known[name], asked, stated)
        for value in found.examples:
            sweep.with_checked(lambda kinds: base, {path: value})
    except ValueError as error:
        raise ValueError(f"{TUNE}.{path}: {error}") from error
    return found


def _read(path: str, knob: Option, asked: Any, stated: Range | None) -> Range:
    """The range that a TOML value spells."""
    if asked == []:
        if stated is None:
            raise ValueError("it states no range: name LOW HIGH, or its choices.")
        return stated
    if isinstance(asked, Mapping):
        return _of_table(path, knob, asked)
    if not isinstance(asked, list | tuple):
        raise ValueError(f"expected a range or choices, got {asked!r}.")
    values = [convert(knob.type, value, path) for value in asked]
    if len(values) != 2 or not all(type(value) in (int, float) for value in values):
        return OneOf(*values)
    low, high = values
    is_wide = low > 0 and high >= WIDE * low
    return Between(low, high, stated.log if isinstance(stated, Between) else is_wide)


def _of_table(path: str, knob: Option, asked: Mapping[str, Any]) -> Range:
    for key in asked:
        check_known(key, ("low", "high", "log", "choices"), f"key of {path}")
    if "choices" in asked:
        return OneOf(*(convert(knob.type, v, path) for v in asked["choices"]))
    if missing := [key for key in ("low", "high") if key not in asked]:
        raise ValueError(f"{' and '.join(missing)} must be given.")
    low, high = (convert(knob.type, asked[key], path) for key in ("low", "high"))
    if not all(type(value) in (int, float) for value in (low, high)):
        raise ValueError(f"only numbers have a range, got {low!r} and {high!r}.")
    return Between(low, high, convert(bool, asked.get("log", False), f"{path}.log"))


def to_toml(base: Experiment, ranges: Space) -> str:
    """An experiment and a space, as TOML that `config.load` reads back."""
    lines = [f"{path} = {_spelled(of)}" for path, of in ranges.items()]
    return "\n".join([config.to_toml(base), f"[{TUNE}]", *lines, ""])


def _spelled(of: Range) -> str:
    if isinstance(of, OneOf):
        return f"{{ choices = {config.toml_value(of.values)} }}"
    low, high, log = map(config.toml_value, (of.low, of.high, of.log))
    return f"{{ low = {low}, high = {high}, log = {log} }}"


def at(base: Experiment, point: Mapping[str, Any]) -> Experiment:
    """The experiment at a point of the space, checked; `auto` has to give way."""
    return sweep.with_checked(lambda kinds: base, point)
