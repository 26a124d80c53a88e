"""What does a table that devices share need in memory, while it is drawn and trains?

One table, whose rows emulated devices exchange, is drawn on them and trains for some
steps. Of both programs: what all devices hold by XLA's own plan (arguments, results and
temporaries, but for results that lie where arguments did), as a multiple of the table.
Then what was really held: the highest resident memory of the process, above that of
before.

    python benchmarks/large_table.py [--rows 40000000] [--devices 8] [--optimizer
        sgd | rowwise_adagrad | adagrad] [--steps 3] [--quick] [--json]
"""

import argparse

import jax
import numpy as np
from lib import machine, report

from ple_jax import config
from ple_jax.layout import IdColumn, Layout
from ple_jax.parallel.mesh import batch_shardings, make_mesh, state_shardings
from ple_jax.plans.program import memory
from ple_jax.schema import Task
from ple_jax.train.trainer import jitted, step_of
from ple_jax.types import Batch, PyTree


def experiment(asked: argparse.Namespace) -> config.Experiment:
    """A small model on a large table."""
    return config.from_dict(
        {
            "model": {"kind": "shared_bottom", "expert_dims": [64], "tower_dims": []},
            "inputs": {
                "update": "rows",
                "embedding_dim": asked.width,
                "row_order": "spread",
                "row_optimizer": asked.optimizer,
            },
            "train": {"optimizer": "sgd", "batch_size": asked.examples * asked.devices},
        }
    )


def batches_of(asked: argparse.Namespace) -> Batch:
    """Batches of log-uniform ids, of as many steps as are asked for."""
    rng, shape = np.random.default_rng(0), (asked.steps, asked.examples * asked.devices)
    ids = np.exp(rng.random((*shape, 1)) * np.log(asked.rows)).astype(np.int32)
    ones = np.ones((*shape, 1), np.float32)
    domain = np.zeros(shape, np.int32)
    return Batch(ids, {}, ones[..., :0], domain, ones, ones > 0, ones[..., 0])


def bytes_of(tree: PyTree) -> int:
    """Bytes of all arrays, or shapes of arrays."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def planned(program: jax.stages.Compiled, devices: int) -> int:
    """Bytes that all devices hold while a program runs, by XLA's plan."""
    plan = memory(program)
    own = plan.arguments + plan.results - plan.donated + plan.temporary
    return own * devices


def measured(asked: argparse.Namespace) -> report.Record:
    """What is planned and held, in GB, and as a multiple of the table."""
    mesh, count = make_mesh(asked.devices), asked.devices
    column = IdColumn("id", "id", asked.rows)
    layout = Layout((column,), (), (), (Task("click"),), ("all",))
    batches, chosen = batches_of(asked), experiment(asked)
    rows = step_of(chosen, layout, asked.steps, mesh).rows
    step = step_of(chosen, layout, asked.steps, mesh, rows.shares(batches))
    shapes = jax.eval_shape(step.init)
    places = state_shardings(mesh, shapes)
    placed = jax.tree.map(lambda x, to: x.update(sharding=to), shapes, places)
    batches = step.rows.prepare_on_host(batches)
    batches = jax.device_put(batches, batch_shardings(mesh, batches))
    init = jax.jit(step.init, out_shardings=places).lower().compile()
    train = jitted(step).steps.lower(placed, batches, asked.steps).compile()
    before = machine.resident_memory()
    state, _ = train(init(), batches, asked.steps)
    jax.block_until_ready(state)
    table = bytes_of(shapes.trained["tables"])
    found = {
        "table": table,
        "its optimizer's state": bytes_of(shapes.row_state),
        "planned to draw": planned(init, count),
        "planned to train": planned(train, count),
        "held": machine.peak_memory() - before,
    }
    in_gb = {f"{name}, GB": size / 1e9 for name, size in found.items()}
    times = {f"{name} / table": size / table for name, size in found.items()}
    return {"rows": asked.rows, "devices": count, **in_gb, **times}


def main() -> None:
    """Print one line."""
    parser = report.command(__doc__)
    parser.add_argument("--rows", type=int, default=40_000_000)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--examples", type=int, default=1024, help="of each device")
    parser.add_argument("--steps", type=int, default=3)
    rules = ["rowwise_adagrad", "sgd", "adagrad"]
    parser.add_argument("--optimizer", choices=rules, default=rules[0])
    asked = parser.parse_args()
    if asked.quick:
        asked.rows, asked.devices, asked.examples = 300_000, 2, 16
    jax.config.update("jax_num_cpu_devices", asked.devices)
    report.show("a table that devices share", [measured(asked)], asked.json)


if __name__ == "__main__":
    main()
