"""Gate use: how much of each expert each gate takes, by level and domain."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from ple_jax.data.examples import Examples
from ple_jax.data.loader import batches_in_order
from ple_jax.runs.directory import Run
from ple_jax.serve.files import load_scorer
from ple_jax.train.gates import hardly_used, mixtures, names, of_one_member, units_of
from ple_jax.train.setup import Setup
from ple_jax.train.step import Step
from ple_jax.types import Batch, PyTree

ROWS = 20_000  # of a split that are looked at


def gate_use(
    run: Run, split: str = "validation", rows: int = ROWS
) -> list[dict[str, Any]]:
    """How much of each expert each gate takes, over the rows of a split.

    Args:
        run: A run of a model with gates; one without gives []. Of several members
            (`train.members`), the first counts: no two have experts in common.
        split: Whose rows.
        rows: How many of them, evenly spaced.

    Returns:
        Of each level, from the input up, plain arrays:

        level      its path among the modules
        gates      the names (G,): tasks, "shared", or "gate 0" of those that none owns
        experts    the names (E,): of what owns it, "shared 0", or "expert 0"
        domains    the names (N,)
        examples   (N,) of each domain
        mean       (N, G, E) mean weight; NaN of a domain without examples
        deviation  (N, G, E) standard deviation over examples
        seen       (G, E) bool, whether the gate sees the expert
        entropy    (N, G) mean entropy of weights by that of equal ones, from 0 to 1

    Reference: Tang et al., RecSys 2020, section 5.3.3 and figure 8.
    """
    layout = run.data.layout
    tasks = [task.name for task in layout.tasks]
    setup = Setup([run.experiment], run.data)
    weights = _weights(run, setup, split, rows)
    return summed(weights, tasks, layout.domains, units_of(setup.step.model))


Batches = Iterable[tuple[np.ndarray, Mapping[str, np.ndarray]]]


def summed(
    batches: Batches,
    tasks: Sequence[str],
    domains: Sequence[str],
    units: Sequence[int] = (),
) -> list[dict[str, Any]]:
    """`gate_use` of batches: domains (B,), and weights (B, G, E) by path.

    `units` is how many experts each unit of a model has, where its gates do not tell.
    """
    sums: dict[str, list[np.ndarray]] = {}
    for domain, weights in batches:
        for path, of in weights.items():
            entropy = -of * np.log(np.where(of > 0, of, 1))
            parts = np.ones(len(of)), of, of**2, entropy.sum(axis=-1)
            zeros = [np.zeros((len(domains), *part.shape[1:])) for part in parts]
            for total, part in zip(sums.setdefault(path, zeros), parts, strict=True):
                np.add.at(total, domain, part)
    found = [_level(path, of, list(tasks), units) for path, of in sums.items()]
    return [{**one, "domains": list(domains)} for one in found]


def _weights(run: Run, setup: Setup, split: str, rows: int):
    """Domains (B,) and weights (B, G, E) by path, of each batch."""
    step = setup.step
    _, variables = load_scorer(run)
    of = jax.jit(partial(intermediates, step))
    whole = run.data.split(split)
    some = np.unique(np.linspace(0, len(whole) - 1, min(rows, len(whole))).astype(int))
    examples = Examples.of({k: a[some] for k, a in whole.arrays().items()})
    for batch, real in batches_in_order(examples, setup.train.eval_batch_size):
        found = mixtures(of(variables, batch)).items()
        weights = {path: np.asarray(w, np.float64)[:real] for path, w in found}
        yield batch.domain[:real], weights


def intermediates(step: Step, variables: PyTree, batch: Batch) -> PyTree:
    """What the model sows under this name outside of training, in float32."""
    rows = step.tables.lookup(variables["tables"], batch)
    x = step.tables.assemble(rows, batch, None)
    model = {"params": variables["model"], "batch_stats": variables["batch_stats"]}
    sown = step.model.apply(model, x, batch.domain, mutable=["intermediates"])[1]
    return of_one_member(sown.get("intermediates", {}), step.train.members)


def _level(
    path: str, sums: list[np.ndarray], tasks: list[str], units: Sequence[int]
) -> dict[str, Any]:
    count, total, squares, entropy = sums
    seen = np.any(total > 0, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count[:, None, None]
        variance = squares / count[:, None, None] - mean**2
        most = np.log(seen.sum(axis=1))  # (G,)
        share = entropy / count[:, None] / np.where(most > 0, most, 1)
    gates, experts = names(seen, tasks, path.startswith("shared"), units)
    return {
        "level": path.removesuffix("/mixture"),
        "gates": gates,
        "experts": experts,
        "examples": count.astype(int),
        "mean": mean,
        "deviation": np.sqrt(np.maximum(variance, 0)),
        "seen": seen,
        "entropy": np.where(most > 0, share, np.where(count[:, None] > 0, 1, np.nan)),
    }


def unused(level: dict[str, Any]) -> list[str]:
    """Experts that are hardly used by any gate, by their mean weight."""
    weighed = np.nansum(level["mean"] * level["examples"][:, None, None], axis=0)
    mean = weighed / max(level["examples"].sum(), 1)  # (G, E)
    few = hardly_used(mean)
    return [name for name, is_few in zip(level["experts"], few, strict=True) if is_few]
