"""Which model to go on with, and why."""

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ple_jax.analysis import trees
from ple_jax.analysis.candidates import ALONE, Compared, gains
from ple_jax.data.store import Prepared
from ple_jax.metrics.paired import HEADLINES, is_sure
from ple_jax.metrics.spread import spread

Gains = Mapping[str, Mapping[str, Any]]  # task -> spread
MANY_VALUES = 100  # of a field, from which its label means may help


@dataclasses.dataclass(frozen=True)
class Recommended:
    """A model, and the sentences that speak for and against it."""

    kind: str
    reasons: tuple[str, ...]


def recommend(compared: Sequence[Compared], data: Prepared) -> Recommended:
    """The model with the best mean over tasks on validation.

    A task's score is its AUC or, of a number, the share of the error's square that is
    left out: 1 - square / mean square of the task's errors over all models.
    """
    models = [c for c in compared if c.kind != trees.KIND and c.scores]
    if not models:
        raise ValueError("Every model diverged: lower train.learning_rate.")
    ranked = sorted(models, key=lambda c: -skill(c, compared, data))
    best, *others = ranked
    reasons = [
        *lead(best, others, compared, data),
        *by_task(best, compared, data),
        *against_trees(best, compared, data),
        *transfer(best, compared, data),
    ]
    return Recommended(best.kind, tuple(reasons))


def skill(one: Compared, compared: Sequence[Compared], data: Prepared) -> float:
    """The mean over tasks of how good a model is; higher is better."""
    each = []
    for task in data.layout.tasks:
        mean = _mean(one, task.name)
        if mean is not None and not task.is_binary:
            errors = [m for c in compared if (m := _mean(c, task.name)) is not None]
            mean = 1 - mean**2 / max(statistics.fmean(e**2 for e in errors), 1e-30)
        each += [] if mean is None else [mean]
    return statistics.fmean(each) if each else 0.0


def _mean(one: Compared, task: str) -> float | None:
    return spread(one.scores.get(task, []))["mean"]


def lead(
    best: Compared,
    others: Sequence[Compared],
    compared: Sequence[Compared],
    data: Prepared,
) -> Iterator[str]:
    """Says how the best model's mean over tasks compares with the next one's."""
    own = skill(best, compared, data)
    if not others:
        yield f"`{best.kind}` is the only model that was trained."
        return
    second = others[0]
    yield (
        f"`{best.kind}` has the best mean over tasks on validation, {own:.4f}; "
        f"`{second.kind}` follows with {skill(second, compared, data):.4f}."
    )
    found = gains(best, second, data)
    if all(gain["interval"] is None for gain in found.values()):
        yield "With one seed, nobody knows what is chance."
        return
    sure = {task: gain for task, gain in found.items() if is_sure(gain)}
    each = ", ".join(f"{task!r} by {spelled(gain)}" for task, gain in sure.items())
    chance = f"`{second.kind}` by more than chance"
    if each:
        yield f"It is ahead of {chance} on {each}."
    else:
        yield f"On no task is it ahead of {chance}: take either."
    if all(gain["over_seeds"] is None for gain in found.values()):
        yield "Chance is that of other rows: with one seed, nobody knows what seeds do."


def spelled(gain: Mapping[str, Any]) -> str:
    """A gain with half of its interval: `0.0041 +- 0.0020`."""
    if gain["mean"] is None:
        return "undefined"
    if gain["interval"] is None:
        return f"{gain['mean']:.4f}"
    low, high = gain["interval"]
    return f"{gain['mean']:.4f} +- {(high - low) / 2:.4f}"


def by_task(
    best: Compared, compared: Sequence[Compared], data: Prepared
) -> Iterator[str]:
    """Says on which tasks it is the best model, and which is on the others."""
    models = [c for c in compared if c.kind not in (best.kind, trees.KIND) and c.scores]
    if not models:
        return
    ahead, others = [], []
    for task in data.layout.tasks:
        found = {c.kind: gains(c, best, data)[task.name] for c in models}
        found = {k: g for k, g in found.items() if g["mean"] is not None}
        if not found:
            continue
        kind = max(found, key=lambda k: found[k]["mean"])
        if found[kind]["mean"] > 0:
            others.append(f"`{kind}` on {task.name!r} by {spelled(found[kind])}")
        else:
            ahead.append(task.name)
    count = len(data.layout.tasks)
    text = f"It is the best model on {len(ahead)} of {count} tasks"
    yield f"{text}; ahead of it: {', '.join(others)}." if others else f"{text}."


def against_trees(
    best: Compared, compared: Sequence[Compared], data: Prepared
) -> Iterator[str]:
    """Says on which tasks trees are ahead, and what may close the gap."""
    for boosted in (c for c in compared if c.kind == trees.KIND):
        found = gains(boosted, best, data)
        ahead = {
            t: g for t, g in found.items() if g["mean"] is not None and g["mean"] > 0
        }
        if not ahead:
            yield "It is ahead of boosted trees on every task."
            continue
        listed = ", ".join(f"{t!r} by {spelled(g)}" for t, g in ahead.items())
        yield f"Boosted trees are ahead on {listed}. {hint(best, data)}"


def hint(best: Compared, data: Prepared) -> str:
    """What to try where trees are ahead of a model."""
    fields = data.schema.fields
    rows = {column.name: column.rows for column in data.layout.ids}
    many = [
        f.name
        for f in fields
        if rows.get(f.name, 0) > MANY_VALUES and set(f.encodings) <= {"id", "rare"}
    ]
    if many:
        listed = ", ".join(map(repr, many[:3]))
        return f'Values of {listed} are many: try encodings = ["id", "target_mean"].'
    if best.epochs and statistics.median(best.epochs) >= max(best.trained):
        return f"`{best.kind}` was best at its last epoch: train longer."
    return "Try other widths and rates, as a sweep does."


def transfer(
    best: Compared, compared: Sequence[Compared], data: Prepared
) -> Iterator[str]:
    """Names the tasks that are worse together than alone."""
    alone = next((c for c in compared if c.kind == ALONE and c.scores), None)
    if alone is None or best.kind == ALONE or len(data.layout.tasks) < 2:
        return
    lost = gains(alone, best, data)
    for task, gain in lost.items():
        if is_sure(gain):
            yield (
                f"Negative transfer: {task!r} is worse than when it is trained alone, "
                f"by {spelled(gain)}."
            )
    known = any(gain["interval"] is not None for gain in lost.values())
    if known and not any(map(is_sure, lost.values())):
        yield "No task is worse than alone by more than chance."


def metric_of(loss: str) -> str:
    """The metric in which a task is compared."""
    return HEADLINES[loss]
