"""What looks like a slip of whoever wrote the values of train, and is said once."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.checks import listing
from ple_jax.data.arrow import (
    NOT_KNOWN,
    brief,
    changed_by_plain_spelling,
    plain_spelling,
)
from ple_jax.data.encode import Encoder
from ple_jax.data.vocabulary import Lookup


def slips(encoder: Encoder) -> Iterator[str]:
    """A line for each kind of slip in the vocabularies."""
    yield from _unknown_words(encoder.vocabularies)
    for table, lookup in encoder.lookups.items():
        yield from _spellings(table, lookup)


def _unknown_words(vocabularies: Mapping[str, pa.Table]) -> Iterator[str]:
    """Words such as NA, which may mean that a value is not known."""
    words: dict[str, None] = {}
    fields = []
    for table, vocabulary in vocabularies.items():
        values = vocabulary["value"]
        found = values.filter(pc.is_in(values, pa.array(NOT_KNOWN, values.type)))
        words |= dict.fromkeys(found.to_pylist())
        fields += [table] if len(found) else []
    if words:
        listed = ", ".join(f'"{word}"' for word in words)
        yield (
            f"note: {listed} counts as a value of {listing(fields, most=10)}. If it "
            f"means that none is known, say so: format.missing = [{listed}]"
        )


def _spellings(table: str, lookup: Lookup) -> Iterator[str]:
    """Values that are equal numbers, times or truth values, in two spellings."""
    at = changed_by_plain_spelling(lookup.known)
    if not len(at):
        return
    plain = plain_spelling(lookup.known.take(pa.array(at)))
    first = lookup.ids(plain) - 1
    twice = np.flatnonzero((first >= 0) & (first != at))
    if len(twice):
        one = lookup.known[int(first[twice[0]])].as_py()
        other = lookup.known[int(at[twice[0]])].as_py()
        yield (
            f"note: train spells values of {table!r} in two ways, such as "
            f"{brief(repr(one))} and {brief(repr(other))} ({len(twice):,} in all), "
            "each with an id of its own. If they mean the same, write them one way"
        )
