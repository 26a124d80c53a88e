"""Files of arrays: written in order as NumPy does, and refused by name if damaged."""

import numpy as np
import pytest
from lib.damage import allowed

from ple_jax.data import arrays
from ple_jax.data.arrays import append_rows, create_array, open_array
from ple_jax.data.ranges import Expected

SHAPES = [(np.int32, (3,)), (np.float32, ()), (np.bool_, (2,)), (np.int64, (0,))]

odd_types_are_old = pytest.mark.filterwarnings("ignore:Data type alias")


def written(path, array, cuts=()):
    expected = Expected(array.dtype.type, array.shape[1:], ())
    create_array(path, expected, len(array))
    for part in np.split(array, cuts):
        append_rows(path, part)
    return expected


def some(dtype, shape, rows=37):
    return np.random.default_rng(0).integers(0, 2, (rows, *shape)).astype(dtype)


@pytest.mark.parametrize(("dtype", "shape"), SHAPES)
@pytest.mark.parametrize("cuts", [(), (1, 5, 30)])
def test_files_are_those_of_numpy(dtype, shape, cuts, tmp_path):
    array = some(dtype, shape)
    expected = written(tmp_path / "bags" / "a.npy", array, cuts)
    np.save(tmp_path / "b.npy", array)
    content = (tmp_path / "bags" / "a.npy").read_bytes()
    assert content == (tmp_path / "b.npy").read_bytes()
    opened = open_array(tmp_path / "b.npy", expected, 37)
    assert opened.dtype == dtype
    np.testing.assert_array_equal(opened, array)
    assert not opened.flags.writeable


def test_rows_that_lie_apart_in_memory_are_written_in_order(tmp_path):
    array = some(np.int32, (3,))[::2, ::-1]
    written(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "a.npy").symlink_to("elsewhere")
    with pytest.raises(FileExistsError):
        written(tmp_path / "a.npy", some(np.int32, ()))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("block", [1, 5, 12, 100, 1 << 20])
def test_each_value_is_read_once_in_order(block, tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "BLOCK", block)
    array, read = some(np.int32, (3,)), []
    written(tmp_path / "a.npy", array)

    class Recorder(Expected):
        def check(self, block, first, path):
            assert first == sum(map(len, read))
            read.append(block.copy())

    open_array(tmp_path / "a.npy", Recorder(np.int32, (3,), ()), 37)
    np.testing.assert_array_equal(np.concatenate(read), array)


@pytest.mark.parametrize("length", [0, 5, 9, 60, 127, 128, 200, -1, 999])
def test_a_file_of_another_length_is_named(length, tmp_path):
    expected = written(path := tmp_path / "a.npy", some(np.int32, (3,)))
    content = path.read_bytes()
    path.write_bytes((content + bytes(999))[: length % (len(content) + 1000)])
    with pytest.raises(ValueError, match=r"a.npy is damaged: it "):
        open_array(path, expected, 37)


@odd_types_are_old
def test_no_byte_of_a_header_ends_in_another_error(tmp_path):
    expected = written(path := tmp_path / "a.npy", array := some(np.int32, (3,)))
    content = path.read_bytes()
    for place in range(128):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            with allowed(ValueError, f"^{path} is damaged: it "):
                opened = open_array(path, expected, 37)
                np.testing.assert_array_equal(opened, array)  # such as another space


def test_a_header_of_ours_needs_no_parser(tmp_path, monkeypatch):
    expected = written(path := tmp_path / "a.npy", array := some(np.int32, (3,)))
    other = tmp_path / "padded.npy"  # as another version of NumPy may write it
    header = path.read_bytes()[:128].replace(b"v\0", b"\xb6\0").replace(b"\n", b"")
    other.write_bytes(header.ljust(191) + b"\n" + path.read_bytes()[128:])
    np.testing.assert_array_equal(open_array(other, expected, 37), array)

    def failing(text):
        raise SystemError("AST constructor recursion depth mismatch")

    monkeypatch.setattr("ast.literal_eval", failing)
    np.testing.assert_array_equal(open_array(path, expected, 37), array)
    with pytest.raises(ValueError, match=r"padded.npy is damaged: it is no \.npy file"):
        open_array(other, expected, 37)


@odd_types_are_old
def test_every_flip_changes_the_checksum(tmp_path):
    expected = written(path := tmp_path / "a.npy", some(np.int32, (3,), rows=3))
    content = path.read_bytes()
    with pytest.raises(ValueError, match=r"a.npy is not as it was written") as raised:
        open_array(path, expected, 3, "00000000")
    checksum = str(raised.value).partition("its CRC-32 is ")[2][:8]
    open_array(path, expected, 3, checksum)
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=f"{path} is "):
            open_array(path, expected, 3, checksum)
