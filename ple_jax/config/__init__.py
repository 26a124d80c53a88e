"""An experiment as nested dicts: read strictly from TOML, written, compared."""

import copy
import dataclasses
import inspect
import json
import pathlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from ple_jax import checks, plugins
from ple_jax.config.experiment import (
    AUTO,
    OLD_VALUES,
    Experiment,
    Inputs,
    Plugin,
    Train,
    with_new_names,
)
from ple_jax.config.paths import with_paths
from ple_jax.config.values import convert, read_toml

# By name, so that this room stands below those of the plugins.
PLUGINS = {
    "data": "ple_jax.datasets",
    "model": "ple_jax.models",
    "weighting": "ple_jax.weightings",
}
SETTINGS = {"inputs": Inputs, "train": Train}
SECTIONS = (*PLUGINS, *SETTINGS)
METRIC = "train.metric"  # new runs of several binary tasks record another than `auto`
SINKS = "train.sinks"
AROUND = {"train.distributed", SINKS}  # how a run is trained, not what it is
RULED = {  # section -> knob -> what recordings without it mean, where others say `auto`
    section: {f.name: f.default for f in dataclasses.fields(of) if AUTO in f.metadata}
    for section, of in SETTINGS.items()
}
DEFAULT_KINDS = {"data": "synthetic", "model": "ple", "weighting": "fixed"}


def options(section: str, kind: str) -> dict[str, plugins.Option]:
    """The options of a kind of plugin: its knobs but for `kind`."""
    known = plugins.options_of(plugins.find(PLUGINS[section], kind).build)
    return {k: v for k, v in known.items() if k not in plugins.GIVEN_TO_MODELS}


def knobs(section: str, kind: str) -> dict[str, plugins.Option]:
    """The knobs of a section; where it names a plugin, those of this kind."""
    if section in SETTINGS:
        known = plugins.options_of(SETTINGS[section])
        return {k: _ruled(v) if k in RULED[section] else v for k, v in known.items()}
    which = "Which plugin; the other knobs of this section depend on it."
    return {"kind": plugins.Option(str, kind, False, which)} | options(section, kind)


def _ruled(knob: plugins.Option) -> plugins.Option:
    """A knob that also takes `auto`, which is its default."""
    return knob._replace(type=knob.type | Literal["auto"], default=AUTO)


def titled(section: str, kind: str) -> str:
    """A section in an error: `model 'ple'`, or `train`."""
    return f"{section} {kind!r}" if kind else section


def summary(section: str, kind: str) -> str:
    """What a section is about, in a line."""
    about: Any = SETTINGS.get(section)
    about = about or plugins.unwrap(plugins.find(PLUGINS[section], kind).build)
    return (inspect.getdoc(about) or "").partition("\n")[0]


def kind_of(section: str, tree: Mapping[str, Any]) -> str:
    """The kind of plugin that a section names, or its default; else ""."""
    default = DEFAULT_KINDS.get(section, "")
    return convert(str, tree.get(section, {}).get("kind", default), f"{section}.kind")


def from_dict(tree: Mapping[str, Any]) -> Experiment:
    """The experiment of nested dicts; a knob that they leave out takes its default.

    Args:
        tree: Section -> knob -> value.

    Raises:
        ValueError: An unknown section or knob (with the nearest), a value of the wrong
            type, or no value for a knob that has no default.

    Example:
        >>> experiment = from_dict({"model": {"kind": "mmoe"}, "train": {"epochs": 3}})
        >>> experiment.model.options["num_experts"], experiment.train.epochs
        (8, 3)
        >>> from_dict({"train": {"epoch": 3}})
        Traceback (most recent call last):
        ValueError: ... Did you mean 'epochs'? ...
    """
    check_sections(tree)
    return Experiment(**{section: _section(section, tree) for section in SECTIONS})


def check_sections(tree: Mapping[str, Any]) -> None:
    """Raises a ValueError for an unknown section, and for one that is no table."""
    for section, values in tree.items():
        checks.check_known(section, SECTIONS, "section of an experiment")
        if not isinstance(values, Mapping):
            raise ValueError(f"[{section}] must be a table, got {values!r}.")


def _section(section: str, tree: Mapping[str, Any]) -> Any:
    kind, given = kind_of(section, tree), tree.get(section, {})
    known, values = knobs(section, kind), {}
    for name in given:
        checks.check_known(name, known, f"knob of {titled(section, kind)}")
    for name, knob in known.items():
        path = f"{section}.{name}"
        if name in given:
            values[name] = convert(knob.type, given[name], path)
        elif knob.required:
            raise ValueError(f"{path} is needed: {knob.help}")
        else:
            values[name] = knob.default
    if section in SETTINGS:
        return SETTINGS[section](**values)
    return Plugin(values.pop("kind"), values)


def with_values(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """A copy with other values, by dotted path, none of which is checked.

    So arrays can stand in the place of knobs, which lets one program serve many values;
    checked values go through `from_dict`.
    """
    sections = {s: getattr(experiment, s) for s in SECTIONS}
    for path, value in values.items():
        section, knob = path.split(".")
        old = sections[section]
        new = {"options": {**old.options, knob: value}} if section in PLUGINS else {}
        sections[section] = _copied(old, new or {knob: value})
    return Experiment(**sections)


def with_constants(experiment: Experiment) -> Experiment:
    """A copy with the constants of old for each `auto`, where no data is to be fit."""
    values: dict[str, Any] = {}
    for section, constants in RULED.items():
        now = vars(getattr(experiment, section))  # traced arrays among them
        asked = [k for k in constants if isinstance(now[k], str) and now[k] == AUTO]
        values |= {f"{section}.{knob}": constants[knob] for knob in asked}
    return with_values(experiment, values)


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
    """The nested dicts of a TOML experiment file, its paths as they count from here.

    Raises:
        ValueError: There is no such file (with the nearest), or it is not TOML.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.toml")]
        hint = checks.nearest(path.name, beside)
        raise ValueError(f"There is no experiment file {str(path)!r}.{hint}")
    return with_paths(load_as_written(path), path.parent)


def load_as_written(path: pathlib.Path) -> dict[str, Any]:
    """The nested dicts of a TOML experiment file that is there."""
    return with_new_names(read_toml(path))


def with_kinds(
    tree: Mapping[str, Any], kinds: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """The experiment with other plugins, which keep the options that fit them.

    An option fits if the new kind has one of that name and takes that value.

    Args:
        tree: Section -> knob -> value.
        kinds: Section -> kind.

    Returns:
        The new tree, and the paths of the options that are dropped.
    """
    check_sections(tree)
    new, dropped = {s: dict(v) for s, v in tree.items()}, []
    for section, kind in kinds.items():
        old, known = new.get(section, {}), options(section, kind)
        kept = {k: v for k, v in old.items() if k in known and _fits(known[k], v)}
        dropped += [f"{section}.{k}" for k in old if k not in kept and k != "kind"]
        new[section] = {"kind": kind, **kept}
    return new, dropped


def _fits(option: plugins.Option, value: Any) -> bool:
    try:
        convert(option.type, value, "")
    except ValueError:
        return False
    return True


def left_out(tree: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What nested dicts leave out: sections and kinds, and then other knobs.

    Knobs whose default is None are not counted, since TOML cannot say them.
    """
    whole = [s for s in SECTIONS if isinstance(tree.get(s), Mapping)]
    missing = [s for s in SECTIONS if s not in whole]
    missing += [f"{s}.kind" for s in whole if s in PLUGINS and "kind" not in tree[s]]
    others = [
        f"{section}.{name}"
        for section in whole
        for name, knob in knobs(section, kind_of(section, tree)).items()
        if name not in ("kind", *tree[section]) and knob.default is not None
    ]
    return missing, others


def with_old_values(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded experiment, whose runs go on as they were recorded.

    Knobs that are younger than the record, and whose defaults do otherwise than was
    done before there were any, are given the values of then.
    """
    new = dict(tree)
    for section, values in (OLD_VALUES | RULED).items():
        if lacks := _lacking(section, values, tree):
            new[section] = lacks | tree[section]
    return new


def _lacking(
    section: str, values: Mapping[str, Any], tree: Mapping[str, Any]
) -> dict[str, Any]:
    """Those of the values whose knobs a section could have, and has not."""
    if isinstance(tree.get(section), Mapping):
        with suppress(ValueError):  # a plugin that is not there, or not allowed yet
            known = knobs(section, kind_of(section, tree)).keys() - tree[section].keys()
            return {name: old for name, old in values.items() if name in known}
    return {}


def with_values_of_then(
    tree: Mapping[str, Any], record: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """An experiment to go on with a recorded one, which may be older than some knobs.

    Args:
        tree: The nested dicts of the experiment.
        record: Those of the record, as they are written.

    Returns:
        The tree with the old value of each knob that neither has, where this is another
        than today's default; and these values by dotted path.
    """
    new, held = dict(tree), dict[str, Any]()
    for section, values in OLD_VALUES.items():
        old = _lacking(section, values, record)
        open_here = _lacking(section, old, {section: {}, **tree})
        if open_here:
            new[section] = open_here | tree.get(section, {})
        held |= {f"{section}.{name}": value for name, value in open_here.items()}
    return new, held


def differences(old: Experiment, new: Experiment) -> list[str]:
    """One line for each knob whose value differs; `auto` is whatever a rule chose."""
    a, b = flat(old), flat(new)
    ruled = {f"{section}.{knob}" for section, knobs in RULED.items() for knob in knobs}
    if str(a.get(METRIC)).startswith("certain:"):
        ruled.add(METRIC)
    b = {k: a.get(k) if k in ruled and v == AUTO else v for k, v in b.items()}
    return [
        f"{path}: {a.get(path)!r} -> {b.get(path)!r}"
        for path in sorted((a | b).keys() - AROUND)
        if a.get(path) != b.get(path)
    ]


def flat(experiment: Experiment) -> dict[str, Any]:
    """Dotted path -> value."""
    tree = to_dict(experiment)
    return {f"{s}.{k}": v for s, section in tree.items() for k, v in section.items()}


def to_toml(experiment: Experiment) -> str:
    """The resolved experiment as TOML that `load` reads back; None is left out.

    Example:
        >>> print(to_toml(from_dict({"weighting": {"weights": [1, 2]}})))
        [data]
        ...
        [weighting]
        kind = "fixed"
        weights = [1.0, 2.0]
        ...
    """
    lines = []
    for section, values in to_dict(experiment).items():
        lines.append(f"[{section}]")
        lines += [f"{k} = {toml_value(v)}" for k, v in values.items() if v is not None]
        lines.append("")
    return "\n".join(lines)


def toml_value(value: Any) -> str:
    """A plain value, written as TOML."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items())
        return f"{{{pairs}}}"
    if isinstance(value, float):
        return repr(value)  # JSON spells infinity otherwise
    # JSON's strings, whole numbers and booleans are TOML's too.
    return json.dumps(value, ensure_ascii=False)
