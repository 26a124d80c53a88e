"""Ids and domains outside of the layout are found when a split is opened."""

import numpy as np
import pytest

from ple_jax.data import ranges
from ple_jax.data.store import Prepared


def with_value(prepared, folder, array, place, value):
    """A copy of a data set in which one value of train is another."""
    copy = prepared.copy_to(folder)
    path = folder / "train" / f"{array}.npy"
    values = np.load(path)
    values[place] = value
    path.unlink()  # the original links to it
    np.save(path, values)
    return copy


@pytest.mark.parametrize("row", [0, -1])
@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("kind", ["ids", "bags", "domain"])
def test_what_is_out_of_range_is_named(kind, above, row, everything, tmp_path):
    layout = everything.layout
    array, place, column, least, end = {
        "ids": ("ids", (row, -1), layout.ids[-1].name, 0, layout.ids[-1].rows),
        "bags": (
            f"bags/{layout.bags[0].name}",
            (row, 0),
            layout.bags[0].name,
            -1,
            layout.bags[0].rows,
        ),
        "domain": ("domain", row, "domain", 0, len(layout.domains)),
    }[kind]
    good, bad = (end - 1, end) if above else (least, least - 1)
    with_value(everything, tmp_path / "good", array, place, good).split("train")
    copy = with_value(everything, tmp_path / "bad", array, place, bad)
    message = f"{array}.npy is damaged: column '{column}' holds {bad}, expected {least}"
    with pytest.raises(ValueError, match=message):
        Prepared.open(copy.directory).split("train")
    copy.split("test")


def test_a_missing_column_is_named(everything, tmp_path):
    copy = everything.copy_to(tmp_path / "copy")
    path = tmp_path / "copy" / "train" / "ids.npy"
    values = np.load(path)
    path.unlink()
    np.save(path, values[:, 1:])
    wanted = values.shape[1]
    with pytest.raises(ValueError, match=rf"{wanted - 1} columns, expected {wanted}\."):
        copy.split("train")


def test_extremes_are_those_of_all_blocks(monkeypatch):
    monkeypatch.setattr(ranges, "ROWS", 7)
    x = np.random.default_rng(0).integers(-99, 99, (23, 5))
    low, high = ranges.extremes(x)
    np.testing.assert_array_equal(low, [min(column) for column in x.T])
    np.testing.assert_array_equal(high, [max(column) for column in x.T])
