"""What sources and prepared data sets hold, over all chunks and splits."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.splits import SPLITS


def whole(source) -> pa.Table:
    """All raw rows of a source."""
    return pa.concat_tables([chunk.table for chunk in source.chunks()])


def sizes(prepared) -> list[int]:
    """Rows of train, validation and test."""
    return [prepared.facts["splits"][split]["rows"] for split in SPLITS]


def domain_sizes(prepared) -> dict[str, int]:
    every = [facts["domains"] for facts in prepared.facts["splits"].values()]
    return {name: sum(part[name] for part in every) for name in every[0]}


def over_all(prepared, name) -> np.ndarray:
    """An array over the rows of all splits."""
    return np.concatenate([prepared.split(s).arrays()[name] for s in SPLITS])


def sums(prepared, name) -> np.ndarray:
    """The sum over the rows of all splits."""
    return over_all(prepared, name).sum(axis=0)


def arrays_of(prepared) -> dict[tuple[str, str], np.ndarray]:
    """(split, name) -> array."""
    return {
        (split, name): np.array(array)
        for split in SPLITS
        for name, array in prepared.split(split).arrays().items()
    }


def value_counts(column) -> dict:
    """How often each value of a raw column occurs."""
    return {c["values"]: c["counts"] for c in pc.value_counts(column).to_pylist()}
