"""What `auto` means for a field whose values are ids, once train is counted.

A rule of two numbers, which no label and no validation row has a part in: so it is the
same for any cut of the counts.
"""

import dataclasses
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.schema import Encoding, Field, Schema

FEW, OFTEN = 10, 30  # benchmarks/README.md has what others reach
RULE = "auto 1"  # another rule makes another data set of the cache


def is_open(field: Field) -> bool:
    """Whether the rule decides on a field: on one value a row, not on lists."""
    return field.kind == "categorical" and field.encodings == ("auto",)


def encodings_of(values: int, rows: int) -> tuple[Encoding, ...]:
    """The encodings of a field of so many values in so many rows of train.

    Fewer than 10 values are embedded: `id`. More have `count` and `target_mean`, and
    `id` too where a value has 30 rows on average. An embedding of fewer rows knows the
    labels of train by heart before it means anything, within the first epoch.

    Example:
        >>> encodings_of(7, 1000), encodings_of(20, 1000), encodings_of(500, 1000)
        (('id',), ('id', 'count', 'target_mean'), ('count', 'target_mean'))
    """
    if values < FEW:
        return ("id",)
    numbers: tuple[Encoding, ...] = ("count", "target_mean")
    return ("id", *numbers) if rows >= OFTEN * values else numbers


def with_encodings(schema: Schema, vocabularies: Mapping[str, pa.Table]) -> Schema:
    """The schema with the rule's encodings in the place of `auto`.

    Args:
        schema: What the columns mean.
        vocabularies: Table -> value and count of what it keeps of train.
    """

    def chosen(field: Field) -> Field:
        if not is_open(field):
            return field
        kept = vocabularies[field.table or field.name]
        rows = pc.sum(kept["count"]).as_py() or 0
        return dataclasses.replace(field, encodings=encodings_of(len(kept), rows))

    return dataclasses.replace(schema, fields=tuple(map(chosen, schema.fields)))
