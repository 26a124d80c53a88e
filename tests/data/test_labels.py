"""Labels, domains and weights of raw rows."""

import dataclasses
import re

import pyarrow as pa
import pytest
from lib.tables import SCHEMA, raw, rows_of, source, with_value

from ple_jax.data.encode import Encoder
from ple_jax.data.labels import read_domains, read_labels, read_weights
from ple_jax.data.prepare import prepare
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


def test_a_domain_in_another_type_is_found():
    schema = Schema(SCHEMA.fields, SCHEMA.tasks, domain="shop", unseen_domain="7")
    known = ("12", "7", "7.0", "true")
    for shops in ([12.0, 7.0, 9.0], ["+12", "7", "x"], ["12.0", "7.00", None]):
        rows = rows_of(pa.table({"shop": shops}), schema)
        assert read_domains(rows, schema, known).tolist() == [0, 1, 1]
    rows = rows_of(pa.table({"shop": ["7.0", "True"]}), schema)
    assert read_domains(rows, schema, known).tolist() == [2, 3]


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


@pytest.mark.parametrize(
    ("positive", "message"),
    [
        (("4", "1.0"), r"Task 'liked': '1\.0' of its `positive` never occurs in train"),
        (("5 ",), r"Did you mean '5'\? Column 'stars' holds '\d', '\d', '\d', '\d'\."),
    ],
)
def test_a_positive_value_that_train_never_has_is_an_error(tmp_path, positive, message):
    tasks = (Task("click"), Task("liked", "stars", positive))
    schema = dataclasses.replace(SCHEMA, tasks=tasks)
    with pytest.raises(ValueError, match=message):
        prepare(source(schema=schema), tmp_path / "prepared")
    assert not (tmp_path / "prepared").exists()


def test_positive_values_are_read_as_text(tmp_path):
    stars = raw()["stars"].to_pylist()
    tasks = (Task("click"), Task("liked", "stars", ("4", "5")))
    schema = dataclasses.replace(SCHEMA, tasks=tasks)
    data = prepare(source(schema=schema), tmp_path / "prepared")
    ones = sum(
        data.split(name).labels[:, 1].sum() for name in ("train", "validation", "test")
    )
    assert ones == sum(value in ("4", "5") for value in stars)


WORDS = {"yes": ["yes", "no"], "True": ["False", "True"], ">50K": ["<=50K", ">50K"]}


@pytest.mark.parametrize("one", WORDS)
@pytest.mark.parametrize("positive", [None, ">= 4"])
def test_labels_that_are_words_need_the_one_that_counts(one, positive):
    """Where no word means yes, it is the rarer one."""
    zero = next(word for word in WORDS[one] if word != one)
    rows = rows_of(pa.table({"label": [zero, zero, one, None]}))
    schema = dataclasses.replace(SCHEMA, tasks=(Task("label", positive=positive),))
    holds = ", ".join(map(repr, sorted(WORDS[one])))
    message = (
        rf"row 1, column 'label': expected a number, got '{zero}'\. It holds {holds}: "
        rf'name those that count as 1, such as positive = \["{one}"\]\.'
    )
    with pytest.raises(ValueError, match=message):
        read_labels(rows, schema)


def test_a_label_that_is_no_word_needs_no_advice():
    numbers = [str(k) for k in range(21)]
    rows = rows_of(pa.table({"label": [*numbers, "?"]}))
    for task in (Task("label", positive=">= 4"), Task("label", loss="squared")):
        schema = dataclasses.replace(SCHEMA, tasks=(task,))
        with pytest.raises(ValueError, match=r"row 22, .*, got '\?'\.$"):
            read_labels(rows, schema)


@pytest.mark.parametrize("positive", [">50K", "yes", "4"])
def test_a_value_that_is_taken_for_a_comparison_is_written_as_a_list(positive):
    rows = rows_of(pa.table({"label": ["<=50K", ">50K"]}))
    schema = dataclasses.replace(SCHEMA, tasks=(Task("label", positive=positive),))
    with pytest.raises(ValueError, match=rf'positive = \["{positive}"\]'):
        read_labels(rows, schema)


def test_a_missing_domain_is_not_taken_for_a_name():
    schema = dataclasses.replace(SCHEMA, domain="shop")
    rows = rows_of(pa.table({"shop": ["Phone", None]}), schema)
    message = "row 2, column 'shop': expected a domain in every row, got None. Set `uns"
    for name in ("None", "Nome"):
        with pytest.raises(ValueError, match=re.escape(message)):
            read_domains(rows, schema, ("Phone", name))


def test_many_domains_are_not_all_listed():
    known = tuple(f"domain-{k}" for k in range(290))
    schema = dataclasses.replace(SCHEMA, domain="shop")
    rows = rows_of(pa.table({"shop": ["domian-17"]}), schema)
    with pytest.raises(ValueError, match="and 280 more, got 'domian-17'") as caught:
        read_domains(rows, schema, known)
    assert "Did you mean 'domain-17'?" in str(caught.value)
    assert len(str(caught.value)) < 400
