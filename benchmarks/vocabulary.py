"""What a step costs as tables grow: whole tables updated, or only the rows of a batch.

    python benchmarks/vocabulary.py [--rows N ...] [--batch-size N] [--json]
    python benchmarks/vocabulary.py --memory ROWS [--json]

16 fields of width 16 and 8 numbers, PLE of 2 levels of 2 + 2 + 2 experts of 64, towers
of 32, 2 tasks, ids drawn uniformly: the hardest case, where nearly every id of a batch
is another row. Milliseconds are medians of interleaved dispatches; finding the rows of
a batch on the host (in the loader's thread, beside the step) stands apart.
With --memory one fused table of so many rows trains with row-wise Adagrad, and the
peak of the process is printed.
"""

import functools

import _measure
import jax
from peers import problem
from peers.sizes import Size, arrays

from ple_jax.train import Trainer, trainer_of
from ple_jax.types import Batch

STEPS = 4  # a dispatch
# Name -> how tables are updated, by which rule.
WAYS = {
    "dense adam": ("dense", "same"),
    "rows adam": ("rows", "adam"),
    "rows adagrad": ("rows", "adagrad"),
    "rows rowwise_adagrad": ("rows", "rowwise_adagrad"),
}


def main() -> None:
    """Prints one line a vocabulary, or one JSON object."""
    parser = _measure.command(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--memory", type=int, help="rows of one fused table")
    parser.add_argument("--rounds", type=int, default=7, help="dispatches of each way")
    asked = parser.parse_args()
    if asked.quick:
        asked.rows, asked.batch_size, asked.rounds = [1000], 64, 1
    if asked.memory:
        size = Size(asked.memory // Size.fields, batch=asked.batch_size)
        results = [memory(size)]
    else:
        results = [
            speed(Size(n, batch=asked.batch_size), asked.rounds) for n in asked.rows
        ]
    _measure.show("ms a step, or MB", results, asked.json)


def speed(size: Size, rounds: int) -> _measure.Record:
    """Milliseconds a step of each way."""
    batches, ways = draw(size), {}
    for name, (update, rule) in WAYS.items():
        trainer = with_tables(size, update, rule)
        if name == "rows adam":
            ways["find rows"] = functools.partial(trainer.prepare, batches)
        ways[name] = dispatch(trainer, batches)
    each = _measure.medians(_measure.in_turn(ways, rounds))
    shown = {name: round(1e3 * s / STEPS, 1) for name, s in each.items()}
    return {"rows a field": size.rows, "batch": size.batch, **shown}


def dispatch(trainer: Trainer, batches: Batch):
    """A function that takes `STEPS` steps from where it stopped before."""
    state, ready = trainer.init(), trainer.prepare(batches)

    def run():
        nonlocal state
        state, done = trainer.steps(state, ready, STEPS)
        return state.trained, done

    return run


def memory(size: Size) -> _measure.Record:
    """The peak of the process while one fused table trains."""
    trainer = with_tables(size, "rows", "rowwise_adagrad")
    state = trainer.init()
    for seed in range(3):
        batches = trainer.prepare(draw(size, seed))
        state, done = trainer.steps(state, batches, STEPS)
        done.block_until_ready()
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    return {
        "rows": size.fields * size.rows,
        "peak, MB": _measure.peak_memory() // 10**6,
        "state, MB": held // 10**6,
    }


def with_tables(size: Size, update: str, rule: str) -> Trainer:
    """PLE of this size, with tables updated this way."""
    inputs = {"update": update, "row_optimizer": rule}
    experiment = problem.experiment_of("ple", size, inputs, STEPS)
    return trainer_of(experiment, problem.layout_of(size))


def draw(size: Size, seed: int = 0) -> Batch:
    """Batches for one dispatch."""
    return problem.batches_of(arrays(size, STEPS, seed))


if __name__ == "__main__":
    main()
