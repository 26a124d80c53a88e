"""Reads labels, sample spaces, domains, users and weights from raw rows."""

import hashlib
import json
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from ple_jax.checks import listing, nearest
from ple_jax.data.arrow import is_missing, plain_spelling
from ple_jax.data.rows import Rows
from ple_jax.schema import Schema, Task

ONE_DOMAIN = "all"
# Words that mean 1 where labels are words, and how many a column of them has at most.
YES, MOST_WORDS = ("yes", "true", "y", "t", "positive"), 20
COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


def read_labels(rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Reads labels (B, T) float32, and whether each is observed (B, T) bool.

    A label is observed if it is not missing and, for a task that is given another, if
    that task's label is observed and 1.
    """
    return observe(read_values(rows, schema), schema)


def read_values(rows: Rows, schema: Schema) -> np.ndarray:  # (B, T) float64
    """Reads labels, NaN where missing, of any sample space."""
    return np.stack([_label(rows, task) for task in schema.tasks], axis=1)


def observe(values: np.ndarray, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Labels and whether each is observed, as `read_labels`, of values (B, T)."""
    observed = ~np.isnan(values)
    names = [task.name for task in schema.tasks]
    for i, task in enumerate(schema.tasks):
        if task.given is not None:
            condition = names.index(task.given)
            observed[:, i] &= observed[:, condition] & (values[:, condition] == 1)
    return np.where(observed, values, 0).astype(np.float32), observed


def _label(rows: Rows, task: Task) -> np.ndarray:  # (B,) float64, NaN where missing
    column = task.label_column
    if isinstance(task.positive, tuple):
        codes, values = rows.text(column)
        ones = np.isin(np.array(values.to_pylist(), object), task.positive)
        return np.where(is_missing(values), np.nan, ones.astype(np.float64))[codes]
    rule = None if task.positive is None else parse_comparison(task)
    numbers = _label_numbers(rows, task)
    if rule is not None:
        compare, threshold = rule
        return np.where(np.isnan(numbers), np.nan, compare(numbers, threshold))
    bad = ~np.isnan(numbers) & ~fits(numbers, task)
    if bad.any():
        how = " (or set its `positive`)" if task.is_binary else ""
        wanted = f"{wanted_label(task)} as label of task {task.name!r}{how}"
        raise rows.error(column, bad.argmax(), wanted)
    check_float32(rows, column, numbers)
    return numbers


def fits(numbers: np.ndarray, task: Task) -> np.ndarray:
    """Whether each number may be a task's label."""
    if task.is_binary:
        return (numbers == 0) | (numbers == 1)
    if task.kind.link == "levels":
        return np.isin(numbers, task.levels)
    return numbers >= 0 if task.kind.link == "log" else ~np.isnan(numbers)


def wanted_label(task: Task) -> str:
    """The same in words."""
    if task.is_binary:
        return "0 or 1"
    if task.kind.link == "levels":
        levels = [f"{level:g}" for level in task.levels]
        return f"one of its levels, {listing(levels, most=10)},"
    return "a number of at least 0" if task.kind.link == "log" else "a number"


def _label_numbers(rows: Rows, task: Task) -> np.ndarray:  # (B,) float64
    try:
        return rows.numbers(task.label_column)
    except ValueError as error:
        advice = _advice(rows, task.label_column) if task.is_binary else ""
        raise ValueError(f"{error}{advice}") from error


def _advice(rows: Rows, column: str) -> str:
    """What words a column of labels holds, and how to say which of them count as 1."""
    codes, values = rows.text(column)
    rare = np.argsort(np.bincount(codes, minlength=len(values))[:-1], kind="stable")
    found = [values[int(i)].as_py() for i in rare[: MOST_WORDS + 1]]
    words = sorted(word for word in found if word is not None)
    if not words or len(found) > MOST_WORDS:
        return ""
    yes = next((word for word in words if word.lower() in YES), found[0] or words[0])
    return (
        f" It holds {_listing(words)}: name those that count as 1, such as positive = "
        f"{_as_toml(yes)}."
    )


def _as_toml(value: str) -> str:
    return json.dumps([value], ensure_ascii=False)


def check_positives(task: Task, found: list[str]) -> None:
    """Raises a ValueError for a value of `positive` that no label of train has."""
    for value in task.positive or ():
        if value not in found:
            raise ValueError(
                f"Task {task.name!r}: {value!r} of its `positive` never occurs in "
                f"train.{nearest(value, found)} Column {task.label_column!r} holds "
                f"{_listing(found)}."
            )


def _listing(values: list[str]) -> str:
    return listing(list(map(repr, values)), most=10)


def parse_comparison(task: Task) -> tuple[Callable[[Any, Any], Any], float]:
    """Parses a rule such as ">= 4" into an operator and a number.

    Raises:
        ValueError: `task.positive` is not such a rule.
    """
    rule = re.fullmatch(r"\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*", str(task.positive))
    sign, number = rule.groups() if rule else ("", "")
    try:
        return COMPARISONS[sign], float(number)
    except (KeyError, ValueError):
        raise ValueError(
            f"Task {task.name!r}: positive must be a list of values or a comparison "
            f'such as ">= 4", got {task.positive!r}. For the value itself, write '
            f"positive = {_as_toml(str(task.positive))}."
        ) from None


def read_domains(
    rows: Rows, schema: Schema, known: tuple[str, ...]
) -> np.ndarray:  # (B,) int32
    """Reads each row's domain as its number among the known ones.

    A number that is written in another way than in train is found by its value.

    Raises:
        ValueError: A row has a domain that the train split lacks, and the schema sets
            no `unseen_domain`.
    """
    if schema.domain is None:
        return np.zeros(len(rows), np.int32)
    codes, values = rows.text(schema.domain)
    number: dict[str | None, int] = {name: i for i, name in enumerate(known)}
    fallback = number.get(schema.unseen_domain, -1)
    spelled = plain_spelling(pa.array(known, pa.string())).to_pylist()
    by_value = dict(zip(reversed(spelled), reversed(range(len(known))), strict=True))
    pairs = zip(values.to_pylist(), plain_spelling(values).to_pylist(), strict=True)
    found = [number.get(v, by_value.get(plain, fallback)) for v, plain in pairs]
    domain = np.array(found, np.int32)[codes]
    if (domain < 0).any():
        row = (domain < 0).argmax()
        value = values[int(codes[row])].as_py()
        wanted = "a domain in every row"
        if value is not None:
            wanted = f"one of the domains in train, {listing(known, most=10)}"
        hint = nearest(value, known) if value is not None else ""
        how = "Set `unseen_domain` to a stand-in, or to 'own' for a domain of their own"
        raise ValueError(f"{rows.error(schema.domain, row, wanted)}{hint} {how}.")
    return domain


def read_weights(rows: Rows, schema: Schema) -> np.ndarray:  # (B,) float32
    """Reads each row's weight from the schema's column; 1 if it names none.

    Raises:
        ValueError: A weight is negative or missing.
    """
    if schema.weight is None:
        return np.ones(len(rows), np.float32)
    weights = rows.numbers(schema.weight)
    bad = ~(weights >= 0)  # NaN too
    if bad.any():
        raise rows.error(schema.weight, bad.argmax(), "a weight of at least 0")
    check_float32(rows, schema.weight, weights)
    return weights.astype(np.float32)


def check_float32(rows: Rows, column: str, numbers: np.ndarray) -> None:
    """Raises a ValueError for a number that float32 cannot hold."""
    bad = np.abs(numbers) > np.finfo(np.float32).max
    if bad.any():
        raise rows.error(column, bad.argmax(), "a number of at most 3.4e38")


def read_users(rows: Rows, schema: Schema) -> np.ndarray | None:  # (B,) int64
    """Hashes each row's user; None if the schema names no column of users."""
    if schema.user is None:
        return None
    codes, values = rows.text(schema.user)
    return np.array([_hash(v) for v in values.to_pylist()], np.int64)[codes]


def _hash(value: str | None) -> int:
    digest = hashlib.blake2b(repr(value).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
