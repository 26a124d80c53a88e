"""Columns of a sample, by hand."""

import pyarrow as pa

from ple_jax.data.arrow import distinct
from ple_jax.guess.columns import Column


def column(name, texts, **facts):
    codes, values = distinct(pa.array([t or None for t in texts], pa.string()))
    return Column(name, codes, values, **facts)
