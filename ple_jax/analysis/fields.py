"""Where the arrays of a prepared data set have each field."""

from typing import NamedTuple

from ple_jax.data.categorical import has_ids
from ple_jax.data.encode import Encoder
from ple_jax.schema import Field


class Places(NamedTuple):
    """What a field became, once it was encoded."""

    ids: list[int]  # columns of `Batch.ids`
    bags: list[str]  # names in `Batch.bags`
    numbers: list[int]  # columns of `Batch.numbers`


def places_of(encoder: Encoder) -> dict[str, Places]:
    """Field -> its places, in the order in which the encoder lays fields out."""
    found, ids, numbers = {}, 0, 0
    for field in encoder.schema.fields:
        of_ids, bags, of_numbers = _sizes(encoder, field)
        found[field.name] = Places(
            list(range(ids, ids + of_ids)),
            [field.name] * bags,
            list(range(numbers, numbers + of_numbers)),
        )
        ids, numbers = ids + of_ids, numbers + of_numbers
    return found


def _sizes(encoder: Encoder, field: Field) -> tuple[int, int, int]:
    """How many columns of ids, bags and columns of numbers a field has."""
    if field.kind == "numeric":
        fit = encoder.numerics[field.name]
        return len(fit.id_columns(None)), 0, len(fit.number_columns())
    encoded = encoder.categoricals.get(field.name)
    numbers = len(encoded.number_columns()) if encoded else 0
    embedded, single = has_ids(field), field.kind == "categorical"
    return int(embedded and single), int(embedded and not single), numbers
