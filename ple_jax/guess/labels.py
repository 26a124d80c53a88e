"""Which columns may be labels, and which label implies which."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from ple_jax.guess import names
from ple_jax.guess.columns import Column
from ple_jax.guess.numbers import of_number
from ple_jax.schema import Task

YES = "1 true t yes y ja oui si".split()
NO = "0 false f no n nein non".split()
FEWEST = 20  # positives from which an implication is believed
EXPECTED = 10  # rows against it that chance would give
MOST_STARS = 11
FEW = 0.05  # share of a rating's rows

How = Literal["named", "flag", "binary", "pair", "outcome"]


class Candidate(NamedTuple):
    """A column that may be a label.

    Attributes:
        task: The task that it would be.
        how: What speaks for it: its name (`named`), a name such as is_new (`flag`),
            values such as 0 and 1 (`binary`), any two values (`pair`), or a name of an
            amount that is known only afterwards (`outcome`).
        reason: The same for people.
    """

    task: Task
    how: How
    reason: str


def candidate_of(column: Column) -> Candidate | None:
    """What speaks for a column as a label, if anything does."""
    if column.is_list or len(column.counts) < 2:
        return None
    if names.hints(column.name, names.RATINGS) and is_rating(column):
        return of_rating(column)
    if len(column.counts) == 2:
        return two_valued(column)
    if column.is_numeric and names.hints(column.name, names.OUTCOMES):
        task, why = of_number(column)
        return Candidate(task, "outcome", f"by its name, known only afterwards; {why}")
    return None


def two_valued(column: Column) -> Candidate:
    """What speaks for a column of two values."""
    known, yes = set(column.texts), yes_of(column.texts)
    positive = None if known == {"0", "1"} else (yes or column.texts[1],)
    what = "0 and 1" if positive is None else f"{positive[0]!r} counts as 1"
    how: How = "binary" if yes else "pair"
    if names.is_label(column.name):
        how, what = "named", f"by its name; {what}"
    elif names.is_flag(column.name) and yes:
        how = "flag"
    share = rate(labels_of(column, Task(column.name, positive=positive)))
    return Candidate(Task(column.name, positive=positive), how, f"{what} ({share:.1%})")


def yes_of(texts: Sequence[str]) -> str | None:
    """The one of two texts that means yes, if the other one means no."""
    for yes, no in (texts, texts[::-1]):
        pair = yes.lower(), no.lower()
        if pair[0] in YES and pair[1] in [*NO, "-1"]:
            return yes
    return None


def is_rating(column: Column) -> bool:
    """Whether a column holds a few whole numbers, as stars do."""
    return column.is_whole and 2 < len(column.counts) <= MOST_STARS


def of_rating(column: Column) -> Candidate:
    """A column of stars, of which those in the upper quarter of the range count as 1.

    If these are hardly any rows, or nearly all, the cut is where halves are most even.
    """
    known = np.sort(column.numbers[:-1])
    share = lambda least: rate(column.numbers[column.codes] >= least)
    cut = known[known >= known[0] + 0.75 * np.ptp(known)][0]
    if not FEW <= share(cut) <= 1 - FEW:
        cut = min(known[1:], key=lambda least: abs(share(least) - 0.5))
    task = Task(column.name, positive=f">= {cut:g}")
    return Candidate(
        task, "named", f"a rating; {task.positive} is 1 ({share(cut):.1%})"
    )


def asked_for(column: Column) -> Candidate:
    """The label that the user asks for, whatever speaks for it.

    Raises:
        ValueError: It has fewer than two values.
    """
    if len(column.counts) < 2:
        raise ValueError(
            f"Column {column.name!r} cannot be a label: it has {len(column.counts)} "
            "values, expected two or more."
        )
    found = candidate_of(column)
    if found is None and is_rating(column):
        found = of_rating(column)
    if found is None and column.is_numeric:
        task, why = of_number(column)
        found = Candidate(task, "named", why)
    if found is None:
        first = column.texts[0]
        why = f"{first!r} of {len(column.counts):,} values counts as 1: edit `positive`"
        found = Candidate(Task(column.name, positive=(first,)), "named", why)
    return found._replace(reason=f"as asked; {found.reason}")


def chosen(candidates: Mapping[str, Candidate], last: str) -> list[str]:
    """The columns that are labels beyond doubt, or by convention the last one.

    They are those with a name of labels; else the only one of 0 and 1; else the last
    column of the file, where it has two values; else the only one with a name such as
    is_new.
    """
    of = lambda *hows: [n for n, c in candidates.items() if c.how in hows]
    if named := of("named"):
        return named
    if len(only := of("binary", "flag")) == 1:
        return only
    if last in of("binary", "flag", "pair"):
        return [last]
    return only if len(only := of("flag")) == 1 else []


def labels_of(column: Column, task: Task) -> np.ndarray:  # (B,), NaN where missing
    """A column as labels of a binary task, or the numbers of a squared one."""
    known = column.numbers
    if isinstance(task.positive, tuple):
        values = [float(t in task.positive) for t in column.values.to_pylist()[:-1]]
        return np.array([*values, np.nan])[column.codes]
    if not column.is_numeric:
        raise ValueError(f"Column {column.name!r} holds no numbers.")
    if task.positive is None:
        return known[column.codes]
    least = float(task.positive.removeprefix(">="))
    return np.where(np.isnan(known), np.nan, known >= least)[column.codes]


def rate(labels: np.ndarray) -> float:
    """The mean of labels that are known."""
    return float(np.nanmean(labels)) if np.isfinite(labels).any() else 0.0


def chained(labels: Mapping[str, np.ndarray]) -> dict[str, str | None]:
    """Each binary label and the one that it is given, those before those after.

    A label is given another if it is never 1 where the other is not, which many rows
    would be by chance; of several such, it is given the rarest.

    Example:
        >>> click = np.arange(400) % 2
        >>> chained({"buy": click * (np.arange(400) % 4 == 1), "click": click})
        {'click': None, 'buy': 'click'}
    """
    rates = {name: rate(y) for name, y in labels.items()}
    given: dict[str, str | None] = {}
    for name in sorted(labels, key=lambda n: -rates[n]):
        over = [n for n in given if implies(labels[name], labels[n])]
        given[name] = min(over, key=rates.__getitem__, default=None)
    return in_order(list(labels), given)


def implies(part: np.ndarray, whole: np.ndarray) -> bool:
    """Whether a label is 1 only where another is, and not by chance."""
    positives = part == 1
    odd = positives & (whole != 1)
    by_chance = positives.sum() * (1 - rate(whole))
    is_rarer = rate(part) < rate(whole)
    return bool(
        is_rarer
        and not odd.any()
        and positives.sum() >= FEWEST
        and by_chance >= EXPECTED
    )


def in_order(
    wanted: Sequence[str], given: Mapping[str, str | None]
) -> dict[str, str | None]:
    """The labels as they were named, but each after the one that it is given."""
    done: dict[str, str | None] = {}
    while len(done) < len(wanted):
        done |= {n: given[n] for n in wanted if given[n] is None or given[n] in done}
    return done
