"""Every key of a schema file, out of the docstrings: as a table, and as JSON Schema."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

from ple_jax.config import json_schema, toml_value
from ple_jax.config.json_schema import when
from ple_jax.config.values import spelled
from ple_jax.data.schema_file import LISTS, TABLES
from ple_jax.derived import KINDS, MOST_VALUES, Derived, Spec
from ple_jax.plugins import Option, options_of
from ple_jax.schema import (
    MOST,
    Field,
    FieldKind,
    Format,
    OfNumbers,
    OfValues,
    Schema,
    Task,
)
from ple_jax.show.derived import definition
from ple_jax.splits import Split
from ple_jax.tasks import LOSSES, OPTIONS, RANGES, Loss

BOUNDS = {**{key: (1, most) for key, most in MOST.items()}, "values": (1, MOST_VALUES)}
BOUNDS |= {"unknown_warning": (0, 1)}
ENDS = {"(": "exclusiveMinimum", "[": "minimum"}
ENDS |= {")": "exclusiveMaximum", "]": "maximum"}
SPLIT_BY = ("time", "column")  # that need `column`
LISTED = ("encodings", "of")  # one text may stand for a list of one


class Section(NamedTuple):
    """A table of a schema file and its keys."""

    title: str  # as TOML writes it
    about: str
    keys: Mapping[str, Option]


def sections() -> dict[str, Section]:
    """All tables of a schema file; "" has the keys above them."""
    own = {
        name: option
        for name, option in options_of(Schema).items()
        if name not in ("tasks", "split", "format", *TABLES)
    }
    lists = {
        kind: Option(tuple[str, ...], (), False, f"Names of fields that are {kind}.")
        for kind in LISTS
    }
    return {
        "": Section("at the top", "Columns by what they are for.", lists | own),
        "fields": _section("[fields.NAME]", Field, "name"),
        "derived": _section("[derived.NAME]", Derived, "name"),
        "tasks": _section("[[tasks]]", Task),
        "split": _section("[split]", Split),
        "format": _section("[format]", Format),
    }


def _section(title: str, cls: type, *without: str) -> Section:
    keys = {k: o for k, o in options_of(cls).items() if k not in without}
    if cls is Field:
        told = f"{keys['kind'].help} Needed unless a list at the top names the field."
        keys["kind"] = keys["kind"]._replace(help=told, default=None)
    return Section(title, (cls.__doc__ or "").partition("\n")[0], keys)


def rows(section: Section) -> list[list[str]]:
    """One row a key: its name, what it takes, its default, and its help."""
    return [
        [key, spelled(option.type), _default(option), option.help]
        for key, option in section.keys.items()
    ]


def field_rows(schema: Schema) -> list[list[str]]:
    """One row a field: its name, kind and encodings, and how it is computed."""
    derived = {column.name: definition(column) for column in schema.derived}
    return [
        [f.name, f.kind, ", ".join(f.encodings), derived.get(f.name, "")]
        for f in schema.fields
    ]


def _default(option: Option) -> str:
    if option.required:
        return "must be given"
    return "none" if option.default is None else toml_value(option.default)


def of_schemas() -> dict[str, Any]:
    """JSON Schema of schema files: what an editor can check without the data."""
    tables = {name: _table(section) for name, section in sections().items()}
    top = tables.pop("")
    tables["derived"]["allOf"] = [_of_kind(k, spec) for k, spec in KINDS.items()]
    tables["fields"]["allOf"] = [_of_field(kind) for kind in get_args(FieldKind)]
    tables["tasks"]["allOf"] = [_of_loss(loss, of) for loss, of in LOSSES.items()]
    needs_column = [_if_is("by", by, {"required": ["column"]}) for by in SPLIT_BY]
    tables["split"]["allOf"] = needs_column
    for name in TABLES:
        tables[name] = {"type": "object", "additionalProperties": tables[name]}
    tasks = {"type": "array", "items": tables["tasks"], "minItems": 1}
    whole = top | {"properties": top["properties"] | tables | {"tasks": tasks}}
    return json_schema.document(
        "The schema of a data set of ple_jax", whole | {"required": ["tasks"]}
    )


def _table(section: Section) -> dict[str, Any]:
    made = json_schema.of_options(section.keys, section.about)
    for name, key in made["properties"].items():
        if name in BOUNDS:
            low, high = BOUNDS[name]
            key |= {"minimum": low, "maximum": high}
        if name in RANGES:
            *numbers, ends = RANGES[name]
            pairs = zip(ends, numbers, strict=True)
            key |= {ENDS[end]: x for end, x in pairs if math.isfinite(x)}
        if name in LISTED:
            one = key.pop("items")
            key.pop("type")
            key["anyOf"] = [{"type": "array", "items": one}, one]
    return made


def _of_kind(kind: str, spec: Spec) -> dict[str, Any]:
    """What holds for a derived column of a kind: its options and number of inputs."""
    known = {"propertyNames": {"enum": ["kind", "of", *spec.options]}}
    size = {"minItems": min(spec.inputs), "maxItems": max(spec.inputs)}
    text = {} if 1 in spec.inputs else {"type": "array"}
    needed = ["of"] if 0 not in spec.inputs else []
    needed += {"text": ["values"], "constant": ["value"]}.get(kind, [])
    then = known | {"properties": {"of": size | text}, "required": needed}
    return _if_is("kind", kind, then)


def _of_field(kind: str) -> dict[str, Any]:
    """What holds for a field of a kind: its encodings."""
    known = OfNumbers if kind == "numeric" else OfValues
    one = {"enum": list(get_args(known))}
    fits = {"anyOf": [{"type": "array", "items": one, "minItems": 1}, one]}
    return _if_is("kind", kind, {"properties": {"encodings": fits}})


def _of_loss(loss: str, of: Loss) -> dict[str, Any]:
    """What holds for a task with a loss: its options; `binary` is that of no loss."""
    others = [*(name for name in OPTIONS if name not in of.options)]
    others += [] if of.link == "probability" else ["positive"]
    then = {"properties": dict.fromkeys(others, False), "required": list(of.needs)}
    made = _if_is("loss", loss, then)
    if loss == Task("").loss:
        made["if"].pop("required")
    return made


def _if_is(key: str, value: str, then: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for a table that gives this value to a key."""
    return when({"properties": {key: {"const": value}}, "required": [key]}, then)
