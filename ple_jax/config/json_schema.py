"""Types and options as JSON Schema (draft 2020-12), for editors."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from ple_jax import config, plugins
from ple_jax.config.values import LEAST, MOST, UNIONS
from ple_jax.plugins import Option

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PLAIN: dict[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": LEAST, "maximum": MOST},
    float: {"type": "number"},
    str: {"type": "string"},
    dict: {"type": "object"},
    Any: {},
}


def of_type(wanted: Any) -> dict[str, Any]:
    """What TOML may hold for a value of this type; None cannot be written.

    Example:
        >>> of_type(tuple[bool, ...] | None)
        {'type': 'array', 'items': {'type': 'boolean'}}
    """
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in UNIONS:
        choices = [of_type(choice) for choice in arguments if choice is not type(None)]
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": of_type(arguments[0])}
    if origin is tuple:
        size = {"minItems": len(arguments), "maxItems": len(arguments)}
        return {"type": "array", "prefixItems": [*map(of_type, arguments)], **size}
    if isinstance(wanted, type) and dataclasses.is_dataclass(wanted):
        return of_options(plugins.options_of(wanted))
    return dict(PLAIN[wanted])


def of_options(options: Mapping[str, Option], title: str = "") -> dict[str, Any]:
    """A table whose keys are these options, and no others."""
    needed = [name for name, option in options.items() if option.required]
    return {
        **({"description": title} if title else {}),
        "type": "object",
        "properties": {name: of_option(option) for name, option in options.items()},
        **({"required": needed} if needed else {}),
        "additionalProperties": False,
    }


def of_option(option: Option) -> dict[str, Any]:
    """An option with its help and, where TOML can say it, its default."""
    told = of_type(option.type) | ({"description": option.help} if option.help else {})
    if option.required or option.default is None or not _is_finite(option.default):
        return told
    default = json.dumps(option.default, default=dataclasses.asdict)
    return told | {"default": json.loads(default)}


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def document(title: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """A whole JSON Schema."""
    return {"$schema": DIALECT, "title": title, **body}


def text(made: Mapping[str, Any]) -> str:
    """A JSON Schema as a file holds it."""
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def of_experiments() -> dict[str, Any]:
    """Experiment files, with the options of every plugin at hand."""
    sections = {section: _section(section) for section in config.SECTIONS}
    lists = {"type": "object", "additionalProperties": {"type": "array"}}
    sections["sweep"] = {
        "description": "Knobs with several values each: one trial for each of them.",
        "type": "object",
        "properties": dict.fromkeys(config.SECTIONS, lists),
        "additionalProperties": False,
    }
    return document(
        "An experiment of ple_jax",
        {"type": "object", "properties": sections, "additionalProperties": False},
    )


def _section(section: str) -> dict[str, Any]:
    if section in config.SETTINGS:
        return of_options(config.knobs(section, ""), config.summary(section, ""))
    kinds = plugins.available(config.PLUGINS[section])
    default = config.DEFAULT_KINDS[section]
    outside = {"type": "string", "pattern": r"\."}
    about = {"description": f"Which plugin; {default!r} unless it is given."}
    return {
        "type": "object",
        "properties": {"kind": {"anyOf": [{"enum": kinds}, outside], **about}},
        "allOf": [_of_kind(section, kind, kind == default) for kind in kinds],
    }


def _of_kind(section: str, kind: str, is_default: bool) -> dict[str, Any]:
    """What holds for a section if it names this kind, or none where that is default."""
    named = {"properties": {"kind": {"const": kind}}}
    condition = named if is_default else {**named, "required": ["kind"]}
    options = config.knobs(section, kind)
    return when(condition, of_options(options, config.summary(section, kind)))


def when(condition: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, Any]:
    """What holds under a condition only."""
    return {"if": dict(condition), "then": dict(then)}
