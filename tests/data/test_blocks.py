"""Blocks of a split: what they hold, and what is not as it was written."""

import zlib

import numpy as np
import pytest
from lib.blocks import ROWS, in_blocks
from lib.damage import as_old, rewrite, with_facts
from lib.tables import raw, source

from ple_jax.data.blocks import BYTES, Piece, rows_of_block
from ple_jax.data.facts import FACTS, read_facts, write_facts
from ple_jax.data.store import Prepared
from ple_jax.splits import SPLITS

FILES = ["ids", "bags/0", "numbers", "domain", "labels", "observed", "weights", "user"]


@pytest.fixture(scope="module")
def divided(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blocks") / "prepared"
    return in_blocks(source(raw(251)), folder)


@pytest.fixture
def copy(divided, tmp_path):
    """The folder of a copy, to damage."""
    return divided.copy_to(tmp_path / "copy").directory


def whole(number, rows):
    first = number * ROWS
    return Piece(number, 0, min(ROWS, rows - first))


@pytest.mark.parametrize("row_bytes", [1, 3, 100, 2**20 + 1, BYTES, BYTES + 1, 2**30])
def test_a_block_is_the_most_rows_that_fit(row_bytes):
    rows = rows_of_block(row_bytes)
    assert rows.bit_count() == 1
    assert rows * row_bytes <= BYTES or rows == 1
    assert 2 * rows * row_bytes > BYTES


@pytest.mark.parametrize("split", SPLITS)
def test_pieces_are_the_rows_of_the_split(divided, split):
    blocks, rows = divided.blocks(split), divided.split(split)
    assert len(blocks) == -(-len(rows) // ROWS)
    assert blocks.row_bytes * len(rows) == divided.bytes_of(split)
    last = len(blocks) - 1
    pieces = [whole(last, len(rows)), Piece(0, 5, 7), Piece(1, 3, 0), Piece(0, 0, 2)]
    wanted = [*range(last * ROWS, len(rows)), *range(5, 12), 0, 1]
    for name, array in blocks.read(pieces).arrays().items():
        np.testing.assert_array_equal(array, rows.arrays()[name][wanted])
        assert array.dtype == rows.arrays()[name].dtype


def test_the_fingerprint_is_that_of_any_blocks(divided, tmp_path):
    other = in_blocks(source(raw(251)), tmp_path / "other", rows=64)
    assert other.fingerprint == divided.fingerprint
    assert other.facts["blocks"]["rows"] == 64


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_block_is_named_and_others_are_read(copy, file):
    path, of_train = copy / "train" / f"{file}.npy", Prepared.open(copy).blocks("train")
    size = len(path.read_bytes()) - 128  # of the values
    rows, bad = of_train.rows, 2
    place = 128 + size * (bad * ROWS + 3) // rows

    def flip(content):
        content[place] ^= 1

    rewrite(path, flip)
    blocks = Prepared.open(copy).blocks("train")
    blocks.read([whole(i, rows) for i in range(len(blocks)) if i != bad])
    wrong = rf"{path} is not as it was written: its block 3 of {len(blocks)} \(rows 33 "
    with pytest.raises(ValueError, match=wrong + r"to 48\) has CRC-32"):
        blocks.read([whole(bad, rows)])


def test_a_cut_file_is_named_at_once_and_while_it_is_read(copy):
    opened, path = Prepared.open(copy).blocks("train"), copy / "train" / "labels.npy"

    def halve(content):
        del content[len(content) // 2 :]

    rewrite(path, halve)
    opened.read([whole(0, opened.rows)])
    with pytest.raises(ValueError, match=r"labels.npy .* ends after [\d,]+ of its"):
        opened.read([whole(len(opened) - 1, opened.rows)])
    with pytest.raises(ValueError, match=r"labels.npy is damaged: it has .* bytes"):
        Prepared.open(copy).blocks("train")


def test_a_missing_file_is_named_at_once_and_while_it_is_read(copy):
    opened, path = Prepared.open(copy).blocks("train"), copy / "train" / "ids.npy"
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"train/ids.npy"):
        opened.read([whole(0, opened.rows)])
    with pytest.raises(ValueError, match=r"train/ids.npy is missing"):
        Prepared.open(copy).blocks("train")


def test_a_value_out_of_range_is_refused_whatever_its_checksum(copy):
    index = read_facts(copy)["blocks"]
    path = copy / "train" / "domain.npy"

    def raise_first(content):
        content[128:132] = np.int32(99).tobytes()

    rewrite(path, raise_first)
    crc = zlib.crc32(path.read_bytes()[128 : 128 + 4 * ROWS])
    checksums = index["checksums"]
    checksums["train/domain.npy"] = f"{crc:08x}{checksums['train/domain.npy'][8:]}"
    with_facts(copy, blocks=index)
    with pytest.raises(
        ValueError, match=r"domain.npy is damaged: .* holds 99 in row 1"
    ):
        Prepared.open(copy).blocks("train").read([Piece(0, 0, ROWS)])


def test_an_index_of_other_blocks_is_refused(copy):
    facts = read_facts(copy)
    index = facts["blocks"]
    for changed, message in (
        ({**index, "rows": 0}, "blocks.rows must be at least 1"),
        ({**index, "rows": 2 * ROWS}, r"index of the blocks of .*/train/\w+.npy is"),
        ({"rows": ROWS}, "checksums must be given"),
        ({**index, "checksums": {}}, "its blocks do not fit"),
    ):
        (copy / FACTS).unlink()
        write_facts(copy, facts | {"blocks": changed})
        with pytest.raises(ValueError, match=message):
            Prepared.open(copy).blocks("train")


def test_data_sets_of_before_have_no_blocks(copy):
    with_facts(copy, blocks={})
    opened = Prepared.open(copy)
    assert not opened.has_blocks
    opened.split("train")
    with pytest.raises(ValueError, match=f"{copy} was prepared before .* again"):
        opened.blocks("train")
    as_old(copy)
    assert not Prepared.open(copy).has_blocks
