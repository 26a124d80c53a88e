"""What does a step cost as tables grow: whole tables updated, or only a batch's rows?

    python benchmarks/cost_of_tables.py [--rows N ...] [--batch-size N] [--json]
    python benchmarks/cost_of_tables.py --memory ROWS [--json]
    python benchmarks/cost_of_tables.py --auto [--json]

The model is PLE with 16 fields of width 16, 8 numbers, 2 levels of 2 + 2 + 2 experts of
64, towers of 32 and 2 tasks. Ids are drawn uniformly, the hardest case: nearly every id
of a batch is another row. Dispatches take turns; the table shows median milliseconds.
Finding the rows of a batch on the host stands in a column of its own, because the
loader's thread does it beside the step.

With --memory one fused table of ROWS rows trains with row-wise Adagrad, and the peak
memory of the process is printed. With --auto whole epochs are timed, loader included,
by table rows per id of a batch: `inputs.update = "auto"` chooses by that ratio.
"""

import functools
import pathlib
import tempfile
from collections.abc import Sequence

import jax
from lib import machine, measure, problem, report
from lib.sizes import Size, arrays
from lib.training import Training

from ple_jax import config
from ple_jax.data.prepare import prepare
from ple_jax.data.store import Prepared
from ple_jax.datasets import synthetic
from ple_jax.train.trainer import Trainer
from ple_jax.types import Batch

STEPS = 4  # a dispatch
# Whole epochs: examples, rows a field, batch sizes, widths.
EPOCHS = 50_000, (2000, 6250, 20_000), (1024, 4096), (8, 64)
QUICK = 2000, (50,), (64,), (4,)
# Name -> how tables are updated, by which rule.
WAYS = {
    "dense adam": ("dense", "same"),
    "rows adam": ("rows", "adam"),
    "rows adagrad": ("rows", "adagrad"),
    "rows rowwise_adagrad": ("rows", "rowwise_adagrad"),
}


def main() -> None:
    """Print one line for each number of rows, or one JSON object."""
    parser = report.command(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--memory", type=int, help="rows of one fused table")
    parser.add_argument("--auto", action="store_true", help="time whole epochs")
    parser.add_argument("--rounds", type=int, default=7, help="dispatches of each way")
    asked = parser.parse_args()
    if asked.quick:
        asked.rows, asked.batch_size, asked.rounds = [1000], 64, 1
    if asked.memory:
        size = Size(asked.memory // Size.fields, batch=asked.batch_size)
        results = [memory(size)]
    elif asked.auto:
        results = epochs_of_both(*(QUICK if asked.quick else EPOCHS), asked.rounds)
    else:
        results = [
            speed(Size(n, batch=asked.batch_size), asked.rounds) for n in asked.rows
        ]
    report.show("ms a step, or MB", results, asked.json)


def speed(size: Size, rounds: int) -> report.Record:
    """Milliseconds a step, for each way."""
    batches, ways = draw(size), {}
    for name, (update, rule) in WAYS.items():
        trainer = with_tables(size, update, rule)
        if name == "rows adam":
            ways["find rows"] = functools.partial(trainer.prepare, batches)
        ways[name] = problem.dispatch(trainer, batches)
    each = measure.medians(measure.in_turn(ways, rounds))
    shown = {name: round(1e3 * s / STEPS, 1) for name, s in each.items()}
    return {"rows a field": size.rows, "batch": size.batch, **shown}


def memory(size: Size) -> report.Record:
    """The peak memory of the process while one fused table trains."""
    trainer = with_tables(size, "rows", "rowwise_adagrad")
    state = trainer.init()
    for seed in range(3):
        batches = trainer.prepare(draw(size, seed))
        state, done = trainer.steps(state, batches, STEPS)
        done.block_until_ready()
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    return {
        "rows": size.fields * size.rows,
        "peak, MB": machine.peak_memory() // 10**6,
        "state, MB": held // 10**6,
    }


def epochs_of_both(
    examples: int,
    values: Sequence[int],
    batch_sizes: Sequence[int],
    widths: Sequence[int],
    rounds: int,
) -> list[report.Record]:
    """Milliseconds a step in whole epochs, loader included, by either way."""
    results = []
    for count in values:
        with tempfile.TemporaryDirectory() as folder:
            source = synthetic.build(examples, categorical=Size.fields, values=count)
            data = prepare(source, pathlib.Path(folder) / "prepared")
            results += [
                epoch_of_both(data, batch_size, width, rounds)
                for batch_size in batch_sizes
                for width in widths
            ]
    return results


def epoch_of_both(
    data: Prepared, batch_size: int, width: int, rounds: int
) -> report.Record:
    """One line of `epochs_of_both`, with the choice of `auto`."""

    def training(update: str) -> Training:
        inputs = {"embedding_dim": width, "update": update}
        train = {"batch_size": batch_size, "devices": 1}
        return Training(config.from_dict({"inputs": inputs, "train": train}), data)

    auto = "rows" if training("auto").state.row_state else "dense"
    dense, by_rows = training("dense"), training("rows")
    ways = {"dense": dense.epoch, "by rows": by_rows.epoch}
    taken = measure.medians(measure.in_turn(ways, rounds))
    steps = dense.setup.loader.steps_per_epoch
    rows, ids = sum(c.rows for c in data.layout.ids), batch_size * len(data.layout.ids)
    return {
        "rows": rows,
        "rows an id": rows / ids,
        "batch": batch_size,
        "width": width,
        **{name: 1e3 * seconds / steps for name, seconds in taken.items()},
        "dense / rows": taken["dense"] / taken["by rows"],
        "auto": auto,
    }


def with_tables(size: Size, update: str, rule: str) -> Trainer:
    """PLE of this size, with tables updated this way."""
    return problem.trainer_for("ple", size, update=update, row_optimizer=rule)


def draw(size: Size, seed: int = 0) -> Batch:
    """Batches for one dispatch."""
    return problem.batches_of(arrays(size, STEPS, seed))


if __name__ == "__main__":
    main()
