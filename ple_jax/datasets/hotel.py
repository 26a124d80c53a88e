"""Hotel booking demand: 119,390 bookings of two hotels in Portugal, 2015 to 2017.

This is a funnel with real sample spaces: parking and a change of room are known only
for guests who came.

Two bookings with the market segment `Undefined` (both cancelled, August 2015) are
dropped, since a domain of two rows can be neither learned nor measured. 119,388 remain.

Source: Antonio, de Almeida & Nunes, Data in Brief 22 (2019), 41-49.
Terms: CC BY 4.0; name the authors.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.checks import check_known
from ple_jax.data.files import find_files
from ple_jax.data.read import read
from ple_jax.data.source import Chunk, Chunks, Source
from ple_jax.data.spaces import Space, learned_on, naive_labels
from ple_jax.data.split import split_names
from ple_jax.schema import Field, Format, Schema, Split, Task

FILE = "hotel_bookings.csv"
SHA256 = "7c2ae42a7353905ea136e5c2287f17c92c5435826598bfbb8491c6f0c7b1fc06"
HOW = (
    "It is the table of `Hotel booking demand datasets` (Data in Brief 22, 2019) with "
    "119,390 rows; download it by that name from Kaggle or one of many mirrors."
)
TERMS = "CC BY 4.0: Antonio, de Almeida & Nunes, Data in Brief 22 (2019), 41-49"
NUMERIC = """
    lead_time arrival_date_week_number arrival_date_day_of_month adults children babies
    stays_in_weekend_nights stays_in_week_nights previous_cancellations
    previous_bookings_not_canceled days_in_waiting_list adr total_of_special_requests
""".split()
# Without the year, since train lacks the years of validation and test.
CATEGORICAL = """
    hotel arrival_date_month meal country market_segment distribution_channel
    is_repeated_guest reserved_room_type agent company customer_type
""".split()
# Known only after the guest came or cancelled. `deposit_type` leaks because it is
# computed from payments up to arrival or cancellation, not chosen when booking: 99.4 %
# of `Non Refund` are cancelled.
LEAKING = """
    is_canceled reservation_status reservation_status_date assigned_room_type
    booking_changes required_car_parking_spaces deposit_type
""".split()
TASKS = (
    Task("kept", "is_canceled", ("0",)),  # no-shows count as cancelled
    Task("parking", "required_car_parking_spaces", "> 0", given="kept"),
    Task("room_change", given="kept"),
)
FORMAT = Format(missing=("NULL", "NA"))
MONTHS = """
    January February March April May June July August September October November
    December
""".split()
VALIDATION, TEST = 201701, 201703  # the first months of arrival


def build(
    features: tuple[str, ...] = (), space: Space = "own", data_dir: str | None = None
) -> Source:
    """Predicts whether bookings are kept, then parking and change of room if so.

    The domain is the market segment. Train is arrivals up to 2016, validation January
    and February 2017, test March 2017 and later. A random split would leak, because
    31,981 rows are copies of others and no booking number tells them apart. `country`
    is a feature although hotels may correct it at check-in.

    Args:
        features: Columns to use; empty takes all that are known beforehand. A column
            that is known only after the guest came or cancelled is an error.
        space: Where parking and change of room are learned: on their `own` sample
            space, over the `entire` one as the chance of both, or naively on `all`
            bookings, those that were cancelled as 0. They are measured on their own.
        data_dir: A folder that holds hotel_bookings.csv, plain or .gz.

    Reference: Antonio, de Almeida & Nunes, Data in Brief 22 (2019), 41-49.
    Differs from the paper: two bookings with an undefined market segment are dropped.
    """
    schema = make_schema(features, space)
    (path,) = find_files("hotel", [FILE], data_dir, HOW, SHA256)
    raw = Schema(schema.fields, TASKS[:2], format=FORMAT, ignored=("*",))

    def chunks() -> Chunks:
        for chunk in read([path], raw):
            yield _derive_columns(chunk)

    identity = {"kind": "hotel", "features": list(features), "sha256": SHA256}
    identity |= {} if space == "own" else {"space": space}
    return Source(schema, chunks, identity, TERMS)


def make_schema(features: tuple[str, ...], space: Space = "own") -> Schema:
    """Describes the columns."""
    known = [*NUMERIC, *CATEGORICAL]
    for name in features:
        check_known(name, [*known, *LEAKING], "column of hotel bookings")
    return Schema(
        fields=tuple(
            Field(name, "numeric" if name in NUMERIC else "categorical")
            for name in features or known
        ),
        tasks=learned_on(TASKS, space),
        split=Split(by="column", column="split"),
        format=FORMAT,
        domain="market_segment",
        ignored=("*",),
        leaking=tuple(LEAKING),
    )


def _derive_columns(chunk: Chunk) -> Chunk:
    """Keeps the seven market segments; adds split, room_change and naive labels."""
    kept = pc.not_equal(chunk.table["market_segment"], "Undefined")
    table = chunk.table.filter(kept)
    month = pc.index_in(table["arrival_date_month"], pa.array(MONTHS)).to_numpy()
    year = pc.cast(table["arrival_date_year"], pa.int32()).to_numpy()
    split = split_names(year * 100 + month + 1, [VALIDATION, TEST])
    changed = pc.not_equal(table["assigned_room_type"], table["reserved_room_type"])
    came = pc.equal(table["is_canceled"], "0").to_numpy()
    parks = pc.cast(table["required_car_parking_spaces"], pa.int64()).to_numpy() > 0
    moves, known = changed.to_numpy(), np.ones(len(table), bool)
    return chunk._replace(table=table).with_columns(
        split=split,
        room_change=pc.cast(changed, pa.int8()),
        naive_parking=naive_labels(parks, known, came, split),
        naive_room_change=naive_labels(moves, known, came, split),
    )


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows about it."""
    return {
        "summary": "Hotel booking demand: kept, then parking and change of room",
        "rows": 119_388,
        "tasks": {"kept": 0.6296, "parking": 0.0987, "room_change": 0.1878},
        "domains": {
            "Online TA": 56_477,
            "Offline TA/TO": 24_219,
            "Groups": 19_811,
            "Direct": 12_606,
            "Corporate": 5_295,
            "Complementary": 743,
            "Aviation": 237,
        },
        "source": f"your copy of {FILE}",
        "terms": TERMS,
    }
