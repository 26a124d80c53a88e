"""Permutation importance: how much worse a run is without what a field says."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ple_jax.analysis.fields import Places, places_of
from ple_jax.data.examples import Examples
from ple_jax.data.loader import batches_in_order
from ple_jax.metrics.exact import each_task
from ple_jax.metrics.intervals import Influence, of_headline
from ple_jax.metrics.paired import HEADLINES, gain
from ple_jax.runs.directory import Run
from ple_jax.serve.files import load_scorer

ROWS = 20_000  # of a split, evenly spaced
PERMUTATIONS = 5
Influences = dict[str, Influence | None]  # by task


def permutation_importance(
    run: Run,
    split: str = "validation",
    permutations: int = PERMUTATIONS,
    rows: int = ROWS,
    seed: int = 0,
) -> dict[str, Any]:
    """How far each task falls when the values of one field are shuffled among rows.

        I_f = m - (1 / P) sum_p m(rows whose field f is permuted by p)

    of a headline m such as AUC; the change of an error counts as a loss too. Values
    stay in their domain, so that no row has one that its domain never has. Nothing is
    trained anew: what the model could learn from other fields instead does not count,
    and fields that say the same share their importance.

    Args:
        run: A finished run.
        split: Whose rows; test is for what was chosen.
        permutations: P.
        rows: How many rows at most.
        seed: Of the permutations. Each field has its own, whatever the others are.

    Returns:
        Plain values:

        split, rows, permutations, seed   as asked
        metrics      task -> the headline
        scores       task -> its value as it is; None if undefined
        importance   task -> field -> `gain` of the rows as they are

        In a gain, `mean` is I_f, `over_seeds` its interval over permutations, and
        `interval` that over rows and permutations.

    Reference: Breiman, Machine Learning 2001, section 10; Fisher et al., JMLR 2019.
    """
    scorer, variables = load_scorer(run)
    data, tasks = run.data, run.data.layout.tasks
    examples = spread_out(data.split(split), rows)

    def measured(some: Examples) -> Influences:
        logits = scorer.logits(variables, batches_in_order(some, scorer.batch_size))
        given = some.labels, some.observed, some.weights, None
        return each_task(of_headline, logits, *given, tasks, ("all",), some.user)[
            "tasks"
        ]

    whole, found = measured(examples), dict[str, list[Influences]]()
    for number, (field, at) in enumerate(places_of(data.encoder).items()):
        orders = shuffles(examples.domain, permutations, (seed, number))
        found[field] = [measured(shuffled(examples, at, order)) for order in orders]
    losses = {task.name: task.loss for task in tasks}
    lost = lambda task, each: falls(losses[task], whole[task], [e[task] for e in each])
    return {
        "split": split,
        "rows": len(examples),
        "permutations": permutations,
        "seed": seed,
        "metrics": {task: HEADLINES[loss] for task, loss in losses.items()},
        "scores": {task: one and one.value for task, one in whole.items()},
        "importance": {
            task: {field: lost(task, each) for field, each in found.items()}
            for task in losses
        },
    }


def falls(
    loss: str, whole: Influence | None, permuted: list[Influence | None]
) -> dict[str, Any]:
    """How far a headline falls from its value on rows as they are."""
    known = [one for one in permuted if one is not None]
    values = [one.value for one in known]
    if whole is None:
        return gain(loss, [None], values)
    return gain(loss, [whole.value], values, ([whole], known))


def spread_out(examples: Examples, rows: int) -> Examples:
    """Some rows of a split, evenly spaced, or all."""
    last, count = len(examples) - 1, min(rows, len(examples))
    some = np.unique(np.linspace(0, last, count).astype(int))
    return Examples.of({name: a[some] for name, a in examples.arrays().items()})


def shuffles(
    domain: np.ndarray, permutations: int, seed: tuple[int, ...]
) -> Iterator[np.ndarray]:  # each (B,)
    """Orders of rows in which each stays among those of its domain."""
    rows = [np.flatnonzero(domain == n) for n in np.unique(domain)]
    for number in range(permutations):
        rng, order = np.random.default_rng([*seed, number]), np.arange(len(domain))
        for own in rows:
            order[own] = rng.permutation(own)
        yield order


def shuffled(examples: Examples, at: Places, order: np.ndarray) -> Examples:
    """The examples, but with the values that a field has in another order of rows."""
    ids, numbers, bags = examples.ids, examples.numbers, dict(examples.bags)
    for name in at.bags:
        bags[name] = bags[name][order]
    return dataclasses.replace(
        examples,
        ids=_moved(ids, at.ids, order),
        numbers=_moved(numbers, at.numbers, order),
        bags=bags,
    )


def _moved(array: np.ndarray, columns: list[int], order: np.ndarray) -> np.ndarray:
    if not columns:
        return array
    moved = np.array(array)
    moved[:, columns] = array[:, columns][order]
    return moved
