"""The roles of all columns of a sample: what a first schema says."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ple_jax.checks import check_known
from ple_jax.guess import names
from ple_jax.guess.columns import Column, Sample
from ple_jax.guess.inputs import Decision, input_of
from ple_jax.guess.labels import (
    Candidate,
    asked_for,
    candidate_of,
    chained,
    chosen,
    labels_of,
)
from ple_jax.guess.leaks import telling
from ple_jax.guess.times import (
    best_time,
    moments,
    times_of,
    why_late,
    why_not_split,
)
from ple_jax.schema import Task
from ple_jax.splits import Split

NONE = "none"  # asks for no column of a role
OF_SPLITS = (
    ("train", "training"),
    ("validation", "valid", "val", "dev", "eval"),
    ("test", "testing", "holdout"),
)
MOST_DOMAINS = 20
LEAST_ROWS_A_USER = 1.5
LEAST_SHARE, LEAST_ROWS = 0.01, 100  # of a domain


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the user says of columns; None or () leaves it to the guess."""

    labels: tuple[str, ...] = ()
    time: str | None = None
    domain: str | None = None
    user: str | None = None

    def check(self, known: Iterable[str]) -> None:
        """Raises a ValueError for a column that does not exist, with the nearest."""
        for name in self.labels:
            check_known(name, known, "column (--label)")
        for role in ("time", "domain", "user"):
            if (name := getattr(self, role)) not in (None, NONE):
                check_known(name, known, f"column (--{role})")


@dataclasses.dataclass(frozen=True)
class Guess:
    """A first schema, with what a person may want to change.

    Attributes:
        sample: What it is guessed from.
        decisions: Column -> what it is.
        tasks: The labels; empty if none is obvious.
        split: How examples are divided.
        domain: Column of domains.
        unseen: Whether rows may come of domains that train lacks.
        user: Column of users.
        perhaps: Role -> columns that may have it, each with a reason.
        other_tasks: Labels that may be meant, each with a reason.
    """

    sample: Sample
    decisions: dict[str, Decision]
    tasks: tuple[Task, ...]
    split: Split
    domain: str | None
    unseen: bool
    user: str | None
    perhaps: dict[str, dict[str, str]]
    other_tasks: tuple[Candidate, ...]


def guess(sample: Sample, asked: Asked = Asked()) -> Guess:
    """Guesses the role of every column.

    Raises:
        ValueError: A column that the user names does not exist, or cannot be a label,
            or no column is an input.
    """
    columns = sample.columns
    asked.check(columns)
    tasks, candidates = tasks_of(columns, asked)
    labels = {t.label_column: labels_of(columns[t.label_column], t) for t in tasks}
    binary = {t.name: labels[t.label_column] for t in tasks if t.is_binary}
    others = other_labels(columns, candidates, list(labels))
    free = {n: c for n, c in columns.items() if n not in labels and n not in others}
    split, decisions = split_of(free, binary, asked)
    decisions |= others
    decisions |= {n: Decision("label", candidates[n].reason) for n in labels}
    for name in free.keys() - decisions.keys():
        decisions[name] = decided(free[name], binary)
    inputs = {n: c for n, c in free.items() if decisions[n].role == "input"}
    ordered = {name: decisions[name] for name in columns}
    if not inputs:
        found = ", ".join(f"{n!r} ({d.reason})" for n, d in ordered.items())
        raise ValueError(f"No column is left to learn from: {found}.")
    domain, perhaps = domain_of(inputs, asked)
    weights = {n: "weights of examples" for n in free if decisions[n].role == "weight"}
    unclear = [c for n, c in candidates.items() if n in others or not tasks]
    return Guess(
        sample,
        ordered,
        tasks,
        split,
        domain,
        domain is not None and has_unseen(sample, domain, split),
        user_of(inputs, asked),
        {"domain": perhaps, "weight": weights},
        tuple(unclear),
    )


def tasks_of(
    columns: Mapping[str, Column], asked: Asked
) -> tuple[tuple[Task, ...], dict[str, Candidate]]:
    """The tasks, chained where one label implies another, and all candidates."""
    found = {name: candidate_of(column) for name, column in columns.items()}
    candidates = {name: one for name, one in found.items() if one is not None}
    candidates |= {name: asked_for(columns[name]) for name in asked.labels}
    wanted = asked.labels or chosen(candidates, list(columns)[-1])
    tasks = {name: candidates[name].task for name in wanted}
    binary = {n: labels_of(columns[n], t) for n, t in tasks.items() if t.is_binary}
    given = chained(binary)
    ordered = [dataclasses.replace(tasks[n], given=g) for n, g in given.items()]
    return (*ordered, *(t for n, t in tasks.items() if n not in given)), candidates


def other_labels(
    columns: Iterable[str], candidates: Mapping[str, Candidate], labels: Sequence[str]
) -> dict[str, Decision]:
    """Columns that look like labels too, so that they should not be inputs.

    A name such as is_new says that only within a row of labels.
    """
    found, beside = {}, False
    for name in columns:
        one = candidates.get(name)
        beside = name in labels or (beside and one is not None and one.how == "flag")
        if one is None or name in labels or not labels:
            continue
        if one.how in ("named", "outcome") or beside:
            found[name] = Decision("ignored", f"perhaps a label: {one.reason}")
    return found


def decided(column: Column, binary: Mapping[str, np.ndarray]) -> Decision:
    """What a column is that has no other role."""
    if names.is_weight(column.name) and column.is_numeric:
        return Decision("weight", "perhaps weights of examples")
    decision = input_of(column)
    if decision.role != "input" or column.is_list:
        return decision
    why = telling(column, binary)
    return Decision("leaking", why) if why else decision


def split_of(
    columns: Mapping[str, Column], labels: Mapping[str, np.ndarray], asked: Asked
) -> tuple[Split, dict[str, Decision]]:
    """How rows are split, and what the columns are that hold times or splits.

    Raises:
        ValueError: The user names a column of times that holds none, or too few.
    """
    times = {n: t for n, c in columns.items() if (t := moments(c)) is not None}
    decisions = {n: Decision("ignored", "a time") for n in times}
    if asked.time not in (None, NONE):
        times[asked.time] = times_of(columns[asked.time])
    elif column := next(filter(names_splits, columns.values()), None):
        decisions[column.name] = Decision("split", "names the split of each row")
        return by_column(column), decisions
    best = asked.time or best_time(columns[n] for n in times)
    if best in (None, NONE):
        return Split(), decisions
    late = None if asked.time else why_late(best)
    if why := late or why_not_split(times[best], labels):
        if asked.time:
            raise ValueError(f"Rows cannot be split by {best!r}: {why}.")
        decisions[best] = Decision("ignored", f"a time; no split by it: {why}")
        return Split(), decisions
    others = [n for n in times if n != best and asked.time is None]
    chosen = f"; chosen before {', '.join(others)}" if others else ""
    why = f"the oldest rows train, the newest test{chosen}"
    decisions[best] = Decision("time", why)
    return Split(by="time", column=best), decisions


def names_splits(column: Column) -> bool:
    """Whether the values of a column are names of splits, of all three of them."""
    if len(column.counts) > MOST_DOMAINS or column.missing:
        return False
    found = {text.lower() for text in column.texts}
    return all(found & set(n) for n in OF_SPLITS) and found <= set().union(*OF_SPLITS)


def by_column(column: Column) -> Split:
    """The split that a column names."""
    each = (tuple(t for t in column.texts if t.lower() in n) for n in OF_SPLITS)
    train, validation, test = each
    return Split("column", column.name, train=train, validation=validation, test=test)


def domain_of(
    columns: Mapping[str, Column], asked: Asked
) -> tuple[str | None, dict[str, str]]:
    """The column of domains, and others that may be it."""
    if asked.domain is not None:
        return (None if asked.domain == NONE else asked.domain), {}
    few = [c for c in columns.values() if is_coarse(c)]
    sure = [c.name for c in few if names.hints(c.name, names.DOMAINS)]
    named = names.PERHAPS_DOMAINS
    sure += [c.name for c in few if c.name.lower() in named and c.name not in sure]
    hinted = [c for c in few if names.hints(c.name, named) and c.name not in sure[:1]]
    perhaps = {c.name: f"{len(c.counts)} values" for c in hinted[:3]}
    return (sure[0] if sure else None), perhaps


def is_coarse(column: Column) -> bool:
    """Whether a column divides all rows into a few large groups."""
    if column.is_list or column.missing or not 2 <= len(column.counts) <= MOST_DOMAINS:
        return False
    return column.counts.min() >= max(LEAST_ROWS, LEAST_SHARE * column.rows)


def has_unseen(sample: Sample, domain: str, split: Split) -> bool:
    """Whether there may be rows without a domain, or of one that train lacks."""
    column = sample.columns[domain]
    if not sample.is_all or column.missing or split.by == "column":
        return True
    if split.by == "random":
        return False
    assert split.column
    times = times_of(sample.columns[split.column])
    first = np.argsort(times, kind="stable")[: int(split.fractions[0] * len(times))]
    return len(np.unique(column.codes[first])) < len(column.counts)


def user_of(columns: Mapping[str, Column], asked: Asked) -> str | None:
    """The column of users, if one has such a name and users have several rows."""
    if asked.user is not None:
        return None if asked.user == NONE else asked.user
    named = [c for n, c in columns.items() if names.is_user(n) and not c.is_list]
    often = [c.name for c in named if 1 < len(c.counts) <= c.rows / LEAST_ROWS_A_USER]
    return often[0] if often else None
