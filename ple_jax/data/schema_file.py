"""Schemas as TOML files, which people write, and as plain values for JSON."""

import dataclasses
import json
import pathlib
import typing
from typing import Any

from ple_jax.checks import check_known, nearest
from ple_jax.config.values import convert, dataclass_from, read_toml
from ple_jax.derived import Derived
from ple_jax.disk import whence
from ple_jax.schema import Field, FieldKind, Schema, Task
from ple_jax.tasks import OPTIONS

LISTS = ("categorical", "numeric")
TABLES = ("fields", "derived")


def read_schema(path: str | pathlib.Path) -> Schema:
    """Reads a schema from a TOML file.

        categorical = ["shop", "item", "hour"]  # columns by kind
        numeric = ["price"]
        domain = "shop"
        user = "user"
        ignored = ["*"]
        [fields.tags]                       # fields that need more than a kind
        kind = "multi_valued"
        separator = " "
        [derived.hour]                      # columns computed from others
        kind = "hour"
        of = "timestamp"
        [[tasks]]
        name = "click"
        [[tasks]]
        name = "purchase"
        given = "click"
        [split]
        by = "time"
        column = "timestamp"

    Raises:
        ValueError: The file is missing, is not TOML, or describes no valid schema.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        hint = nearest(path.name, [p.name for p in path.parent.glob("*.toml")])
        raise ValueError(f"There is no schema file {str(path)!r}.{hint}{whence(path)}")
    tree = read_toml(path)
    try:
        return schema_from_tree(tree)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def schema_from_tree(tree: dict[str, Any]) -> Schema:
    """Builds a schema from the nested values of its TOML form."""
    types = typing.get_type_hints(Schema)
    for key in tree:
        check_known(key, [*LISTS, *types], "key of a schema")
    rest = [key for key in tree if key not in (*LISTS, *TABLES, "tasks")]
    tasks = convert(tuple[dict, ...], tree.get("tasks", []), "tasks")
    return Schema(
        fields=tuple(_fields(tree)),
        tasks=tuple(
            dataclass_from(Task, task, f"tasks[{i}]") for i, task in enumerate(tasks)
        ),
        derived=tuple(_derived(tree)),
        **{key: convert(types[key], tree[key], key) for key in rest},
    )


def _fields(tree: dict[str, Any]) -> list[Field]:
    """The fields of the lists in their order, then those that only [fields] names."""
    details = convert(dict, tree.get("fields", {}), "fields")
    kinds: dict[str, str] = {}
    for kind in LISTS:
        for name in convert(tuple[str, ...], tree.get(kind, []), kind):
            if name in kinds:
                raise ValueError(
                    f"Column {name!r} is listed twice, as {kinds[name]!r} and {kind!r}."
                )
            kinds[name] = kind
    fields = []
    for name in [*kinds, *(n for n in details if n not in kinds)]:
        more = _table("fields", name, details.get(name, {}), "encodings")
        if name in kinds:
            more = {"kind": kinds[name]} | more
        elif "kind" not in more:
            raise ValueError(
                f"fields.{name} needs a kind, one of {typing.get_args(FieldKind)}."
            )
        fields.append(dataclass_from(Field, more, f"fields.{name}"))
    return fields


def _derived(tree: dict[str, Any]) -> list[Derived]:
    columns = convert(dict, tree.get("derived", {}), "derived")
    return [
        dataclass_from(Derived, _table("derived", name, table, "of"), f"derived.{name}")
        for name, table in columns.items()
    ]


def _table(above: str, name: str, table: Any, key: str) -> dict[str, Any]:
    """The table [above.name] with its name; a string for the list `key` becomes one."""
    given = convert(dict, table, f"{above}.{name}")
    if "name" in given:
        raise ValueError(f"{above}.{name} has its name already: give it no `name`.")
    listed = {key: [given[key]]} if isinstance(given.get(key), str) else {}
    return {"name": name} | given | listed


def schema_to_dict(schema: Schema) -> dict[str, Any]:
    """Plain values, ready for JSON; of the options of losses, those that are given."""
    tree = dataclasses.asdict(schema)
    pairs = zip(tree["tasks"], schema.tasks, strict=True)
    tree["tasks"] = [
        {k: v for k, v in plain.items() if k not in OPTIONS or k in task.given_options}
        for plain, task in pairs
    ]
    return json.loads(json.dumps(tree))


def schema_from_dict(plain: dict[str, Any]) -> Schema:
    """Reverses `schema_to_dict`."""
    return dataclass_from(Schema, plain, "schema")
