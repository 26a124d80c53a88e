"""What a frame's columns are, by their types."""

import datetime

import pyarrow as pa
import pytest

from ple_jax.data.frames import is_number


@pytest.mark.parametrize(
    ("value", "number"),
    [(3, True), (0.5, True), (datetime.date(2024, 2, 29), True), ("3", False)],
)
def test_numbers_and_times_are_numbers_and_text_is_not(value, number):
    assert is_number(pa.field("x", pa.array([value]).type)) is number


def test_a_list_is_neither():
    with pytest.raises(ValueError, match="'x' is of type list"):
        is_number(pa.field("x", pa.list_(pa.int64())))
