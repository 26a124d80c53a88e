"""What values of derived columns stand for."""

import pytest

from ple_jax.derived import KINDS, Derived, bucket_names
from ple_jax.show.derived import definition, meaning

TIME, PAIR = ("time",), ("price", "list_price")
COLUMNS = [
    Derived("hour", "hour", TIME, zone="Europe/Berlin"),
    Derived("weekday", "weekday", TIME),
    Derived("day", "day", TIME),
    Derived("month", "month", TIME),
    Derived("age", "age", ("time", "published"), edges=(0, 3600, 172_800)),
    Derived("gap", "difference", PAIR),
    Derived("discount", "ratio", PAIR, edges=(0.5, 1)),
    Derived("tags", "length", ("tags",), edges=(2,)),
    Derived("session_id", "hash", ("session",), values=9000),
    Derived("pair", "cross", ("shop", "hour", "discount")),
    Derived("few", "cross", ("shop", "hour"), values=7),
    Derived("words", "text", ("title",), values=9000, words=(1, 2), characters=(3,)),
    Derived("page", "constant", value="home"),
]
KNOWN = {column.name: column for column in COLUMNS}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("hour", "7", "07:00-07:59"),
        ("weekday", "5", "Friday"),
        ("day", "29", "day 29 of the month"),
        ("month", "2", "February"),
        ("age", "below 0", "below 0 seconds"),
        ("age", "3600 to 172800", "1 hour to 2 days"),
        ("gap", "3.5", "3.5"),
        ("discount", "0.5 to 1", "0.5 to 1"),
        ("tags", "2 and above", "2 and above"),
        ("session_id", "5", "a value of session with hash 5"),
        (
            "pair",
            '["s, 1", "17", "below 0.5"]',
            "shop = s, 1, hour = 17:00-17:59, discount = below 0.5",
        ),
        ("few", "3", "a combination of shop x hour with hash 3"),
        ("words", "417", "an n-gram of title with hash 417"),
        ("page", "home", "home"),
    ],
)
def test_values_have_a_meaning(name, value, expected):
    assert meaning(value, KNOWN[name], COLUMNS) == expected


def test_every_column_has_a_definition():
    assert {column.kind for column in COLUMNS} == set(KINDS)
    assert [definition(column) for column in COLUMNS] == [
        "hour of time in Europe/Berlin",
        "weekday of time",
        "day of time",
        "month of time",
        "seconds from published to time, in 4 buckets",
        "price - list_price",
        "price / list_price, in 3 buckets",
        "number of items of tags, in 2 buckets",
        "session, hashed to 9,000 values",
        "each combination of shop, hour, discount",
        "each combination of shop, hour, hashed to 7 values",
        "words and 2-grams of words and 3-grams of characters of title, hashed to "
        "9,000 values",
        "'home' in every row",
    ]


def test_every_bucket_of_ages_is_told_in_units():
    names = bucket_names(KNOWN["age"].edges)
    told = [meaning(name, KNOWN["age"]) for name in names]
    assert told == [
        *("below 0 seconds", "0 seconds to 1 hour", "1 hour to 2 days"),
        "2 days and above",
    ]
