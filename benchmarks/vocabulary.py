"""What a step costs as tables grow: whole tables updated, or only the rows of a batch.

    python benchmarks/vocabulary.py [--rows N ...] [--batch-size N] [--json]
    python benchmarks/vocabulary.py --memory ROWS [--json]
    python benchmarks/vocabulary.py --auto [--json]

16 fields of width 16 and 8 numbers, PLE of 2 levels of 2 + 2 + 2 experts of 64, towers
of 32, 2 tasks, ids drawn uniformly: the hardest case, where nearly every id of a batch
is another row. Milliseconds are medians of interleaved dispatches; finding the rows of
a batch on the host (in the loader's thread, beside the step) stands apart.
With --memory one fused table of so many rows trains with row-wise Adagrad, and the
peak of the process is printed. With --auto whole epochs are timed, loader included, by
rows of a table for each id of a batch: what `inputs.update = "auto"` is to choose by.
"""

import functools
import math
import pathlib
import tempfile
from collections.abc import Sequence

import _measure
import jax
from input import epochs
from peers import on_device, problem
from peers.sizes import Size, arrays

from ple_jax import config
from ple_jax.data.prepare import prepare
from ple_jax.data.store import Prepared
from ple_jax.datasets import synthetic
from ple_jax.embeddings.choose import auto_rows
from ple_jax.parallel.mesh import make_mesh
from ple_jax.train.feed import feed_of
from ple_jax.train.setup import Setup
from ple_jax.train.step import Trainer, trainer_of
from ple_jax.types import Batch

STEPS = 4  # a dispatch
# Of whole epochs: examples, rows a field, batch sizes, widths.
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
    """Prints one line a vocabulary, or one JSON object."""
    parser = _measure.command(__doc__)
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
    _measure.show("ms a step, or MB", results, asked.json)


def speed(size: Size, rounds: int) -> _measure.Record:
    """Milliseconds a step of each way."""
    batches, ways = draw(size), {}
    for name, (update, rule) in WAYS.items():
        trainer = with_tables(size, update, rule)
        if name == "rows adam":
            ways["find rows"] = functools.partial(trainer.prepare, batches)
        ways[name] = on_device.dispatch(trainer, batches)
    each = _measure.medians(_measure.in_turn(ways, rounds))
    shown = {name: round(1e3 * s / STEPS, 1) for name, s in each.items()}
    return {"rows a field": size.rows, "batch": size.batch, **shown}


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


def epochs_of_both(
    examples: int,
    values: Sequence[int],
    batch_sizes: Sequence[int],
    widths: Sequence[int],
    rounds: int,
) -> list[_measure.Record]:
    """Milliseconds a step in whole epochs, by either way, with the loader's share."""
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
) -> _measure.Record:
    """One line of them, and what `auto` chooses there."""
    train = {"batch_size": batch_size, "devices": 1}
    of = {
        update: config.from_dict(
            {"inputs": {"embedding_dim": width, "update": update}, "train": train}
        )
        for update in ("dense", "rows", "auto")
    }
    loader, mesh = Setup([of["auto"]], data).loader, make_mesh(1)
    trainers = {
        update: trainer_of(experiment, data.layout, loader.steps_per_epoch)
        for update, experiment in of.items()
    }
    by_rows = bool(jax.eval_shape(trainers.pop("auto").init).row_state)
    auto = "rows" if by_rows else "dense"
    ways = {
        update: epochs(trainer, feed_of(loader, trainer, of[update].train, mesh))
        for update, trainer in trainers.items()
    }
    taken = _measure.medians(_measure.in_turn(ways, rounds))
    step = {name: 1e3 * s / loader.steps_per_epoch for name, s in taken.items()}
    rows, ids = sum(c.rows for c in data.layout.ids), batch_size * len(data.layout.ids)
    facts = {"rows": rows, "rows an id": rows / ids, "batch": batch_size}
    ratio = {"dense / rows": step["dense"] / step["rows"], "auto": auto}
    return (
        facts
        | {"width": width, "dense": step["dense"], "by rows": step["rows"]}
        | ratio
    )


def with_tables(size: Size, update: str, rule: str) -> Trainer:
    """PLE of this size, with tables updated this way."""
    inputs = {"update": update, "row_optimizer": rule}
    experiment = problem.experiment_of("ple", size, inputs, STEPS)
    return trainer_of(experiment, problem.layout_of(size))


def draw(size: Size, seed: int = 0) -> Batch:
    """Batches for one dispatch."""
    return problem.batches_of(arrays(size, STEPS, seed))


def updates(size: Size, steps: int, rounds: int) -> list[_measure.Record]:
    """PLE with whole tables updated by Adam, and with the rows of a batch."""
    batches = problem.batches_of(arrays(size, steps))
    ways = {
        update: on_device.dispatch(
            on_device.trainer_for("ple", size, update=update), batches
        )
        for update in ("dense", "rows")
    }
    taken = _measure.medians(_measure.in_turn(ways, rounds, within=on_device.WITHIN))
    shown = {update: 1e3 * seconds / steps for update, seconds in taken.items()}
    rows = size.fields * size.rows
    ratio = shown["dense"] / shown["rows"]
    return [{"table": rows, "batch": size.batch, **shown, "dense / rows": ratio}]


def crossings(records: list[_measure.Record]) -> list[str]:
    """From how many rows on updating by rows is the faster, for each batch size."""
    least = {
        batch: auto_rows(batch * Size.fields, Size.width)
        for batch in {r["batch"] for r in records}
    }
    return [
        f"batch {batch}: updates by rows are the faster "
        f"{crossing({r['table']: r['dense / rows'] for r in of_batch})}; "
        f"`auto` takes them from {least[batch]:,} rows on."
        for batch in dict.fromkeys(r["batch"] for r in records)
        for of_batch in [[r for r in records if r["batch"] == batch]]
    ]


def crossing(ratios: dict[int, float]) -> str:
    """From where on all ratios (rows -> dense / rows) are above one.

    Between two numbers of rows the logarithm of the ratio goes straight with theirs.
    """
    slower = [rows for rows, ratio in ratios.items() if ratio <= 1]
    faster = [rows for rows in ratios if rows > max(slower, default=0)]
    if not faster:
        return f"nowhere up to {max(ratios):,} rows"
    if not slower:
        return f"from {min(ratios):,} rows or fewer on"
    before, after = max(slower), min(faster)
    low, high = -math.log(ratios[before]), math.log(ratios[after])
    at = before * (after / before) ** (low / (low + high))
    return f"from about {at:,.0f} rows on"


if __name__ == "__main__":
    main()
