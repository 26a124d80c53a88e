"""Data sets by name, for scripts that take any of them."""

import dataclasses
from typing import Any

from ple_jax import datasets
from ple_jax.config.values import from_toml
from ple_jax.data.source import Source
from ple_jax.data.store import Prepared
from ple_jax.schema import Task


def source_of(name: str) -> Source:
    """The source of `KIND`, `KIND:OPTION=VALUE,...` or `SCHEMA.toml:FILE`."""
    kind, _, rest = name.partition(":")
    if kind.endswith(".toml"):
        return datasets.find("table").build(schema=kind, files=(rest,))
    pairs = [pair.partition("=") for pair in filter(None, rest.split(","))]
    options = {key: from_toml(value) for key, _, value in pairs}
    return datasets.find(kind).build(**options)


def binary(data: Prepared) -> list[Task]:
    """The tasks that have an AUC."""
    return [task for task in data.layout.tasks if task.loss == "binary"]


def with_encodings(source: Source, encodings: tuple[Any, ...]) -> Source:
    """The source with these encodings of ids, and numbers as they are but for scale."""

    def encoded(field):
        own = ("standard",) if field.kind == "numeric" else encodings
        return dataclasses.replace(field, encodings=own)

    fields = tuple(map(encoded, source.schema.fields))
    return source._replace(schema=dataclasses.replace(source.schema, fields=fields))
