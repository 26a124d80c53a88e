"""Splits by time."""

import numpy as np
from lib.tables import SCHEMA, raw, source

from ple_jax.data.prepare import prepare
from ple_jax.schema import Schema, Split


def test_a_split_by_time_keeps_equal_times_together(tmp_path):
    rows = raw(100).append_column("when", [np.repeat(np.arange(50), 2)[::-1]])
    schema = Schema(
        SCHEMA.fields,
        SCHEMA.tasks,
        Split("time", "when", (0.5, 0.25, 0.25)),
        ignored=("*",),
    )
    data = prepare(source(rows, schema, chunk=7), tmp_path / "prepared")
    sizes = [data.facts["splits"][s]["rows"] for s in ("train", "validation", "test")]
    assert sizes == [50, 24, 26]


def test_times_may_be_written_out(tmp_path):
    times = [f"2024-01-0{k % 9 + 1}" for k in range(100)]
    rows = raw(100).append_column("when", [times])
    schema = Schema(
        SCHEMA.fields, SCHEMA.tasks, Split("time", "when", (0.5, 0.25, 0.25))
    )
    data = prepare(source(rows, schema), tmp_path / "prepared")
    assert data.facts["splits"]["train"]["rows"] == sum(t < "2024-01-05" for t in times)
