"""What the epochs of a training say: which was best for which task, and what to change.

A function of the journal's records and nothing else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ple_jax.metrics.over_domains import LOWER_IS_BETTER
from ple_jax.tasks import HEADLINES

LONGER = "best at the last epoch: train longer"


def course(records: Sequence[Mapping[str, Any]], most: int) -> dict[str, Any]:
    """The best epochs, counted from 1, and notes on how training went.

    Args:
        records: Those of the journal, in order; ones that are of no epoch don't count.
        most: `train.epochs`.

    Returns:
        `best_epoch`, by the metric that chooses; `best_epoch_by_task`, by each task's
        own headline, such as AUC, None where that is undefined; and `notes`, on gates
        at the best epoch, too.
    """
    epochs = [r for r in records if "epoch" in r]
    if not epochs:
        return {"best_epoch": None, "best_epoch_by_task": {}, "notes": []}
    best = _highest([r["score"] for r in epochs])
    tasks = [r["validation"]["tasks"] for r in epochs]
    by_task = {t: _highest([_score(of[t]) for of in tasks]) for t in tasks[0]}
    one = lambda i: None if i is None else i + 1
    return {
        "best_epoch": one(best),
        "best_epoch_by_task": {t: one(i) for t, i in by_task.items()},
        "notes": [*_notes(epochs, best, most), *_on_gates(epochs, best)],
    }


def _notes(epochs: Sequence[Mapping[str, Any]], best: int | None, most: int):
    """Whether more epochs may help, or the later ones learned train alone by heart."""
    last = len(epochs) - 1
    if best is None or not last:
        return []
    if best == last:
        return [LONGER] * (last + 1 == most)
    falls = epochs[last]["loss"] < epochs[best]["loss"]
    return [f"overfits from epoch {best + 2}"] * falls


def _on_gates(epochs: Sequence[Mapping[str, Any]], best: int | None) -> list[str]:
    """Which gates had collapsed, and which experts were unused, at the best epoch."""
    wrong = {} if best is None else epochs[best].get("gates", {})
    first = next(
        (i for i, r in enumerate(epochs) if r.get("gates", {}).get("alone")), 0
    )
    notes = []
    if alone := wrong.get("alone"):
        listed = "; ".join(alone)
        notes.append(f"gates take one expert alone from epoch {first + 1}: {listed}")
    if unused := wrong.get("unused"):
        notes.append(f"experts that no gate uses: {'; '.join(unused)}")
    return notes


def _score(measured: Mapping[str, Any]) -> float | None:
    """A task's headline, of which higher is better."""
    name = next((n for n in HEADLINES if n in measured), None)
    value = measured[name] if name else None
    return -value if value is not None and name in LOWER_IS_BETTER else value


def _highest(scores: Sequence[float | None]) -> int | None:
    """The first place of the highest score; None if none is defined."""
    known = {i: score for i, score in enumerate(scores) if score is not None}
    return max(known, key=lambda i: known[i], default=None)
