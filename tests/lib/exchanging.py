"""Steps of devices that exchange rows of tables, to be held beside those of one.

By itself (`python -m lib.exchanging`) it trains on up to sixteen emulated devices, and
prints how far each number of them comes from one.
"""

import dataclasses
import json

import jax
import numpy as np
from lib.arrays import random_like

from ple_jax import config
from ple_jax.layout import IdColumn, Layout
from ple_jax.optim import rows as rules
from ple_jax.parallel.mesh import batch_shardings, make_mesh, state_shardings
from ple_jax.schema import Task
from ple_jax.train.step import Step
from ple_jax.train.trainer import step_of
from ple_jax.types import Batch

DOMAINS = 3
# Half the time to compile, where XLA still knows it.
QUICK = {"xla_cpu_use_fusion_emitters": False} if "0.10." in jax.__version__ else {}
# Each rule has two tables of its own, fused by their width; lengths divide by none.
RULES = {2: rules.sgd, 3: rules.adagrad, 5: rules.rowwise_adagrad}
COLUMNS = tuple((rows, width) for width in RULES for rows in (43, 11))
MODEL = {"kind": "shared_bottom", "expert_dims": [5], "tower_dims": [3]}


def step_on(devices: int, model: dict, columns: tuple, size: int, rate: float) -> Step:
    """Adagrad by rows, of tables of these (rows, width)."""
    ids = tuple(IdColumn(f"{i}", f"{i}", *column) for i, column in enumerate(columns))
    domains = tuple(map(str, range(DOMAINS)))
    layout = Layout(ids, (), (), (Task("click"), Task("buy")), domains)
    experiment = config.from_dict(
        {
            "model": model,
            "inputs": {"update": "rows", "row_order": "spread"},
            "train": {
                "optimizer": "adagrad",
                "learning_rate": rate,
                "batch_size": size,
            },
        }
    )
    room = {f"dim_{width}": 0.5 for _, width in columns} if devices > 1 else {}
    return step_of(experiment, layout, 7, make_mesh(devices), room)


def with_rules(step: Step) -> Step:
    """The step with another rule for the rows of each width."""
    optimizers = {f"dim_{width}": rule(0.0) for width, rule in RULES.items()}
    return dataclasses.replace(
        step, rows=dataclasses.replace(step.rows, optimizers=optimizers)
    )


def batch(seed, step, size):
    rng, layout = np.random.default_rng(seed), step.tables.layout
    draw = lambda kinds, *shape: rng.integers(0, kinds, shape).astype(np.int32)
    return Batch(
        ids=np.stack([draw(column.rows, size) for column in layout.ids], axis=1),
        bags={},
        numbers=np.zeros((size, 0), np.float32),
        domain=draw(DOMAINS, size),
        labels=draw(2, size, 2).astype(np.float32),
        observed=draw(4, size, 2) > 0,
        weights=rng.random(size, np.float32),
    )


def start(step):
    """A state of random parameters; programs that draw them take long to compile."""
    shapes = jax.eval_shape(step.init)
    kept = jax.tree.map(
        lambda s: np.full(s.shape, 0.1 if s.dtype == np.float32 else 0, s.dtype), shapes
    )

    def table(name, shape):
        rows = step.tables.rows(name)
        drawn = np.random.default_rng(0).normal(0, 0.3, (rows, shape[1]))
        return np.pad(drawn.astype(np.float32), [(0, shape[0] - rows), (0, 0)])

    tables = {n: table(n, t.shape) for n, t in shapes.trained["tables"].items()}
    model = random_like(shapes.trained["model"])
    return kept.replace(trained=kept.trained | {"model": model, "tables": tables})


def trained(step, size, steps):
    """The logits of some steps, and what they train."""
    logits, state, mesh = [], start(step), step.tables.mesh
    state = jax.device_put(state, state_shardings(mesh, state))
    update = jax.jit(step.update, donate_argnums=0, compiler_options=QUICK)
    for seed in range(steps):
        given = step.rows.prepare_on_host(batch(seed, step, size))
        given = jax.device_put(given, batch_shardings(mesh, given, steps=0))
        state, now = update(state, given)
        logits.append(np.asarray(now))
    tables = {
        name: np.asarray(table)[: step.tables.rows(name)]
        for name, table in state.trained["tables"].items()
    }
    return logits, state.trained | {"tables": tables}


def main() -> None:
    """Prints the largest difference from one device, and how far that one moved."""
    jax.config.update("jax_num_cpu_devices", 16)
    jax.config.update("jax_disable_most_optimizations", True)
    largest = lambda a, b: max(
        float(np.abs(np.subtract(x, y)).max())
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )
    of = lambda devices: with_rules(step_on(devices, MODEL, COLUMNS, 48, rate=0.3))
    wanted, first = trained(of(1), 48, 20), start(of(1)).trained["tables"]
    found = {
        devices: largest(trained(of(devices), 48, 20), wanted)
        for devices in (2, 3, 4, 8, 16)
    }
    moved = {
        n: largest(t[: len(first[n])], first[n]) for n, t in wanted[1]["tables"].items()
    }
    print(json.dumps({"apart": found, "moved": moved}))


if __name__ == "__main__":
    main()
