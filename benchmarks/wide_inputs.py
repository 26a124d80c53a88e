"""What does an example of many fields or long histories cost, from the loader on?

    python benchmarks/wide_inputs.py [--cases NAME ...] [--rounds N] [--json]

Four cases: the common size (16 fields, 8 numbers), 500 fields and 2,000 numbers, half
of both, and 16 fields beside 5 histories of up to 200 ids, of which half are there on
average. Tables have 1,000 rows of width 16 a field; the model is PLE. Bytes and
microseconds are of one example: bytes that the loader copies from a split in memory,
that the gather reads from tables, and that the step holds while it runs, by the
compiler's plan. `most together` is how many batches of 4096 the host sends at once.
"""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np
from lib import measure, problem, report
from lib.sizes import Size

from ple_jax.config.experiment import Experiment
from ple_jax.data.examples import Examples
from ple_jax.data.loader import Loader
from ple_jax.embeddings.tables import Tables
from ple_jax.layout import Bag, Layout
from ple_jax.parallel.mesh import make_mesh
from ple_jax.plans.program import memory
from ple_jax.train.feed import Feed
from ple_jax.train.trainer import trainer_of

ROWS, BATCHES = 1000, 4  # of a table; in a split


class Case(NamedTuple):
    """The inputs of an example."""

    fields: int = 16
    numbers: int = 8
    histories: int = 0
    length: int = 200


CASES = {
    "common": Case(),
    "half as wide": Case(250, 1000),
    "wide": Case(500, 2000),
    "histories": Case(histories=5),
}


def main() -> None:
    """Print one line a case."""
    parser = report.command(__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if asked.quick:
        asked.batch, asked.rounds = 32, 1
    results = [
        {"case": name} | measured(CASES[name], asked.batch, asked.rounds)
        for name in asked.cases
    ]
    report.show("an example", results, asked.json)


def measured(case: Case, batch: int, rounds: int) -> report.Record:
    """Bytes and microseconds of an example in the loader, the gather and the step."""
    layout, experiment = problem_of(case, batch)
    tables, trainer = Tables(layout, experiment.inputs), trainer_of(experiment, layout)
    loader = Loader(drawn(layout, BATCHES * batch), batch, seed=0)
    feed = Feed(loader, experiment.train, make_mesh(1), trainer.prepare, None)
    batches = jax.device_put(trainer.prepare(loader.batches(0, 0, 1)))
    state = trainer.init()
    steps = trainer.steps.lower(state, batches, 1).compile()
    read = jax.jit(lambda t, b: tables.assemble(tables.lookup(t, b), b))
    arguments = jax.tree.map(np.asarray, state.trained["tables"]), batches.at(0)
    arguments = jax.device_put(arguments)  # the step donates its own

    def step():
        nonlocal state
        state, done = trainer.steps(state, batches, 1)
        return done

    ways = {
        "loader": lambda: loader.batches(0, 0, 1),
        "gather": lambda: read(*arguments),
        "step": step,
    }
    taken = measure.medians(measure.in_turn(ways, rounds))
    of_rows = sum(4 * tables.lookups(n) * tables.row_width(n) for n in tables.fused)
    return {
        "loader, bytes": loader.batch_bytes // batch,
        "gather, bytes": of_rows,
        "step, bytes": round(memory(steps).temporary / batch),
        **{f"{name}, us": 1e6 * each / batch for name, each in taken.items()},
        "most together": feed.most,
    }


def problem_of(case: Case, batch: int) -> tuple[Layout, Experiment]:
    """The columns and the experiment of a case."""
    size = Size(ROWS, fields=case.fields, numbers=case.numbers, batch=batch)
    names = [f"history_{i}" for i in range(case.histories)]
    bags = tuple(Bag(name, name, ROWS, case.length) for name in names)
    layout = dataclasses.replace(problem.layout_of(size), bags=bags)
    return layout, problem.experiment_of("ple", size, update="dense")


def drawn(layout: Layout, rows: int) -> Examples:
    """Random rows; a history ends anywhere, and is padded with -1."""
    rng, labels = np.random.default_rng(0), (rows, len(layout.tasks))
    return Examples(
        ids=rng.integers(0, ROWS, (rows, len(layout.ids)), np.int32),
        bags={bag.name: history(rng, rows, bag.length) for bag in layout.bags},
        numbers=rng.standard_normal((rows, len(layout.numbers)), np.float32),
        domain=np.zeros(rows, np.int32),
        labels=rng.integers(0, 2, labels).astype(np.float32),
        observed=np.ones(labels, bool),
        weights=np.ones(rows, np.float32),
    )


def history(rng: np.random.Generator, rows: int, length: int) -> np.ndarray:
    """Ids (rows, length)."""
    ids = rng.integers(0, ROWS, (rows, length), np.int32)
    there = np.arange(length) < rng.integers(0, length + 1, rows)[:, None]
    return np.where(there, ids, -1)


if __name__ == "__main__":
    main()
