"""An experiment as nested dicts: read strictly from TOML, written, compared."""

import copy
import dataclasses
import json
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any

from ple_jax import checks, plugins
from ple_jax.config.experiment import (
    Experiment,
    Inputs,
    Plugin,
    Train,
    with_new_names,
)
from ple_jax.config.values import convert, dataclass_from

# By name, so that this room stands below those of the plugins.
PLUGINS = {
    "data": "ple_jax.datasets",
    "model": "ple_jax.models",
    "weighting": "ple_jax.weightings",
}
SETTINGS = {"inputs": Inputs, "train": Train}
DEFAULT_KINDS = {"data": "synthetic", "model": "ple", "weighting": "fixed"}


def options(section: str, kind: str) -> dict[str, plugins.Option]:
    """The knobs of a plugin section, for this kind of plugin."""
    build = plugins.find(PLUGINS[section], kind).build
    known = plugins.options_of(build)
    return {k: v for k, v in known.items() if k not in ("num_tasks", "num_domains")}


def from_dict(tree: Mapping[str, Any], partial: bool = False) -> Experiment:
    """An experiment from nested dicts; what is not there takes its default.

    Args:
        tree: Section -> knob -> value.
        partial: Whether options that have no default may be left out.

    Raises:
        ValueError: An unknown section or key (with the nearest), or a wrong type.
    """
    for section in tree:
        checks.check_known(section, [*PLUGINS, *SETTINGS], "section of an experiment")
        if not isinstance(tree[section], Mapping):
            raise ValueError(f"[{section}] must be a table, got {tree[section]!r}.")
    plugins: dict[str, Any] = {
        s: _plugin(s, dict(tree.get(s, {})), partial) for s in PLUGINS
    }
    settings = {
        s: dataclass_from(cls, tree.get(s, {}), s) for s, cls in SETTINGS.items()
    }
    return Experiment(**plugins, **settings)


def _plugin(section: str, tree: dict[str, Any], partial: bool) -> Plugin:
    kind = tree.pop("kind", DEFAULT_KINDS[section])
    known = options(section, kind)
    for name in tree:
        checks.check_known(name, ["kind", *known], f"option of {section} {kind!r}")
    chosen = {}
    for name, option in known.items():
        path = f"{section}.{name}"
        if name in tree:
            chosen[name] = convert(option.type, tree[name], path)
        elif not option.required:
            chosen[name] = option.default
        elif not partial:
            raise ValueError(f"{path} is needed: {option.help}")
    return Plugin(kind, chosen)


def with_values(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """A copy with other values, by dotted path, that no check looks at.

    This is how arrays come to stand in the place of knobs (see `traced.py`); checked
    values go through `from_dict`.
    """
    sections = {s: getattr(experiment, s) for s in (*PLUGINS, *SETTINGS)}
    for path, value in values.items():
        section, knob = path.split(".")
        old = sections[section]
        new = {"options": {**old.options, knob: value}} if section in PLUGINS else {}
        sections[section] = _copied(old, new or {knob: value})
    return Experiment(**sections)


def _copied(frozen: Any, fields: Mapping[str, Any]) -> Any:
    new = copy.copy(frozen)
    for name, value in fields.items():
        object.__setattr__(new, name, value)
    return new


def to_dict(experiment: Experiment) -> dict[str, Any]:
    """The resolved experiment as nested dicts of plain values."""
    tree = {
        s: {"kind": getattr(experiment, s).kind, **getattr(experiment, s).options}
        for s in PLUGINS
    }
    tree |= {s: dataclasses.asdict(getattr(experiment, s)) for s in SETTINGS}
    return json.loads(json.dumps(tree))


def load(path: str | pathlib.Path) -> dict[str, Any]:
    """The nested dicts of a TOML experiment file, as written."""
    path = pathlib.Path(path)
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.toml")]
        hint = checks.nearest(path.name, beside)
        raise ValueError(f"There is no experiment file {str(path)!r}.{hint}")
    try:
        return with_new_names(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}.") from error


def with_kinds(
    tree: Mapping[str, Any], kinds: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """The experiment with other plugins; options that do not fit them are dropped.

    An option fits where the new kind has one of that name, which takes that value.

    Returns:
        The new tree, and the paths of the options that were dropped.
    """
    tree, dropped = {s: dict(v) for s, v in tree.items()}, []
    for section, kind in kinds.items():
        old = tree.get(section, {})
        known = options(section, kind)
        kept = {k: v for k, v in old.items() if k in known and _fits(known[k], v)}
        dropped += [f"{section}.{k}" for k in old if k not in kept and k != "kind"]
        tree[section] = {"kind": kind, **kept}
    return tree, dropped


def _fits(option: plugins.Option, value: Any) -> bool:
    try:
        convert(option.type, value, "")
    except ValueError:
        return False
    return True


def differences(old: Experiment, new: Experiment) -> list[str]:
    """One line for each knob whose value differs."""
    a, b = flat(old), flat(new)
    return [
        f"{path}: {a.get(path)!r} -> {b.get(path)!r}"
        for path in sorted(a | b)
        if a.get(path) != b.get(path)
    ]


def flat(experiment: Experiment) -> dict[str, Any]:
    """Dotted path -> value."""
    tree = to_dict(experiment)
    return {f"{s}.{k}": v for s, section in tree.items() for k, v in section.items()}


def to_toml(experiment: Experiment) -> str:
    """The resolved experiment as TOML that `load` reads back; None is left out."""
    lines = []
    for section, values in to_dict(experiment).items():
        lines.append(f"[{section}]")
        lines += [f"{k} = {toml_value(v)}" for k, v in values.items() if v is not None]
        lines.append("")
    return "\n".join(lines)


def toml_value(value: Any) -> str:
    """A plain value as TOML spells it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, float):
        return repr(value)  # JSON spells infinity otherwise
    # JSON's strings, whole numbers and booleans are TOML's too.
    return json.dumps(value, ensure_ascii=False)
