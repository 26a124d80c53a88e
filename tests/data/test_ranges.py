"""What arrays must hold: what is out of range is found when a split is opened."""

import pathlib
import re

import numpy as np
import pytest
from lib.damage import with_array

from ple_jax.data import arrays, ranges
from ple_jax.data.store import Prepared


def placed(value, row, column):
    """(array) -> the array with this value in one place."""

    def change(array):
        array = array.view(np.uint8) if array.dtype == bool else array
        array[(row, column)[: array.ndim]] = value
        return array.view(bool) if array.dtype == np.uint8 else array

    return change


@pytest.fixture
def limits(everything):
    """Array -> (file, name of its last column, good values, bad ones)."""
    layout = everything.layout
    ids, bag, domains = layout.ids[-1], layout.bags[0], len(layout.domains)
    price, task = layout.numbers[-1].name, layout.tasks[-1].name
    huge, nan, inf = np.finfo(np.float32).max, np.nan, np.inf
    return {
        "ids": ("ids", ids.name, [0, ids.rows - 1], [-1, ids.rows, 2**31 - 1]),
        "bags": ("bags/0", bag.name, [-1, bag.rows - 1], [-2, bag.rows]),
        "domain": ("domain", "domain", [0, domains - 1], [-1, domains]),
        "numbers": ("numbers", price, [-huge, huge], [nan, inf, -inf]),
        "labels": ("labels", task, [0, 1], [0.5, -1, 2, nan, inf]),
        "observed": ("observed", task, [0, 1], [2, 255]),
        "weights": ("weights", "weight", [0, huge], [-1e-9, nan, inf]),
    }


@pytest.mark.parametrize("row", [0, 31, -1])
@pytest.mark.parametrize(
    "array", ["ids", "bags", "domain", "numbers", "labels", "observed", "weights"]
)
def test_what_is_out_of_range_is_named(
    array, row, limits, everything, tmp_path, monkeypatch
):
    monkeypatch.setattr(arrays, "BLOCK", 1 << 7)  # bytes: some rows each
    file, column, good, bad = limits[array]
    copy = everything.copy_to(tmp_path / "copy")
    for value in good:
        with_array(copy.directory, f"train/{file}.npy", placed(value, row, -1))
        examples = Prepared.open(copy.directory).split("train")
    number = row % len(examples) + 1
    for value in bad:
        with_array(copy.directory, f"train/{file}.npy", placed(value, row, -1))
        opened = Prepared.open(copy.directory)
        with pytest.raises(ValueError, match=f"train/{file}.npy is damaged") as raised:
            opened.split("train")
        words = r"column '(.*)' holds (.*) in row (.*), expected "
        name, held, at = re.search(words, str(raised.value)).groups()
        assert (name, at) == (column, str(number))
        np.testing.assert_equal(np.float32(held), np.float32(value))
        opened.split("test")


def test_control_without_the_check_nothing_is_found(
    everything, limits, tmp_path, monkeypatch
):
    monkeypatch.setattr(ranges.Expected, "check", lambda *_: None)
    for array, (file, _, _, bad) in limits.items():
        copy = everything.copy_to(tmp_path / array)
        with_array(copy.directory, f"train/{file}.npy", placed(bad[0], 0, -1))
        Prepared.open(copy.directory).split("train")


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        (lambda x: x[:, 1:], r"holds int32 \(593, 2\), expected int32 \(593, 3\)"),
        (lambda x: x[1:], r"holds int32 \(592, 3\)"),
        (lambda x: x.astype(np.int64), r"holds int64 \(593, 3\)"),
        (lambda x: x.astype(">i4"), r"holds >i4 \(593, 3\)"),
        (np.asfortranarray, r"holds int32 \(593, 3\), column by column"),
        (lambda x: x.ravel(), r"holds int32 \(1779,\)"),
    ],
)
def test_another_type_or_shape_is_named(change, holds, everything, tmp_path):
    copy = everything.copy_to(tmp_path / "copy")
    with_array(copy.directory, "train/ids.npy", change)
    with pytest.raises(ValueError, match=f"train/ids.npy is damaged: it {holds}"):
        Prepared.open(copy.directory).split("train")


@pytest.mark.parametrize("rows", [1, 23, 64, 192])
def test_extremes_are_those_of_all_rows(rows):
    x = np.random.default_rng(0).integers(-99, 99, (rows, 5))
    low, high = ranges.extremes(x)
    np.testing.assert_array_equal(low, [min(column) for column in x.T])
    np.testing.assert_array_equal(high, [max(column) for column in x.T])


def test_a_number_of_any_column_is_compared_with_its_own_range():
    items = tuple(ranges.Range(f"c{i}", 0, i, f"0 to {i}") for i in range(5))
    expected = ranges.Expected(np.int32, (5,), items)
    x = np.tile(np.arange(5, dtype=np.int32), (7, 1))
    expected.check(x, 0, pathlib.Path("x"))
    for column in range(5):
        wrong = x.copy()
        wrong[3, column] += 1
        with pytest.raises(ValueError, match=f"'c{column}' holds .* in row 104, "):
            expected.check(wrong, 100, pathlib.Path("x"))
