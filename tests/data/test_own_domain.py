"""`unseen_domain = "own"`: a domain for rows without one, and for unknown ones."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from lib.prepared import arrays_of
from lib.tables import SCHEMA, raw, rows_of, source

from ple_jax.data.prepare import prepare
from ple_jax.data.store import Prepared
from ple_jax.schema import Field, Schema

FIELDS = (*SCHEMA.fields[1:], Field("user", encodings=("id", "target_mean")))
OWN = dataclasses.replace(
    SCHEMA, fields=FIELDS, unseen_domain="own", user=None, weight=None, ignored=("*",)
)


def shops(name):
    """The raw rows with a shop `name` in every 23rd, and elsewhere s2 as s1."""
    table = raw()
    values = np.array(table["shop"].to_pylist(), object)
    values[values == "s2"] = "s1"
    values[::23] = name
    place = table.column_names.index("shop")
    return table.set_column(place, "shop", [pa.array(values, pa.string())])


def test_rows_without_a_domain_are_as_rows_of_a_domain_of_that_name(tmp_path):
    """What a real domain would be in its place, in training and in target means."""
    own = prepare(source(shops(None), OWN), tmp_path / "own")
    named = dataclasses.replace(OWN, unseen_domain=None)
    real = prepare(source(shops("own"), named), tmp_path / "real")
    assert own.layout.domains == ("s0", "s1", "own")
    assert own.facts["splits"] == real.facts["splits"]
    assert own.facts["splits"]["train"]["domains"]["own"] > 3
    assert own.layout == real.layout
    for key, array in arrays_of(real).items():
        np.testing.assert_array_equal(arrays_of(own)[key], array)


def test_unknown_domains_are_in_it_too(tmp_path):
    prepare(source(shops(None), OWN), tmp_path / "own")
    encoder = Prepared.open(tmp_path / "own").encoder
    table = raw(4).set_column(0, "shop", [["s1", "new", None, "own"]])
    examples = encoder.encode(rows_of(table), labels=False)
    assert examples.domain.tolist() == [1, 2, 2, 2]


def test_a_domain_that_train_never_has_is_said(tmp_path, capsys):
    data = prepare(source(raw(), OWN), tmp_path / "own")
    assert data.facts["splits"]["train"]["domains"]["own"] == 0
    said = capsys.readouterr().err
    assert "no row of train lacks its 'shop'" in " ".join(said.split())


def test_a_real_domain_of_that_name_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="call that one otherwise"):
        prepare(source(shops("own"), OWN), tmp_path / "own")


def test_without_a_column_of_domains_there_is_none_unseen():
    with pytest.raises(ValueError, match="needs a `domain`"):
        Schema(SCHEMA.fields, SCHEMA.tasks, unseen_domain="own")
