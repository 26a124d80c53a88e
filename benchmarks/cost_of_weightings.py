"""What does a step cost under each weighting, beside fixed weights?

    python benchmarks/cost_of_weightings.py [--weightings NAME ...] [--tasks T] [--json]

PLE trains on the batches of `step_vs_peers.py`. All weightings take turns; the table
shows the median step of each, as the mean over a dispatch of several, and the ratio to
`fixed`; and from the compiled programs, the temporary memory of a step.
"""

import dataclasses

from lib import measure, problem, report
from lib.sizes import QUICK, SIZES, Size, arrays

from ple_jax import weightings
from ple_jax.config.experiment import Plugin
from ple_jax.train.trainer import Trainer, trainer_of

STEPS = 4
FIXED = "fixed"


def main() -> None:
    """Print one line for each weighting."""
    parser = report.command(__doc__)
    known = weightings.available()
    parser.add_argument("--size", choices=SIZES, default="common-100k")
    parser.add_argument("--tasks", type=int, default=2)
    parser.add_argument("--weightings", nargs="+", choices=known, default=known)
    parser.add_argument("--turns", type=int, default=15)
    asked = parser.parse_args()
    size = SIZES[asked.size]
    if asked.quick:
        size, asked.turns, asked.weightings = QUICK["quick"], 2, ["mgda"]
    size = dataclasses.replace(size, tasks=asked.tasks)
    kinds = list(dict.fromkeys([FIXED, *asked.weightings]))
    results = beside_fixed(size, kinds, asked.turns)
    report.show(f"ms a step, {asked.tasks} tasks", results, asked.json)


def beside_fixed(size: Size, kinds: list[str], turns: int) -> list[report.Record]:
    """Median milliseconds of a step, ratio to fixed weights, temporary MB."""
    batches = problem.batches_of(arrays(size, STEPS))
    made = {kind: trainer_with(kind, size) for kind in kinds}
    ways = {kind: problem.dispatch(each, batches) for kind, each in made.items()}
    taken = measure.medians(measure.in_turn(ways, turns))
    return [
        {
            "weighting": kind,
            "ms": 1e3 * taken[kind] / STEPS,
            "/ fixed": taken[kind] / taken[FIXED],
            "temporary, MB": temporary(made[kind], batches) / 1e6,
        }
        for kind in kinds
    ]


def trainer_with(kind: str, size: Size) -> Trainer:
    """The library's own step with this weighting, and its default options."""
    experiment = problem.experiment_of("ple", size)
    experiment = dataclasses.replace(experiment, weighting=Plugin(kind, {}))
    return trainer_of(experiment, problem.layout_of(size))


def temporary(trainer: Trainer, batches: problem.Batch) -> int:
    """Bytes that a step takes for a time."""
    ready, start = trainer.prepare(batches), trainer.shapes()
    compiled = trainer.steps.lower(start, ready, STEPS).compile()
    return int(compiled.memory_analysis().temp_size_in_bytes)


if __name__ == "__main__":
    main()
