"""What devices send each other in a step, counted in the compiled program.

Tables that devices exchange rows of, beside the same tables left to XLA, at a fixed
batch per device. Ids are log-uniform. Devices are emulated, so that nothing is timed.

    python benchmarks/exchange.py
    python benchmarks/exchange.py --balance    # the busiest owner, beside the mean
    python benchmarks/exchange.py --huge       # lowers a table of 2^31 - 1 rows
"""

import argparse
import math
import re
from collections import Counter

import jax
import numpy as np

from ple_jax import config
from ple_jax.embeddings.sharded import Exchange
from ple_jax.embeddings.spread import spread, spread_length
from ple_jax.layout import IdColumn, Layout
from ple_jax.parallel.mesh import batch_shardings, make_mesh, state_shardings
from ple_jax.schema import Task
from ple_jax.train.trainer import step_of
from ple_jax.types import Batch

BYTES = {"f32": 4, "s32": 4, "u32": 4, "bf16": 2, "pred": 1, "s8": 1, "u8": 1}
OPERATION = re.compile(
    r"= (.*?) (all-gather|all-reduce|all-to-all|reduce-scatter|collective-permute)"
    r"(?:-start)?\("
)


def sent(program: str, devices: int) -> dict[str, float]:
    """MB that each device sends, by kind of collective, in one pass of the program.

    A ring sends (D - 1) / D of what is gathered or exchanged, and twice that of a sum.
    """
    total: Counter[str] = Counter()
    for shapes, kind in OPERATION.findall(program):
        size = 0.0
        for dtype, dims in re.findall(r"(\w+)\[([\d,]*)\]", shapes):
            size += BYTES[dtype] * math.prod(int(d) for d in dims.split(",") if d)
        size *= (devices - 1) / devices * (2 if kind == "all-reduce" else 1)
        total[kind] += size / 1e6
    return dict(total)


def experiment(batch: int, order: str) -> config.Experiment:
    """PLE with tables that are updated by rows."""
    return config.from_dict(
        {
            "model": {"kind": "ple", "expert_dims": [64], "tower_dims": [32]},
            "inputs": {"update": "rows", "embedding_dim": 16, "row_order": order},
            "train": {"optimizer": "adagrad", "batch_size": batch},
        }
    )


def batch_of(size: int, fields: int, rows: int) -> Batch:
    """Two batches of log-uniform ids."""
    rng = np.random.default_rng(0)
    ids = np.exp(rng.random((2, size, fields)) * np.log(rows)).astype(np.int32)
    ones = np.ones((2, size, 2), np.float32)
    numbers, domain = ones[:, :, :0], np.zeros((2, size), np.int32)
    return Batch(ids, {}, numbers, domain, ones, ones > 0, ones[:, :, 0])


def compiled(
    devices: int, exchanges: bool, order: str, each: int, fields: int, rows: int
) -> str:
    """The program of a step, for `each` examples on each of the devices."""
    mesh, size = make_mesh(devices), each * devices
    columns = tuple(IdColumn(f"f{i}", f"f{i}", rows) for i in range(fields))
    layout = Layout(columns, (), (), (Task("click"), Task("buy")), ("all",))
    chosen, batches = experiment(size, order), batch_of(size, fields, rows)
    plain = step_of(chosen, layout, 7, mesh)
    shares = plain.rows.shares(batches) if exchanges else {}
    step = step_of(chosen, layout, 7, mesh, shares)
    batches = step.rows.prepare_on_host(batches)
    place = lambda x, to: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=to)
    shapes = jax.eval_shape(step.init)
    state = jax.tree.map(place, shapes, state_shardings(mesh, shapes))
    batches = jax.tree.map(place, batches, batch_shardings(mesh, batches))
    steps = jax.jit(step.steps, donate_argnums=0).lower(state, batches, 2).compile()
    used = steps.memory_analysis()
    print(f"  temporary memory {used.temp_size_in_bytes / 2**20:.1f} MiB")
    return steps.as_text()


def say_balance(rows: int = 2**20, batch: int = 4096) -> None:
    """The rows that the busiest owner is asked for, beside the mean of all."""
    rng = np.random.default_rng(0)
    for fields in (1, 8):
        ids = np.exp(rng.random((batch, fields)) * np.log(rows)).astype(np.int32)
        ids += np.arange(fields, dtype=np.int32) * rows
        for devices in (8, 64):
            found = []
            for order in (lambda r, _: r, spread):
                slices = order(ids, fields * rows).reshape(devices, -1)
                own = -(-spread_length(fields * rows) // devices)
                asked = [np.bincount(np.unique(s) // own) for s in slices]
                total = sum(np.pad(a, (0, devices - len(a))) for a in asked)
                found.append(total.max() / total.mean())
            print(f"{fields} fields, {devices} devices: {found[0]:.1f} {found[1]:.2f}")


def lower_huge(devices: int = 8) -> None:
    """Lowers the exchange of a table that has as many rows as int32 can number."""
    mesh, rows = make_mesh(devices), 2**31 - 1
    exchange = Exchange(mesh, -(-rows // devices) * devices, rows, 0.2)

    def read(table, ids):
        touched = exchange.with_part(exchange.find(ids))
        return exchange.read(table, touched, touched.slots, ())

    shapes = (exchange.length, 16), np.float32, (64 * devices, 8), np.int32
    table, ids = (jax.ShapeDtypeStruct(*shapes[i : i + 2]) for i in (0, 2))
    print(len(jax.jit(read).lower(table, ids).compile().as_text()), "characters")


def main() -> None:
    """Counts, and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--examples", type=int, default=1024, help="of each device")
    parser.add_argument("--fields", type=int, default=8)
    parser.add_argument("--rows", type=int, default=2**17, help="of each field")
    parser.add_argument("--balance", action="store_true")
    parser.add_argument("--huge", action="store_true")
    asked = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", max(asked.devices))
    if asked.balance:
        say_balance()
    elif asked.huge:
        lower_huge()
    else:
        sizes = asked.examples, asked.fields, asked.rows
        for devices in asked.devices:
            for name, of in ("XLA", (False, "frequency")), ("ours", (True, "spread")):
                found = sent(compiled(devices, *of, *sizes), devices)
                parts = ", ".join(f"{v:.2f} {k}" for k, v in found.items())
                print(f"{devices:>3} {name:<5} {sum(found.values()):.2f} MB: {parts}")


if __name__ == "__main__":
    main()
