"""Columns that are computed from other columns of the same row: plain data, no code."""

import dataclasses
import functools
import itertools
import math
import zoneinfo
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

Kind = Literal[
    "hour",
    "weekday",
    "day",
    "month",
    "age",
    "difference",
    "ratio",
    "length",
    "hash",
    "cross",
    "text",
    "constant",
]
Unit = Literal["s", "ms", "us", "ns", "yyyymmdd"]
Gives = Literal["numbers", "values", "lists"]
FILE = "@file"  # the column that every file has: its name
MOST_VALUES = 1_000_000_000


class Spec(NamedTuple):
    """What a kind of derived column takes and gives."""

    inputs: Sequence[int]  # how many columns it may be computed from
    gives: Gives
    options: Sequence[str] = ()


CLOCK = ("unit", "zone")
KINDS: dict[str, Spec] = {
    "hour": Spec([1], "numbers", CLOCK),
    "weekday": Spec([1], "numbers", CLOCK),
    "day": Spec([1], "numbers", CLOCK),
    "month": Spec([1], "numbers", CLOCK),
    "age": Spec([2], "numbers", ("unit", "edges")),
    "difference": Spec([2], "numbers", ("edges",)),
    "ratio": Spec([2], "numbers", ("edges",)),
    "length": Spec([1], "numbers", ("separator", "edges")),
    "hash": Spec([1], "values", ("values",)),
    "cross": Spec([2, 3], "values", ("values",)),
    "text": Spec([1], "lists", ("values", "words", "characters")),
    "constant": Spec([0], "values", ("value",)),
}
# The kinds of field that a derived column may be.
FIELDS: dict[Gives, Sequence[str]] = {
    "numbers": ("categorical", "numeric"),
    "values": ("categorical",),
    "lists": ("multi_valued", "sequence"),
}
ZONES = functools.cache(zoneinfo.available_timezones)  # none where there is no database


def _are_lengths(sizes: Sequence[int]) -> bool:
    return all(1 <= size <= 10 for size in sizes)


def _are_edges(edges: Sequence[float]) -> bool:
    return all(map(math.isfinite, edges)) and list(edges) == sorted(set(edges))


# Option -> whether a value fits, and what does.
CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "zone": (
        lambda zone: zone in ZONES() or not ZONES(),
        "a time zone, such as 'Europe/Berlin'",
    ),
    "edges": (_are_edges, "finite numbers, ascending"),
    "values": (lambda n: 1 <= n <= MOST_VALUES, f"from 1 to {MOST_VALUES:,}"),
    "words": (_are_lengths, "lengths from 1 to 10"),
    "characters": (_are_lengths, "lengths from 1 to 10"),
    "separator": (bool, "some text"),
}


@dataclasses.dataclass(frozen=True)
class Derived:
    """A column that is computed from others of the same row, and used like any other.

    A missing input makes the result missing.

    Attributes:
        name: Name of the new column.
        kind: What it is. Of a time: its `hour` (0 to 23), `weekday` (1 to 7, from
            Monday), `day` of the month, or `month`. Of two times: `age`, the seconds
            from the second to the first. Of two numbers: `difference`, the first less
            the second, or `ratio`, the first by the second, which is missing where that
            is 0. Of a list: `length`. Of a column of more values than fit: `hash`, one
            of so many. Of two or three columns: `cross`, one value for
            each combination of theirs. Of a text: `text`, its word and character
            n-grams as a list. Of none: `constant`.
        of: The columns that it is computed from, in order: columns of the files,
            derived ones that stand above, or "@file", the name of the file.
        unit: Of times that are numbers: seconds, milliseconds, microseconds or
            nanoseconds since 1970 in UTC, or the digits of a date.
        zone: Time zone of the clock, such as "Europe/Berlin". A time that has no zone
            is read as it is written.
        edges: Edges of buckets, ascending, for an `age`, `difference`, `ratio` or
            `length`; the column then holds buckets such as "0.5 to 1" and no numbers.
        values: How many values a `hash`, `cross` or `text` is hashed to, at least 1;
            None keeps each combination of a `cross` as it is.
        words: Lengths of the n-grams of words of a `text`.
        characters: Lengths of the n-grams of characters of each word of a `text`.
        separator: For the `length` of a list in text, the text between two values.
        value: The value of a `constant`.
    """

    name: str
    kind: Kind
    of: tuple[str, ...] = ()
    unit: Unit = "s"
    zone: str = "UTC"
    edges: tuple[float, ...] = ()
    values: int | None = None
    words: tuple[int, ...] = (1,)
    characters: tuple[int, ...] = ()
    separator: str = "|"
    value: str = ""

    def __post_init__(self):
        if self.kind not in KINDS:
            raise self._error(f"`kind` must be one of {', '.join(KINDS)}")
        spec = KINDS[self.kind]
        if len(self.of) not in spec.inputs:
            raise self._error(
                f"`of` must name {' or '.join(map(str, spec.inputs))} columns, got "
                f"{list(self.of)}"
            )
        for option in dataclasses.fields(self)[3:]:
            if getattr(self, option.name) != option.default:
                self._check_option(option.name, spec)
        self._check_needed()

    def _check_option(self, option: str, spec: Spec) -> None:
        if option not in spec.options:
            takes = f"only {', '.join(map(repr, spec.options))}" if spec.options else ""
            raise self._error(f"takes no {option!r}, {takes or 'and no other option'}")
        fits, wanted = CHECKS.get(option, (lambda given: True, ""))
        if not fits(given := getattr(self, option)):
            raise self._error(f"{option} must be {wanted}, got {given!r}")

    def _check_needed(self) -> None:
        if self.kind == "constant" and not self.value.strip():
            raise self._error("needs a `value`")
        if self.kind in ("hash", "text") and self.values is None:
            raise self._error("needs `values`, the number of values to hash to")
        if self.kind == "text" and not (*self.words, *self.characters):
            raise self._error("needs `words` or `characters`, lengths of n-grams")

    def _error(self, told: str) -> ValueError:
        return ValueError(f"Derived column {self.name!r} ({self.kind}): {told}.")

    @property
    def gives(self) -> Gives:
        """What the column holds: numbers, other values, or lists."""
        return "values" if self.edges else KINDS[self.kind].gives


def needed(names: Iterable[str], columns: Sequence[Derived]) -> list[Derived]:
    """The derived columns that `names` are or are computed from, in their order."""
    wanted = set(names)
    found: list[Derived] = []
    for column in reversed(columns):
        if column.name in wanted:
            found.insert(0, column)
            wanted |= set(column.of)
    return found


def inputs(columns: Iterable[Derived]) -> list[str]:
    """The columns that these are computed from, perhaps with repetitions."""
    return [name for column in columns for name in column.of]


def uses_file(names: Iterable[str], columns: Sequence[Derived]) -> bool:
    """Whether "@file" is among `names`, or one of them is computed from it."""
    used = list(names)
    return FILE in {*used, *inputs(needed(used, columns))}


def raw_columns(names: Iterable[str], columns: Sequence[Derived]) -> list[str]:
    """The columns that `names` are or are computed from, and that are not derived."""
    used = list(names)
    every = [*used, *inputs(needed(used, columns))]
    known = {FILE, *(column.name for column in columns)}
    return [name for name in dict.fromkeys(every) if name not in known]


def plain_number(number: float) -> str:
    """A number as text; a whole one has no point."""
    return repr(float(number)).removesuffix(".0")


def bucket_names(
    edges: Sequence[float], spell: Callable[[float], str] = plain_number
) -> list[str]:
    """The names of the buckets between edges, lowest first.

    Example:
        >>> bucket_names((0.5, 1))
        ['below 0.5', '0.5 to 1', '1 and above']
    """
    marks = [spell(edge) for edge in edges]
    between = [f"{low} to {high}" for low, high in itertools.pairwise(marks)]
    return [f"below {marks[0]}", *between, f"{marks[-1]} and above"]


def check_derived(columns: Sequence[Derived], used: Iterable[str]) -> None:
    """Raises a ValueError for a column before its input, or without use.

    Args:
        columns: The derived columns of a schema.
        used: The columns that the schema uses.
    """
    names = [column.name for column in columns]
    for i, column in enumerate(columns):
        if late := [name for name in column.of if name in names[i:]]:
            raise ValueError(
                f"Derived column {column.name!r} is computed from {late[0]!r}, which "
                "must stand above it."
            )
    made = needed(used, columns)
    if idle := [column.name for column in columns if column not in made]:
        raise ValueError(
            f"Derived columns are not used: {', '.join(idle)}. Name each as a field, "
            "under `categorical`, `numeric` or [fields], or leave it out."
        )


def check_kind(column: Derived, kind: str) -> None:
    """Raises a ValueError if a field of this kind cannot hold the column."""
    if kind not in FIELDS[column.gives]:
        raise ValueError(
            f"Derived column {column.name!r} ({column.kind}) holds {column.gives}: as "
            f"a field it must be {' or '.join(FIELDS[column.gives])}, got {kind}."
        )
