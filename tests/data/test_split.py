"""Splits by time, and the folds of train."""

import numpy as np
from lib.tables import SCHEMA, raw, rows_of, source

from ple_jax.data.prepare import prepare
from ple_jax.data.split import BLOCKS, FOLDS, assigner
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


def test_folds_do_not_depend_on_chunks_nor_on_the_split():
    """Each split has each fold at its share: five standard errors of 2 %."""
    assign, rows = assigner(source()), rows_of(raw())
    first, second = rows.where(np.arange(397) < 131), rows.where(np.arange(397) >= 131)
    whole = assign(rows, 0)
    parts = zip(assign(first, 0), assign(second, 131), strict=True)
    for got, wanted in zip(map(np.concatenate, parts), whole, strict=True):
        np.testing.assert_array_equal(got, wanted)
    many = rows_of(raw().take(np.arange(10_000) % 397))
    split, fold = assign(many, 0)
    for number, share in enumerate(SCHEMA.split.fractions):
        counts = np.bincount(fold[split == number], minlength=FOLDS)
        error = np.sqrt(10_000 * share / FOLDS * (1 - share / FOLDS))
        assert np.abs(counts - 10_000 * share / FOLDS).max() < 5 * error


def test_blocks_of_train_are_in_the_order_of_time():
    times = np.random.default_rng(0).integers(0, 90, 400)  # many are equal
    table = raw(400).append_column("when", [times])
    schema = Schema(SCHEMA.fields, SCHEMA.tasks, Split("time", "when"), ignored=("*",))
    split, fold = assigner(source(table, schema))(rows_of(table, schema), 0)
    train = np.unique(np.stack([times[split == 0], fold[split == 0]]), axis=1)
    assert (np.diff(train[0]) > 0).all()  # each time has one block
    assert (np.diff(train[1]) >= 0).all()
    assert set(train[1]) == set(range(BLOCKS))
    assert np.bincount(fold[split == 0]).max() <= 3 * 400 * 0.8 / BLOCKS
