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

import argparse
import json
import os
import platform
import resource
import statistics
import time

import jax
import numpy as np

from ple_jax import models, weightings
from ple_jax.config import Train
from ple_jax.layers.tables import Inputs, Tables
from ple_jax.schema import IdColumn, Layout, NumberColumn, Task
from ple_jax.train import Trainer, make_trainer
from ple_jax.types import Batch

FIELDS, WIDTH, NUMBERS, TASKS = 16, 16, 8, ("click", "like")
STEPS, ROUNDS = 4, 7  # a dispatch, and dispatches of each way
# Name -> how tables are updated, by which rule.
WAYS = {
    "dense adam": ("dense", "same"),
    "rows adam": ("rows", "adam"),
    "rows adagrad": ("rows", "adagrad"),
    "rows rowwise_adagrad": ("rows", "rowwise_adagrad"),
}


def main() -> None:
    """Prints one line a vocabulary, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--memory", type=int, help="rows of one fused table")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.memory:
        results = [memory(asked.memory, asked.batch_size)]
    else:
        results = [speed(rows, asked.batch_size) for rows in asked.rows]
    if asked.json:
        print(json.dumps({"results": results, **machine()}, indent=2))
        return
    for result in results:
        print(", ".join(f"{name} {value:,}" for name, value in result.items()))
    print(", ".join(f"{name} {value}" for name, value in machine().items()))


def machine() -> dict:
    """What measured."""
    return {
        "backend": jax.default_backend(),
        "cores": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "jax": jax.__version__,
    }


def speed(rows: int, batch_size: int) -> dict:
    """Milliseconds a step of each way, with so many rows a field."""
    batches, trainers = draw(rows, batch_size), {}
    for name, (update, rule) in WAYS.items():
        trainers[name] = trainer_of(rows, batch_size, update, rule)
    states = {name: trainer.init() for name, trainer in trainers.items()}
    ready = {name: trainer.prepare(batches) for name, trainer in trainers.items()}
    times = {name: [] for name in ["find rows", *WAYS]}
    for turn in range(1 + ROUNDS):
        times["find rows"].append(timed(trainers["rows adam"].prepare, batches))
        for name, trainer in trainers.items():
            start = time.perf_counter()
            states[name], done = trainer.steps(states[name], ready[name], STEPS)
            done.block_until_ready()
            jax.block_until_ready(states[name].trained)
            times[name].append(time.perf_counter() - start)
        if turn == 0:  # compiled by now
            times = {name: [] for name in times}
    each = {n: round(1e3 * statistics.median(t) / STEPS, 1) for n, t in times.items()}
    return {"rows a field": rows, "batch": batch_size, **each}


def timed(function, *args) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def memory(rows: int, batch_size: int) -> dict:
    """The peak of the process while one table of so many rows trains."""
    per_field = rows // FIELDS
    trainer = trainer_of(per_field, batch_size, "rows", "rowwise_adagrad")
    state = trainer.init()
    for seed in range(3):
        batches = trainer.prepare(draw(per_field, batch_size, seed))
        state, done = trainer.steps(state, batches, STEPS)
        done.block_until_ready()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    return {"rows": rows, "peak, MB": peak // 10**6, "state, MB": held // 10**6}


def layout_of(rows: int) -> Layout:
    """So many rows a field."""
    return Layout(
        ids=tuple(IdColumn(f"id{i}", f"id{i}", rows) for i in range(FIELDS)),
        bags=(),
        numbers=tuple(NumberColumn(f"x{i}") for i in range(NUMBERS)),
        tasks=tuple(Task(name) for name in TASKS),
        domains=("all",),
    )


def trainer_of(rows: int, batch_size: int, update: str, rule: str) -> Trainer:
    """The common size, with tables updated this way."""
    inputs = Inputs(embedding_dim=WIDTH, update=update, row_optimizer=rule)
    model = models.build(
        "ple",
        num_tasks=len(TASKS),
        num_levels=2,
        experts_per_task=2,
        shared_experts=2,
        expert_dims=(64,),
        tower_dims=(32,),
    )
    train = Train(batch_size=batch_size, steps_per_dispatch=STEPS)
    tables = Tables(layout_of(rows), inputs)
    return make_trainer(model, tables, weightings.build("fixed"), train, 1000)


def draw(rows: int, batch_size: int, seed: int = 0) -> Batch:
    """Batches for one dispatch."""
    rng, shape = np.random.default_rng(seed), (STEPS, batch_size)
    return Batch(
        ids=rng.integers(0, rows, (*shape, FIELDS), np.int32),
        bags={},
        numbers=rng.normal(size=(*shape, NUMBERS)).astype(np.float32),
        domain=np.zeros(shape, np.int32),
        labels=rng.integers(0, 2, (*shape, len(TASKS))).astype(np.float32),
        observed=np.ones((*shape, len(TASKS)), bool),
        weights=np.ones(shape, np.float32),
    )


if __name__ == "__main__":
    main()
