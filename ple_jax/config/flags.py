"""An experiment's knobs as typed flags; the only room that imports tyro."""

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import tyro

from ple_jax import config, plugins
from ple_jax.config.experiment import Experiment


def parse(
    tree: Mapping[str, Any], arguments: Sequence[str], prog: str
) -> tuple[Experiment, list[str]]:
    """The experiment of `tree` with the overrides in `arguments`.

    `--model.kind mmoe` exchanges a plugin; the options it does not share are dropped.

    Returns:
        The experiment, and the paths of options that were dropped.
    """
    arguments, kinds = _take_kinds(arguments)
    tree, dropped = config.with_kinds(tree, kinds)
    base = config.from_dict(tree, partial=True)
    sections = {s: _section(base, s) for s in (*config.PLUGINS, *config.SETTINGS)}
    flags = dataclasses.make_dataclass(
        "Flags",
        [
            (name, type(section), dataclasses.field(default=section))
            for name, section in sections.items()
        ],
        frozen=True,
    )
    flags.__doc__ = ""
    chosen: Any = tyro.cli(
        flags, args=arguments, prog=prog, config=(tyro.conf.FlagConversionOff,)
    )
    values = {
        name: {
            f.name: getattr(getattr(chosen, name), f.name)
            for f in dataclasses.fields(s)
        }
        for name, s in sections.items()
    }
    return config.from_dict({s: _given(v) for s, v in values.items()}), dropped


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if v is not None}


def take_sweep(arguments: Sequence[str]) -> tuple[list[str], dict[str, list[Any]]]:
    """Takes `--sweep.SECTION.KNOB VALUE VALUE ...` out: dotted path -> values.

    Values are written as in TOML; what is none is a string.
    """
    rest: list[str] = []
    lists: dict[str, list[Any]] = {}
    taking: list[Any] | None = None
    for argument in arguments:
        if argument.startswith("--"):
            flag, equals, value = argument.partition("=")
            path = flag.removeprefix("--sweep.").replace("-", "_")
            if not flag.startswith("--sweep."):
                taking = None
                rest.append(argument)
                continue
            taking = lists.setdefault(path, [])
            if equals:
                taking.append(_value(value))
        elif taking is None:
            rest.append(argument)
        else:
            taking.append(_value(argument))
    return rest, lists


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def check_not_swept(arguments: Sequence[str], paths: Iterable[str]) -> None:
    """Raises a ValueError where a flag sets a knob that is swept."""
    given = {a.partition("=")[0].replace("_", "-") for a in arguments}
    for path in paths:
        if f"--{path}".replace("_", "-") in given:
            raise ValueError(
                f"{path} is swept, so it cannot have one value: use --sweep.{path} to "
                "give it others."
            )


def _take_kinds(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Takes `--SECTION.kind NAME` out: the other flags depend on it."""
    rest, kinds, waiting = [], {}, list(arguments)
    while waiting:
        flag, equals, value = (first := waiting.pop(0)).partition("=")
        section = flag.removeprefix("--").removesuffix(".kind")
        if flag == f"--{section}.kind" and section in config.PLUGINS:
            if not equals and not waiting:
                raise ValueError(f"{flag} needs a name.")
            kinds[section] = value if equals else waiting.pop(0)
        else:
            rest.append(first)
    return rest, kinds


def _section(base: Experiment, section: str) -> Any:
    """One section as an instance of a dataclass made for its knobs."""
    chosen = getattr(base, section)
    if section in config.SETTINGS:
        knobs = plugins.options_of(type(chosen))
        values = dataclasses.asdict(chosen)
    else:
        one = "What kind; the other flags of this section depend on it."
        kind = plugins.Option(type=str, default=chosen.kind, required=False, help=one)
        knobs = {"kind": kind, **config.options(section, chosen.kind)}
        values = {"kind": chosen.kind, **chosen.options}
    fields = [
        (
            name,
            Annotated[knob.type, tyro.conf.arg(help=_escaped(knob.help))],
            dataclasses.field(default=values.get(name, tyro.MISSING)),
        )
        for name, knob in knobs.items()
    ]
    cls = dataclasses.make_dataclass(section.capitalize(), fields, frozen=True)
    cls.__doc__ = ""
    return cls()


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")
