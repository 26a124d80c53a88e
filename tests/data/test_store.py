"""A prepared data set on disk: copies, damage, links, and the oldest format."""

import json
import os
import random
import shutil

import numpy as np
import pytest
from lib.damage import allowed, as_old, rewrite, with_facts
from lib.prepared import arrays_of
from lib.tables import source

from ple_jax.data.facts import FACTS
from ple_jax.data.prepare import prepare
from ple_jax.data.store import Prepared
from ple_jax.show import console
from ple_jax.splits import SPLITS


@pytest.fixture
def copy(everything, tmp_path):
    """The folder of a copy, to damage."""
    return everything.copy_to(tmp_path / "copy").directory


def open_all(folder):
    return arrays_of(Prepared.open(folder))


def assert_same_arrays(found, wanted):
    assert found.keys() == wanted.keys()
    for key, array in found.items():
        np.testing.assert_array_equal(array, wanted[key])


def random_flips(content, count):
    """Yields random changes of one bit; a third of them in the first 128 bytes."""
    rng = random.Random(0)
    for i in range(count):
        place, bit = rng.randrange(len(content)), rng.randrange(8)
        changed = bytearray(content)
        changed[place % 128 if i % 3 == 0 else place] ^= 1 << bit
        yield changed


# Copies.


def test_a_copy_holds_the_same(copy, everything):
    opened = Prepared.open(copy)
    opened.verify()
    assert_same_arrays(arrays_of(opened), arrays_of(everything))


def test_a_copy_to_another_file_system_holds_the_same(
    everything, tmp_path, monkeypatch
):
    def refuse(*_):
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    copy = everything.copy_to(tmp_path / "copy").directory
    Prepared.open(copy).verify()
    path = copy / "train/ids.npy"
    assert path.stat().st_nlink == 1
    assert not path.stat().st_mode & 0o222


def test_a_copy_is_new(copy, everything):
    with pytest.raises(FileExistsError):
        everything.copy_to(copy)


def test_only_files_of_a_data_set_are_copied(copy, tmp_path):
    (copy / "train" / "other.txt").touch()
    Prepared.open(copy).copy_to(tmp_path / "second")
    assert not (tmp_path / "second" / "train" / "other.txt").exists()


def test_files_are_read_only(everything):
    """A run links to the cache: whoever writes in place needs another right first."""
    modes = [p.stat().st_mode for p in everything.directory.rglob("*") if p.is_file()]
    assert len(modes) > 20
    assert not any(mode & 0o222 for mode in modes)
    assert all(mode & 0o400 for mode in modes)


def test_a_write_in_place_is_seen_in_all_that_link_to_it(copy, tmp_path):
    path = copy / "train" / "labels.npy"
    content = path.read_bytes()
    path.unlink()  # of the original
    path.write_bytes(content)
    other = Prepared.open(copy).copy_to(tmp_path / "other").directory
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for folder in (copy, other):
        with pytest.raises(ValueError, match=r"labels.npy is (damaged|not as it was)"):
            Prepared.open(folder).split("train")


# Damage.


ARRAYS = ["ids", "bags/0", "numbers", "domain", "labels", "observed", "weights", "user"]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("array", ARRAYS)
def test_every_flip_in_an_array_is_seen_by_what_reads_it(split, array, copy):
    path = copy / split / f"{array}.npy"
    content = path.read_bytes()
    path.unlink()
    for changed in random_flips(content, 13):
        path.write_bytes(changed)
        opened = Prepared.open(copy)
        with pytest.raises(ValueError, match=f"^{path} is "):
            opened.split(split)
        for other in {*SPLITS} - {split}:
            opened.split(other)


def test_control_without_checksums_flips_pass(copy, monkeypatch):
    monkeypatch.setattr("ple_jax.data.arrays.check_crc", lambda *_: None)
    path = copy / "train" / "user.npy"
    rewrite(path, lambda content: content.__setitem__(-1, content[-1] ^ 1))
    Prepared.open(copy).split("train")


def test_a_split_is_read_when_it_is_opened_and_not_before(copy):
    shutil.rmtree(copy / "train")
    opened = Prepared.open(copy)
    opened.split("test")
    with pytest.raises(ValueError, match=r"is damaged: .*train/ids.npy is missing"):
        opened.split("train")
    with pytest.raises(ValueError, match=r"is damaged: .*train/.*.npy is missing"):
        opened.verify()
    with pytest.raises(ValueError, match=r"is damaged: .*train/ids.npy is missing"):
        opened.copy_to(copy / "second")


@pytest.mark.parametrize("file", ["encoder.json", "vocabularies/1.parquet"])
def test_a_flip_in_another_file_is_seen_at_opening(file, copy):
    path = copy / file
    content = path.read_bytes()
    path.unlink()
    for changed in random_flips(content, 31):
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=f"{file} is not as it was written"):
            Prepared.open(copy)


def test_a_flip_in_an_array_is_named_by_verify(copy):
    rewrite(copy / "train/labels.npy", lambda c: c.__setitem__(-1, c[-1] ^ 1))
    with pytest.raises(ValueError, match=r"fingerprint .* Changed: train/labels.npy\."):
        Prepared.open(copy).verify()


def test_a_flip_in_what_it_says_of_itself_is_seen(copy):
    path = copy / FACTS
    content = path.read_bytes()
    path.unlink()
    for changed in random_flips(content, 100):
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=f"^{copy}"):
            Prepared.open(copy)


def test_control_without_a_seal_flips_pass(copy, monkeypatch):
    path = copy / FACTS
    content = path.read_bytes()
    seal = json.loads(content)["seal"]
    monkeypatch.setattr("ple_jax.data.facts._seal", lambda facts: seal)
    path.unlink()
    path.write_bytes(content.replace(b'"click": 0.', b'"click": 7.'))
    Prepared.open(copy)


def test_any_plain_identity_is_kept(tmp_path):
    """JSON makes strings of all keys, and strings have another order than numbers."""
    odd = source()._replace(identity={"starts": {9: 1.5, 10: (2, None)}})
    prepare(odd, tmp_path / "prepared")
    found = Prepared.open(tmp_path / "prepared").facts["identity"]
    assert found == {"starts": {"9": 1.5, "10": [2, None]}}


def without(key):
    return lambda facts: {k: v for k, v in facts.items() if k != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: 3, "it: expected a table, got 3"),
        (lambda facts: [facts], "it: expected a table"),
        (without("version"), "version must be given"),
        (without("splits"), "splits must be given"),
        (without("fingerprint"), "fingerprint must be given"),
        (without("checksums"), "its seal is"),
        (lambda facts: facts | {"version": "2"}, "expected int, got '2'"),
        (lambda facts: facts | {"rows": 2}, "'rows' is not a known key of it"),
        (lambda facts: facts | {"arrays": ["ids", 3]}, r"arrays\[1\]: expected str"),
    ],
)
def test_a_key_that_is_missing_or_odd_is_named(change, message, copy):
    path = copy / FACTS
    facts = json.loads(path.read_text())
    path.unlink()
    path.write_text(json.dumps(change(facts)))
    with pytest.raises(ValueError, match=f"^{path} is damaged: .*{message}"):
        Prepared.open(copy)


@pytest.mark.parametrize("format", [0, 3])
def test_another_format_is_named(format, copy):
    path = copy / FACTS
    text = path.read_text().replace('"version": 2', f'"version": {format}')
    path.unlink()
    path.write_text(text)
    message = f"was prepared in format {format}, but this ple_jax reads formats 1 and 2"
    with pytest.raises(ValueError, match=message):
        Prepared.open(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arrays": ["../../../secret"]}, r"its arrays do not fit .*'\.\./\.\./\.\./s"),
        ({"checksums": {}}, "its checksums do not fit"),
        (
            {"checksums": {"../../secret": "00000000"}},
            "expected all of its files within",
        ),
        (
            {"checksums": {"/etc/passwd": "00000000"}},
            "expected all of its files within",
        ),
        ({"checksums": {"a\0b": "00000000"}}, r"has no file 'a\\x00b'"),
    ],
)
def test_only_known_files_are_named(changes, message, copy):
    with_facts(copy, **changes)
    with pytest.raises(ValueError, match=message):
        Prepared.open(copy)


# Links.


@pytest.mark.parametrize("name", ["train/ids.npy", "train", "encoder.json"])
def test_a_link_that_leads_out_is_refused(name, copy, tmp_path):
    (copy / name).rename(tmp_path / "outside")
    (copy / name).symlink_to(tmp_path / "outside")
    with pytest.raises(ValueError, match="expected all of its files within it"):
        open_all(copy)


def test_links_to_and_within_a_data_set_are_followed(copy, tmp_path, everything):
    (copy / "train/ids.npy").rename(copy / "elsewhere.npy")
    (copy / "train/ids.npy").symlink_to(copy / "elsewhere.npy")
    (tmp_path / "link").symlink_to(copy)
    opened = Prepared.open(tmp_path / "link")
    assert_same_arrays(arrays_of(opened), arrays_of(everything))
    second = opened.copy_to(tmp_path / "second").directory
    assert not (second / "train/ids.npy").is_symlink()
    open_all(second)


def test_a_pipe_is_no_array(copy):
    (copy / "test/ids.npy").unlink()
    os.mkfifo(copy / "test/ids.npy")
    with pytest.raises(ValueError, match=r"test/ids.npy is missing"):
        Prepared.open(copy).split("test")


# Format 1.


@pytest.fixture
def old(copy):
    console.say_once.cache_clear()
    as_old(copy)
    return copy


def test_the_oldest_format_opens_and_says_what_it_lacks(
    old, everything, tmp_path, capsys
):
    assert (old / "train/bags/tags.npy").exists()
    opened = Prepared.open(old)
    assert_same_arrays(arrays_of(opened), arrays_of(everything))
    assert capsys.readouterr().err.count("its arrays have no checksums") == 1
    assert opened.fingerprint == everything.fingerprint
    opened.verify()
    open_all(opened.copy_to(tmp_path / "second").directory)


def test_flips_in_the_oldest_format_are_seen_or_harmless(old):
    path = old / FACTS
    content = path.read_bytes()
    for changed in random_flips(content, 100):
        path.write_bytes(changed)
        with allowed(ValueError, f"^{old}"):
            open_all(old)


def test_names_that_lead_out_of_the_oldest_format_are_refused(old, tmp_path):
    """These were once written: a column of this name, and its file outside."""
    name = "../../../evil"
    for split in SPLITS:
        (old / split / "bags/tags.npy").rename(tmp_path / "evil.npy")
    for path in (old / FACTS, old / "encoder.json"):
        text = path.read_text().replace('"tags"', f'"{name}"')
        path.unlink()
        path.write_text(text.replace('"bags/tags"', f'"bags/{name}"'))
    opened = Prepared.open(old)
    assert opened.layout.bags[0].name == name
    with pytest.raises(ValueError, match="expected all of its files within it"):
        opened.split("test")


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"is not a prepared data set: it has no"):
        Prepared.open(tmp_path)
