"""Whether the tasks of a data set can be learned from its train split."""

from typing import Any

import numpy as np

from ple_jax.data.derive import rows_of
from ple_jax.data.examples import Examples
from ple_jax.data.source import Source
from ple_jax.schema import OWN, Schema, Task
from ple_jax.show import console


def check_learnable(source: Source, facts: dict[str, Any], train: Examples) -> None:
    """Raises a ValueError if a task has no classes or no weights; warns of less.

    Args:
        source: What was prepared; its rows are read again only for an error.
        facts: Rows, base rates and domains of train.
        train: Its examples.
    """
    _check_classes(source, facts, train)
    _check_weights(source.schema, train)
    _warn_of_untrained(source.schema, facts)


def _check_classes(source: Source, facts: dict[str, Any], train: Examples) -> None:
    """Raises a ValueError if a task's labels in train are all alike.

    Those of a binary task, of a count, and of an amount that is often 0.
    """
    for i, task in enumerate(source.schema.tasks):
        rate = facts["base_rates"][task.name]
        if task.kind.link == "log":
            _check_amounts(task, train.labels[train.observed[:, i], i])
        if task.is_binary and rate in (None, 0.0, 1.0):
            values = ", ".join(map(repr, _some_values(source, task.label_column)))
            raise ValueError(
                f"Task {task.name!r} cannot be learned: its base rate in train is "
                f"{rate}, expected both classes. Column {task.label_column!r} holds "
                f"{values}."
            )


def _check_amounts(task: Task, labels: np.ndarray) -> None:
    """Raises a ValueError unless some labels (n,) are above 0, and some are 0 if asked.

    The odds of a weighted logistic loss have no end where no label is 0.
    """
    if not labels.any():
        raise ValueError(
            f"Task {task.name!r} cannot be learned: no label in train is above 0."
        )
    if task.loss == "weighted_logistic" and labels.all():
        raise ValueError(
            f"Task {task.name!r} cannot be learned by a weighted logistic loss: no "
            "label in train is 0, and it predicts how often one is not. Give it all "
            "examples, those with 0 too, or take loss = 'poisson' or 'squared'."
        )


def _check_weights(schema: Schema, train: Examples) -> None:
    """Raises a ValueError if all examples of a task in train have weight 0."""
    for task, observed in zip(schema.tasks, train.observed.T, strict=True):
        weighed = np.any(train.weights, where=observed)
        if observed.any() and not weighed:
            raise ValueError(
                f"Task {task.name!r} cannot be learned: column {schema.weight!r} gives "
                "all of its examples in train the weight 0."
            )


def _warn_of_untrained(schema: Schema, train: dict[str, Any]) -> None:
    """Says so if no row of train is in the domain for rows without one."""
    if schema.unseen_domain == OWN and not train["domains"][OWN]:
        console.say(
            f"warning: no row of train lacks its {schema.domain!r}, so that domain "
            f"{OWN!r} learns what all domains share and nothing of its own: name a "
            "domain of train as `unseen_domain` to score unknown ones by that"
        )


def _some_values(source: Source, column: str, most: int = 10) -> list[str | None]:
    found: dict[str | None, None] = {}
    for chunk in source.chunks():
        _, values = rows_of(chunk, source.schema, [column]).text(column)
        found |= dict.fromkeys(values.to_pylist()[:-1])
    return list(found)[:most]
