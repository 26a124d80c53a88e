"""Splits by time, group and stratum, and the folds of train."""

import collections
import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from lib.tables import SCHEMA, raw, rows_of, source

from ple_jax.data.prepare import prepare
from ple_jax.data.rows import Rows
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


# By group, by stratum, and without test.


def split_by(table, chunk=100, schema=SCHEMA, **options):
    """Each row's split and fold, of a table that is read in chunks."""
    split = dataclasses.replace(schema.split, **options)
    made = source(table, dataclasses.replace(schema, split=split), chunk)
    assign = assigner(made)
    each = [assign(Rows(c, schema.format), c.first) for c in made.chunks()]
    return [np.concatenate(column) for column in zip(*each, strict=True)]


def with_column(table, name, values):
    return table.set_column(table.column_names.index(name), name, [values])


def test_all_rows_of_a_group_are_in_one_split_and_one_fold():
    table = raw(4001)
    users = np.random.default_rng(1).integers(0, 997, 4001)
    found = split_by(with_column(table, "user", users), group="user")
    for column in found:
        pairs = np.unique(np.stack([users, column]), axis=1)
        assert len(pairs.T) == len(np.unique(users))
    groups = split_by(raw(997).append_column("u", [np.arange(997)]), group="u")[0]
    sizes = np.bincount(groups, minlength=3) / 997
    np.testing.assert_allclose(sizes, SCHEMA.split.fractions, atol=5 * 0.016)


@pytest.mark.parametrize("options", [{"group": "user"}, {"stratify": "click"}])
@pytest.mark.parametrize("chunk", [1, 131])
def test_groups_and_strata_do_not_depend_on_chunks(options, chunk):
    for got, wanted in zip(
        split_by(raw(), chunk, **options), split_by(raw(), 397, **options), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


def test_a_group_is_the_same_in_any_order_and_type():
    numbers = np.random.default_rng(2).integers(0, 53, 397)
    as_number = split_by(with_column(raw(), "user", numbers), group="user")[0]
    text = with_column(raw(), "user", [f"{n}.0" for n in numbers[::-1]])
    np.testing.assert_array_equal(split_by(text, group="user")[0][::-1], as_number)


def test_a_row_without_a_group_is_one_of_its_own():
    missing = split_by(with_column(raw(), "user", pa.nulls(397, "str")), group="user")
    np.testing.assert_array_equal(missing, split_by(raw()))


def test_another_seed_gives_groups_other_splits():
    one, other = (split_by(raw(), group="user", seed=s)[0] for s in (3, 4))
    assert (one != other).any()


@pytest.mark.parametrize("stratify", ["click", "shop", ("click", "buy", "shop")])
def test_each_stratum_has_its_shares(stratify):
    """Ends of splits lie within half a row of their shares."""
    split = split_by(raw(), stratify=stratify)[0]
    columns = raw().select([stratify] if isinstance(stratify, str) else [*stratify])
    strata = collections.defaultdict(list)
    for row, number in zip(columns.to_pylist(), split, strict=True):
        if row.get("click") == "0":
            row["buy"] = ""  # it is given click
        strata[tuple(row.values())].append(number)
    for numbers in strata.values():
        ends = np.cumsum(np.bincount(numbers, minlength=3)) / len(numbers)
        assert np.abs(ends - [0.6, 0.8, 1]).max() <= 0.5 / len(numbers) + 1e-9


def test_strata_of_a_rare_label_beat_chance():
    clicks = np.where(np.arange(397) % 131 == 0, "1", "0")  # 4 of them
    table = with_column(raw(), "click", clicks)
    split = split_by(table, stratify="click", fractions=(0.5, 0.25, 0.25))[0]
    assert sorted(split[clicks == "1"]) == [0, 0, 1, 2]


NO_TEST = {
    "random": Split(fractions=(0.9, 0.1, 0)),
    "group": Split(fractions=(0.5, 0.5, 0), group="user"),
    "stratify": Split(fractions=(0.9, 0.1, 0), stratify="click"),
    "time": Split("time", "when", (0.9, 0.1, 0)),
    "last": Split("last", fractions=(0.9, 0.1, 0), group="user"),
    "column": Split("column", "half", test=()),
}


@pytest.mark.parametrize("split", NO_TEST.values(), ids=NO_TEST)
def test_no_test_split_may_be_wanted(split, tmp_path):
    table = raw().append_column("when", [np.arange(397)])
    half = np.where(np.arange(397) % 2, "train", "validation")
    table = table.append_column("half", [half])
    schema = dataclasses.replace(SCHEMA, split=split, ignored=("*",))
    data = prepare(source(table, schema), tmp_path / "prepared")
    assert data.splits == ("train", "validation")
    assert sum(len(data.split(s)) for s in data.splits) == 397
    with pytest.raises(ValueError, match="has no test split: its schema wants none"):
        data.split("test")
    data.verify()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fractions": (0.9, 0, 0.1)}, "validation, which chooses the epoch"),
        ({"fractions": (0, 0.5, 0.5)}, "train, which is learned"),
        ({"by": "column", "column": "x", "validation": ()}, "values for validation"),
        ({"by": "time", "column": "t", "group": "u"}, "split.group needs"),
        ({"group": "user", "stratify": "click"}, "exclude each other"),
        ({"by": "last", "column": "t"}, "'last' needs split.group"),
        ({"by": "last", "group": "u", "stratify": "click"}, "no split.stratify"),
        ({"by": "last", "group": "u", "last": 0}, "at least 1, got 0"),
    ],
)
def test_splits_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        Split(**options)


def test_strata_are_tasks_or_the_domain():
    with pytest.raises(ValueError, match=r"'clik' is not a known .* mean 'click'"):
        dataclasses.replace(SCHEMA, split=Split(stratify="clik"))
    with pytest.raises(ValueError, match="column of groups"):
        dataclasses.replace(SCHEMA, split=Split(group="click"))


def last_of_each(users, times, k, has_test):
    """By a loop over users: their rows from the newest, ties from the later row."""
    wanted = np.zeros(len(users), int)
    for user in set(users) - {None}:
        mine = [i for i, u in enumerate(users) if u == user]
        mine.sort(key=lambda i: (times[i], i), reverse=True)
        if len(mine) > k * (1 + has_test):
            wanted[mine[:k]] = 1 + has_test
            wanted[mine[k : 2 * k] if has_test else []] = 1
    return wanted


@pytest.mark.parametrize("chunk", [1, 131, 397])
@pytest.mark.parametrize(
    ("k", "has_test", "in_order"), [(1, 1, 0), (3, 1, 0), (2, 0, 0), (2, 1, 1)]
)
def test_the_last_rows_of_each_user_are_held_out(k, has_test, in_order, chunk):
    random = np.random.default_rng(5)
    users = [None if u == 7 else f"u{u}" for u in random.integers(0, 89, 397)]
    times = np.arange(397) if in_order else random.integers(0, 23, 397)
    table = with_column(raw(), "user", users).append_column("when", [times])
    asked = {"by": "last", "column": None if in_order else "when", "group": "user"}
    shares = (0.8, 0.1, 0.1) if has_test else (0.9, 0.1, 0)
    split, folds = split_by(table, chunk, **asked, last=k, fractions=shares)
    np.testing.assert_array_equal(split, last_of_each(users, times, k, has_test))
    assert {*split} == ({0, 1, 2} if has_test else {0, 1})
    of_one = {*folds[np.array(users) == "u0"]}
    assert len(of_one) > 1  # so that a user of train is known out of fold
