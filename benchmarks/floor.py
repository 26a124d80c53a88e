"""How close is a training step to what this machine can do at all?

    python benchmarks/floor.py [--sizes SIZE ...] [--models NAME ...] [--json]

The step's operations and bytes are counted from the model's shapes (`peers/count.py`),
the machine's own rates of float32 products and of copying are measured in turn with the
step, so that an unsteady machine hurts both alike. The floor is the longer of what the
operations take at the rate of the best product, and the bytes at that of the copy; the
sum is both, one after the other. `XLA, GFLOP` is the compiler's own count, which has
activations, optimizer and metrics too. The step is the library's: jitted, donated, its
batches prepared and on the device.
"""

import statistics
from collections.abc import Callable
from typing import Any

import _measure
import jax
from peers import count, problem
from peers.sizes import QUICK, SIZES, Size, arrays

from ple_jax.train.step import Trainer, trainer_of

STEPS = 2  # in a dispatch
SQUARE, COPIED = 2048, 2**26  # the large product's sides; floats of the copy


def main() -> None:
    """Prints one line for each size and model."""
    parser = _measure.command(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--models", nargs="+", choices=count.MODELS)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    asked.rounds = 1 if asked.quick else asked.rounds
    sizes = QUICK if asked.quick else {name: SIZES[name] for name in asked.sizes}
    results = [
        {"size": name, "model": model} | measured(model, size, asked.rounds)
        for name, size in sizes.items()
        for model in asked.models or count.MODELS
    ]
    _measure.show("the step and its floor", results, asked.json)


def measured(model: str, size: Size, rounds: int) -> _measure.Record:
    """Work, rates, times, and the share of the floor in the measured step."""
    batches = problem.batches_of(arrays(size, STEPS))
    experiment = problem.experiment_of(model, size, steps_per_dispatch=STEPS)
    trainer = trainer_of(experiment, problem.layout_of(size))
    state, ready = trainer.init(), jax.device_put(trainer.prepare(batches))
    rows = count.rows(batches.ids, size, by_rows=bool(state.row_state))
    work = count.work(model, size, rows)
    compiled = operations_of_xla(trainer, state, ready)
    taken = _measure.in_turn(ways(model, size, trainer, state, ready), rounds)
    return {
        "GFLOP": work.operations / 1e9,
        "XLA, GFLOP": compiled / 1e9,
        "MB": work.bytes / 1e6,
        **times(work, taken, size, model),
    }


def operations_of_xla(trainer: Trainer, state: Any, batches: Any) -> float:
    """The compiler's count for one step: it counts the body of the loop once."""
    costs = trainer.steps.lower(state, batches, 1).compile().cost_analysis()
    return costs["flops"]


def ways(
    model: str, size: Size, trainer: Trainer, state: Any, batches: Any
) -> dict[str, Callable[[], Any]]:
    """What takes turns: two products, a copy, and the step."""

    def step():
        nonlocal state
        state, done = trainer.steps(state, batches, STEPS)
        return state.trained, done

    width = count.first_width(model, size)
    return {
        "square": _measure.product(SQUARE, SQUARE, SQUARE),
        "first": _measure.product(size.batch, size.inputs, width),
        "copy": _measure.copy(COPIED),
        "step": step,
    }


def times(
    work: count.Work, taken: dict[str, list[float]], size: Size, model: str
) -> _measure.Record:
    """Medians over the turns; shares are of the same turn."""
    first = 2 * size.batch * size.inputs * count.first_width(model, size)
    turns = []
    for square, of_first, copied, steps in zip(*taken.values(), strict=True):
        rates = 2 * SQUARE**3 / square, first / of_first
        compute = work.operations / max(rates)
        memory, step = work.bytes * copied / (8 * COPIED), steps / STEPS
        turns.append(
            {
                "2048^3, GFLOP/s": rates[0] / 1e9,
                "first level, GFLOP/s": rates[1] / 1e9,
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
