"""How close is a training step to the floor that this machine sets?

    python benchmarks/step_vs_floor.py [--sizes SIZE ...] [--models NAME ...] [--json]

`lib/floor.py` counts what the step needs by the model's equations, from shapes alone.
The machine's rates, of float32 products and of a copy, are measured in turn with the
step, so that an unsteady machine slows both alike. The floor is the longer of two
times: the operations at the rate of the faster product, and the bytes at the rate of
the copy. The sum is both, one after the other. `XLA, GFLOP` is the compiler's own
count, which adds metrics. The step is the library's: jitted, donated, with batches that
are prepared and on the device.
"""

import statistics
from collections.abc import Callable
from typing import Any

import jax
from lib import floor, measure, problem, rates, report
from lib.floor import COPIED, SQUARE, Work
from lib.sizes import MODELS, QUICK, SIZES, Size, arrays

from ple_jax.train.trainer import Trainer

STEPS = 2  # in a dispatch


def main() -> None:
    """Print one line for each size and model."""
    parser = report.command(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--models", nargs="+", choices=MODELS)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    asked.rounds = 1 if asked.quick else asked.rounds
    sizes = QUICK if asked.quick else {name: SIZES[name] for name in asked.sizes}
    results = [
        {"size": name, "model": model} | measured(model, size, asked.rounds)
        for name, size in sizes.items()
        for model in asked.models or MODELS
    ]
    report.show("the step and its floor", results, asked.json)


def measured(model: str, size: Size, rounds: int) -> report.Record:
    """Work, rates, times, and the floor as a share of the measured step."""
    batches = problem.batches_of(arrays(size, STEPS))
    trainer = problem.trainer_for(model, size)
    state, ready = trainer.init(), jax.device_put(trainer.prepare(batches))
    work = floor.work(model, size, by_rows=bool(state.row_state))
    compiled = operations_of_xla(trainer, state, ready)
    taken = measure.in_turn(ways(model, size, trainer, state, ready), rounds)
    return {
        "GFLOP": work.operations / 1e9,
        "XLA, GFLOP": compiled / 1e9,
        "MB": work.bytes / 1e6,
        **times(work, taken, size, model),
    }


def operations_of_xla(trainer: Trainer, state: Any, batches: Any) -> float:
    """The compiler's count, which is of one step: it counts a loop's body once."""
    costs = trainer.steps.lower(state, batches, 1).compile().cost_analysis()
    return costs["flops"]


def ways(
    model: str, size: Size, trainer: Trainer, state: Any, batches: Any
) -> dict[str, Callable[[], Any]]:
    """The ways that take turns: two products, a copy, and the step."""

    def step():
        nonlocal state
        state, done = trainer.steps(state, batches, STEPS)
        return state.trained, done

    width = first_width(model, size)
    return {
        "square": rates.product(SQUARE, SQUARE, SQUARE),
        "first": rates.product(size.batch, size.inputs, width),
        "copy": rates.copy(COPIED),
        "step": step,
    }


def first_width(model: str, size: Size) -> int:
    """Joint width of the first layer of all experts of the first level."""
    experts = {"ple": sum(size.expert_counts), "mmoe": size.experts}
    return experts[model] * size.expert_dims[0]


def times(
    work: Work, taken: dict[str, list[float]], size: Size, model: str
) -> report.Record:
    """Medians over the turns; each share compares times of one turn."""
    first = 2 * size.batch * size.inputs * first_width(model, size)
    turns = []
    for square, of_first, copied, steps in zip(*taken.values(), strict=True):
        reached = 2 * SQUARE**3 / square, first / of_first
        compute = work.operations / max(reached)
        memory, step = work.bytes * copied / (8 * COPIED), steps / STEPS
        turns.append(
            {
                "2048^3, GFLOP/s": reached[0] / 1e9,
                "first level, GFLOP/s": reached[1] / 1e9,
                "copy, GB/s": 8 * COPIED / copied / 1e9,
                "operations, ms": 1e3 * compute,
                "bytes, ms": 1e3 * memory,
                "step, ms": 1e3 * step,
                "floor / step": max(compute, memory) / step,
                "sum / step": (compute + memory) / step,
            }
        )
    return {name: statistics.median(t[name] for t in turns) for name in turns[0]}


if __name__ == "__main__":
    main()
