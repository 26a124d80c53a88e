"""Times as numbers in the same order: numbers, or times with or without a zone."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.data.arrow import as_numbers, as_text, is_number, is_text, microseconds

NUMBER, NAIVE, ZONED = "a number", "a time without a zone", "a time with a zone"
Convert = Callable[[pa.Array], np.ndarray]  # raises a pa.ArrowException


class Times(NamedTuple):
    """Times (B,) float64 in their order, and what they are; kinds never mix."""

    kind: str
    values: np.ndarray


def is_ordered(kind: pa.DataType) -> bool:
    """Whether values of a simple type may be times."""
    dates = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    return dates or is_number(kind) or is_text(kind)


def choose_reader(values: pa.Array) -> tuple[str, Convert]:
    """The kind of times that values are, and what reads them as numbers (n,).

    Text is of the kind that its first value has. Times are in microseconds since 1970,
    those with a zone in UTC.
    """
    readers = {
        NUMBER: partial(as_numbers, missing=()),
        NAIVE: partial(_read_iso, zone=None),
        ZONED: partial(_read_iso, zone="UTC"),
    }
    if is_number(values.type):
        return NUMBER, readers[NUMBER]
    if not is_text(values.type):
        zone = getattr(values.type, "tz", None)
        return NAIVE if zone is None else ZONED, microseconds
    filled = pc.fill_null(pc.greater(pc.binary_length(values), 0), False)
    sample = values.filter(filled).slice(0, 1)
    for kind, reader in readers.items():
        try:
            reader(sample)
        except pa.ArrowException:
            continue
        return kind, reader
    return "a number or an ISO 8601 time", readers[NUMBER]


def _read_iso(values: pa.Array, zone: str | None) -> np.ndarray:
    text = pc.utf8_trim_whitespace(as_text(values))
    try:
        return microseconds(pc.cast(text, pa.timestamp("us", zone)))
    except pa.ArrowInvalid:  # more digits, but fewer years
        return microseconds(pc.cast(text, pa.timestamp("ns", zone)))
