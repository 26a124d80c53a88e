"""A prepared data set in an object store, of which train stays there."""

import builtins
import json
import sys

import fsspec
import numpy as np
import pytest
from lib.blocks import in_blocks
from lib.store import Bucket, served
from lib.tables import raw, source

from ple_jax.data import remote
from ple_jax.data.blocks import Piece
from ple_jax.data.facts import FACTS, write_facts
from ple_jax.data.store import ELSEWHERE, Prepared, damaged_files
from ple_jax.datasets import prepared


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return in_blocks(source(raw(251)), tmp_path_factory.mktemp("remote") / "prepared")


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(remote, "WAIT", 0)


@pytest.fixture
def there(here, monkeypatch, tmp_path):
    """The URL of a copy, in a store that is in memory."""
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    store.put(str(here.directory), "/bucket/shop", recursive=True)
    yield "memory://bucket/shop"
    store.rm("/bucket", recursive=True)


def read_all(blocks):
    rows = blocks.of_block
    return blocks.read([Piece(i, 0, rows) for i in range(len(blocks) - 1)])


def test_train_is_read_by_blocks_from_there_and_all_else_from_here(here, there):
    opened = prepared.build(f"{there}/")
    assert opened.fingerprint == here.fingerprint
    assert not (opened.directory / "train").exists()
    for split in opened.splits[1:]:
        assert len(opened.split(split)) == len(here.split(split))
    found, wanted = (read_all(data.blocks("train")) for data in (opened, here))
    for name, array in wanted.arrays().items():
        np.testing.assert_array_equal(found.arrays()[name], array)
    message = r"train lies in memory://bucket/shop, and is read by blocks alone"
    with pytest.raises(ValueError, match=message):
        opened.split("train")


def test_ranges_are_named(there):
    url = there.replace("memory:", f"{Bucket.protocol}:")
    whole = remote.RemoteFile(f"{url}/{FACTS}").read(0, 10**6)
    assert remote.RemoteFile(f"{url}/{FACTS}").read(3, 5) == whole[3:8]


def test_a_copy_reads_from_there_too(there, tmp_path):
    copy = prepared.build(there).copy_to(tmp_path / "copy")
    assert ELSEWHERE in copy.small_files()
    read_all(Prepared.open(copy.directory).blocks("train"))
    copy.verify()
    assert not list(damaged_files(copy.directory))
    path = copy.directory / "test" / "ids.npy"
    path.unlink()
    path.write_bytes(b"")
    assert len(list(damaged_files(copy.directory))) == 1
    with pytest.raises(ValueError, match=r"test/ids.npy is not as it was"):
        copy.verify()


def test_what_changes_there_is_named(there):
    blocks, store = prepared.build(there).blocks("train"), fsspec.filesystem("memory")
    path = "/bucket/shop/train/labels.npy"
    content = store.cat_file(path)
    store.pipe_file(path, content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=rf"memory:/{path} is not as it was .* block"):
        blocks.read([Piece(len(blocks) - 1, 0, 1)])
    store.pipe_file(path, content[:-1])
    with pytest.raises(ValueError, match=rf"memory:/{path} is damaged: .* bytes"):
        prepared.build(there).blocks("train")
    store.rm(path)
    with pytest.raises(FileNotFoundError):
        blocks.read([Piece(0, 0, 1)])


def test_another_data_set_there_is_another_one_here(there):
    first, store = prepared.build(there), fsspec.filesystem("memory")
    assert prepared.build(there).directory == first.directory
    facts = store.cat_file(f"/bucket/shop/{FACTS}")
    store.pipe_file(f"/bucket/shop/{FACTS}", facts + b" ")
    assert prepared.build(there).directory != first.directory


def test_what_is_not_there_is_named(there):
    with pytest.raises(ValueError, match=r"memory://bucket/other is not a prepared"):
        prepared.build("memory://bucket/other")
    fsspec.filesystem("memory").rm("/bucket/shop/test/ids.npy")
    with pytest.raises(ValueError, match=r"damaged: .*shop/test/ids.npy is missing"):
        prepared.build(there)


def test_a_note_of_other_places_is_refused(there, tmp_path):
    copy = prepared.build(there).copy_to(tmp_path / "copy").directory
    (copy / ELSEWHERE).unlink()
    for text in ('{"test": "memory://x"}', '{"train": 3}', "[]", "{"):
        (copy / ELSEWHERE).write_text(text)
        with pytest.raises(ValueError, match=rf"{copy / ELSEWHERE}(:| is)"):
            Prepared.open(copy)


@pytest.mark.parametrize("url", ["nosuch://bucket/shop", "s3://bucket/shop"])
def test_without_a_driver_one_sentence_says_so(url, monkeypatch):
    load = builtins.__import__

    def lacking(name, *arguments, **others):
        if name == "s3fs":
            raise ImportError("No module named 's3fs'")
        return load(name, *arguments, **others)

    monkeypatch.setattr(builtins, "__import__", lacking)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ValueError, match=rf"{url} cannot be read: it needs fsspec"):
        prepared.build(url)


def test_without_fsspec_one_sentence_says_so(there, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ValueError, match="it needs fsspec"):
        prepared.build(there)


@pytest.mark.parametrize("file", ["../../secret", "/etc/passwd", "a\0b", ""])
def test_no_name_leads_out_of_the_cache(file, there, tmp_path):
    store = fsspec.filesystem("memory")
    facts = json.loads(store.cat_file(f"/bucket/shop/{FACTS}"))
    facts["checksums"][file] = "00000000"
    facts = {k: v for k, v in facts.items() if k != "seal"}
    write_facts(tmp_path, facts)
    store.pipe_file(f"/bucket/shop/{FACTS}", (tmp_path / FACTS).read_bytes())
    with pytest.raises(ValueError, match="A prepared data set has no file"):
        prepared.build(there)


@pytest.fixture
def store(here, monkeypatch, tmp_path):
    """The same behind a network."""
    pytest.importorskip("aiohttp")
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    with served(here.directory.parent) as store:
        yield store


FAULTS = ["503", "cut", "short", "flipped"]


def test_what_fails_on_the_way_is_read_again(store, here):
    """Headers, blocks and the files that are copied; each fault once, in turn."""
    store.of, store.faults = "/prepared", [*FAULTS[:3], None, "flipped"]
    blocks = prepared.build(f"{store.url}/prepared").blocks("train")
    assert not store.faults
    store.of, store.faults = "/train/", FAULTS[1:]
    found, wanted = (read_all(data).arrays() for data in (blocks, here.blocks("train")))
    assert not store.faults
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name])


def test_what_fails_again_and_again_is_one_sentence(store):
    blocks = prepared.build(f"{store.url}/prepared").blocks("train")
    store.of, where = "train/labels.npy", rf"^{store.url}/prepared/train/labels.npy"
    for fault in FAULTS:
        store.faults, store.asked = [fault] * 99, 0
        with pytest.raises(ValueError, match=rf"{where}.* its block 3 of ") as caught:
            blocks.read([Piece(2, 0, 1)])
        assert "\n" not in str(caught.value)
        assert store.asked == remote.TRIES
    store.faults = []
    blocks.read([Piece(2, 0, 1)])


def test_what_cannot_be_copied_leaves_nothing_in_the_cache(store, tmp_path):
    store.of, store.faults = "test/ids.npy", ["cut"] * 99
    with pytest.raises(ValueError, match=r"test/ids.npy cannot be read, tried 4 times"):
        prepared.build(f"{store.url}/prepared")
    assert not [*(tmp_path / "cache" / "remote").iterdir()]
    store.of, store.faults = "test/ids.npy", ["flipped"] * 99
    with pytest.raises(ValueError, match=r"test/ids.npy is not as it was written"):
        prepared.build(f"{store.url}/prepared")
    store.faults = []
    prepared.build(f"{store.url}/prepared").verify()
