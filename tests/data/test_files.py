"""Files that the user has: where they are found, and what is said if not."""

import pytest

from ple_jax.data import files
from ple_jax.datasets import ciao, hotel


def test_files_that_cannot_be_had_are_one_clear_error(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"hotel needs hotel_bookings.csv .*Kaggle"):
        hotel.build(data_dir=str(tmp_path))
    (tmp_path / "hotel_booking.csv").write_text("x")
    with pytest.raises(ValueError, match=r"Did you mean 'hotel_booking.csv'"):
        hotel.build(data_dir=str(tmp_path))
    (tmp_path / "hotel_bookings.csv").write_text("x")
    with pytest.raises(ValueError, match="its sha256 is"):
        hotel.build(data_dir=str(tmp_path))
    monkeypatch.delenv("PLE_JAX_DATA", raising=False)
    with pytest.raises(ValueError, match=r"--data.data-dir or PLE_JAX_DATA.*github"):
        ciao.build()


def test_a_file_is_found_plain_or_packed_in_its_folder_first(tmp_path):
    (tmp_path / "kind").mkdir()
    for place in ("a.csv", "kind/a.csv.gz"):
        (tmp_path / place).write_bytes(b"x")
    (path,) = files.find_files("kind", ["a.csv"], str(tmp_path), "")
    assert path == tmp_path / "kind" / "a.csv.gz"
