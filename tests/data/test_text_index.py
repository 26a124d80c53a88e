"""Strings are found as a dictionary finds them, whatever their hashes are."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lib.tables import raw, source

from ple_jax.data import text_index
from ple_jax.data.hashing import LONG, hash_texts
from ple_jax.data.prepare import prepare
from ple_jax.data.text_index import TextIndex

TEXTS = st.lists(st.text(max_size=20) | st.sampled_from(["a" * 8, "a" * 9, "\0"]))


def found_by_dict(texts, wanted):
    places = {}
    for place, text in enumerate(texts):
        places.setdefault(text, place)
    return [-1 if text is None else places.get(text, -1) for text in wanted]


@pytest.mark.parametrize("hashing", [hash_texts, lambda texts: hash_texts(texts) % 3])
def test_strings_are_found_as_by_a_dictionary(hashing):
    """Also where three hashes have to do for all."""

    @given(TEXTS, TEXTS, st.integers(0, 3))
    @settings(deadline=None, max_examples=60)
    def check(texts, others, cut):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text_index, "hash_texts", hashing)
            wanted = [*texts, None, *others][cut:]
            index = TextIndex(pa.array(texts, pa.string()))
            found = index.find(pa.array([*texts, None, *others], pa.string())[cut:])
        assert found.tolist() == found_by_dict(texts, wanted)

    check()


def test_long_texts_differ_wherever_they_differ():
    base = "z" * (3 * LONG)
    texts = [base, base + "z", "y" + base[1:], base[:LONG] + "y" + base[LONG + 1 :]]
    index = TextIndex(pa.array([*texts, "z"]))
    assert index.find(pa.array([*texts, "z", base[1:]])).tolist() == [0, 1, 2, 3, 4, -1]


def test_a_data_set_builds_one_index_for_each_table(tmp_path, monkeypatch):
    """Not one for each chunk, field and split."""
    built, build = [], TextIndex.__init__
    noted = lambda index, *given: built.append(len(given[0])) or build(index, *given)
    monkeypatch.setattr(TextIndex, "__init__", noted)
    data = prepare(source(raw(), chunk=20), tmp_path / "prepared")
    # A second one holds plain spellings, as soon as a value is not found.
    assert len(data.encoder.vocabularies) <= len(built)
    assert len(built) <= 2 * len(data.encoder.vocabularies)
