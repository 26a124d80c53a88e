"""The data card: what a data set holds, split by split."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ple_jax.analysis.drift import STRONG, drift
from ple_jax.analysis.leaks import SUSPECT, alone, is_id_like
from ple_jax.analysis.raw import Raw, RawField
from ple_jax.splits import SPLITS

Card = dict[str, Any]
MUCH_UNSEEN = 0.5  # share of values that train lacks
FEW = 50  # positives that measure hardly anything


def card(raw: Raw) -> Card:
    """Plain values, ready for JSON.

    splits    split -> rows
    tasks     task -> split -> examples, positives, mean
    domains   domain -> split -> rows, and task -> mean
    fields    field -> kind, values, missing, unseen, drift, alone, id_like
    warnings  one sentence each
    """
    splits = {s: raw.rows_of(s) for s in SPLITS if raw.rows_of(s).any()}
    everywhere = np.ones(len(raw.split), bool)
    made: Card = {
        "splits": {s: int(rows.sum()) for s, rows in splits.items()},
        "tasks": _by_split(raw, splits, everywhere),
        "domains": {},
        "fields": {f.field.name: _facts(raw, f, splits) for f in raw.fields},
    }
    if len(raw.domains) > 1:
        for number, name in enumerate(raw.domains):
            rows = raw.domain == number
            if rows.any():
                made["domains"][name] = _by_split(raw, splits, rows)
    return {**made, "warnings": warnings(made)}


def _by_split(
    raw: Raw, splits: dict[str, np.ndarray], some: np.ndarray
) -> dict[str, dict[str, dict[str, Any]]]:
    """Task -> split -> its examples, positives and mean label among some rows."""
    return {
        task.name: {s: _labels(raw, i, rows & some) for s, rows in splits.items()}
        for i, task in enumerate(raw.schema.tasks)
    }


def _labels(raw: Raw, task: int, rows: np.ndarray) -> dict[str, Any]:
    y = raw.labels[rows & raw.observed[:, task], task].astype(np.float64)
    facts = {"examples": len(y), "mean": float(y.mean()) if len(y) else None}
    if raw.schema.tasks[task].is_binary:
        facts["positives"] = int(y.sum())
    return facts


def _facts(raw: Raw, field: RawField, splits: dict[str, np.ndarray]) -> dict[str, Any]:
    train = splits["train"]
    others = {s: rows for s, rows in splits.items() if s != "train"}
    return {
        "kind": field.field.kind,
        "values": field.values,
        "missing": {s: _missing(field, rows) for s, rows in splits.items()},
        "unseen": {s: _unseen(field, train, rows) for s, rows in others.items()},
        "drift": {s: drift(field, train, rows) for s, rows in others.items()},
        "alone": alone(raw, field),
        "id_like": is_id_like(field),
    }


def _missing(field: RawField, rows: np.ndarray) -> float:
    """The share of rows without a value; of lists, of rows without an item."""
    known = np.zeros(len(rows), bool)
    known[field.rows[field.codes < field.values]] = True
    return float(1 - known[rows].mean())


def _unseen(field: RawField, train: np.ndarray, rows: np.ndarray) -> float | None:
    """The share of values in these rows that no row of train has; not of numbers."""
    if field.numbers is not None:
        return None
    seen = np.zeros(field.values + 1, bool)
    seen[field.codes[train[field.rows]]] = True
    known = field.codes[rows[field.rows] & (field.codes < field.values)]
    return float(1 - seen[known].mean()) if len(known) else 0.0


def warnings(made: Card) -> list[str]:
    """What a person should look at first."""
    fields = made["fields"].items()
    each = [sentence for name, facts in fields for sentence in _of_field(name, facts)]
    drifting = {n: max(f["drift"].values(), default=0.0) for n, f in fields}
    strong = {n: v for n, v in drifting.items() if v > STRONG}
    if strong:
        ordered = sorted(strong, key=lambda n: -strong[n])
        listed = ", ".join(f"{n!r} {strong[n]:.2f}" for n in ordered[:5])
        more = f" and {len(strong) - 5} more" if len(strong) > 5 else ""
        each.append(
            f"Train and what comes after it differ (a stability index above {STRONG}): "
            f"{listed}{more}."
        )
    for task, splits in made["tasks"].items():
        few = {s: f["positives"] for s, f in splits.items() if "positives" in f}
        for split, count in few.items():
            if count < FEW:
                each.append(f"{task!r} has {count} positives in {split}: hardly any.")
    return each


def _of_field(name: str, facts: dict[str, Any]) -> Iterator[str]:
    for task, area in facts["alone"].items():
        if area is not None and area > SUSPECT:
            yield (
                f"{name!r} alone has an AUC of {area:.4f} for {task!r}: is it known "
                "before the label is? If not, list it under `leaking`."
            )
    if facts["id_like"]:
        yield f"{name!r} has almost as many values as rows: there is nothing to learn."
    unseen = {s: share or 0.0 for s, share in facts["unseen"].items()}
    if unseen and max(unseen.values()) > MUCH_UNSEEN:
        split = max(unseen, key=unseen.__getitem__)
        yield f"{unseen[split]:.0%} of {name!r} in {split} does not occur in train."
