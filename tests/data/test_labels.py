"""Labels, domains and weights of raw rows."""

import pytest
from lib.tables import SCHEMA, rows_of, with_value

from ple_jax.data.encode import Encoder
from ple_jax.data.labels import read_labels, read_weights
from ple_jax.data.schema_file import (
    schema_from_dict,
    schema_to_dict,
)
from ple_jax.schema import Schema, Task


def test_a_domain_that_train_does_not_have_is_an_error_or_has_a_stand_in(data):
    rows = with_value("shop", 4, "elsewhere")
    with pytest.raises(ValueError, match="one of the domains in train"):
        data.encoder.encode(rows_of(rows))
    schema = schema_from_dict(schema_to_dict(SCHEMA) | {"unseen_domain": "s0"})
    encoder = Encoder(
        schema, data.encoder.vocabularies, data.encoder.numerics, data.encoder.domains
    )
    assert encoder.encode(rows_of(rows)).domain[4] == data.layout.domains.index("s0")


def test_a_number_that_float32_cannot_hold_is_named():
    schema = Schema(
        SCHEMA.fields, (Task("stars", loss="squared"),), domain="shop", weight="weight"
    )
    for column, value in {"stars": "-1e39", "weight": 1e39}.items():
        where = f"raw, row 8, column '{column}': expected a number of at most 3.4e38"
        with pytest.raises(ValueError, match=where):
            read_targets(rows_of(with_value(column, 7, value)), schema)


def read_targets(rows, schema):
    return read_labels(rows, schema), read_weights(rows, schema)
