"""What do devices send each other in a step, as their number grows?

Tables that devices exchange rows of, beside the same tables left to XLA, at a fixed
batch for each device. Ids are log-uniform. All is counted in the compiled program of
emulated devices: nothing is timed.

    python benchmarks/exchange.py [--devices 4 16] [--quick] [--json]
    python benchmarks/exchange.py --balance  # the busiest owner, beside the mean
    python benchmarks/exchange.py --huge     # compiles for a table of 2^31 - 1 rows
    python benchmarks/exchange.py --small    # tables that are updated whole, each way
"""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Mapping

import jax
import numpy as np
from lib import report

from ple_jax import config
from ple_jax.embeddings.sharded import Exchange
from ple_jax.embeddings.spread import spread, spread_length
from ple_jax.layout import IdColumn, Layout
from ple_jax.parallel.mesh import batch_shardings, make_mesh, state_shardings
from ple_jax.schema import Task
from ple_jax.train.step import Step
from ple_jax.train.trainer import step_of
from ple_jax.types import Batch

BYTES = {"f32": 4, "s32": 4, "u32": 4, "bf16": 2, "pred": 1, "s8": 1, "u8": 1}
KINDS = "all-to-all", "all-gather", "all-reduce", "reduce-scatter", "collective-permute"
SIZES = 1 / 4, 1, 4, 16  # of small tables, for each example of a device
OPERATION = re.compile(rf"= (.*?) ({'|'.join(KINDS)})(?:-start)?\(")


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


PLE = {"kind": "ple", "expert_dims": [64], "tower_dims": [32]}
TINY = {"kind": "shared_bottom", "expert_dims": [4], "tower_dims": []}


def experiment(
    batch: int, order: str, update: str = "rows", model: Mapping = PLE
) -> config.Experiment:
    """A model with tables of width 16, by default updated by rows."""
    return config.from_dict(
        {
            "model": dict(model),
            "inputs": {"update": update, "embedding_dim": 16, "row_order": order},
            "train": {"optimizer": "adagrad", "batch_size": batch},
        }
    )


def layout_of(fields: int, rows: int, tasks: int = 2) -> Layout:
    """Fields with a table each."""
    columns = tuple(IdColumn(f"f{i}", f"f{i}", rows) for i in range(fields))
    return Layout(columns, (), (), tuple(map(Task, ("click", "buy")[:tasks])), ("all",))


def batch_of(size: int, fields: int, rows: int, tasks: int = 2) -> Batch:
    """Two batches of log-uniform ids."""
    rng = np.random.default_rng(0)
    ids = np.exp(rng.random((2, size, fields)) * np.log(rows)).astype(np.int32)
    ones = np.ones((2, size, tasks), np.float32)
    numbers, domain = ones[:, :, :0], np.zeros((2, size), np.int32)
    return Batch(ids, {}, numbers, domain, ones, ones > 0, ones[:, :, 0])


def step_of_devices(
    devices: int, exchanges: bool, each: int, fields: int, rows: int
) -> report.Record:
    """What a step sends and needs, for `each` examples on each of the devices."""
    size = each * devices
    chosen = experiment(size, "spread" if exchanges else "frequency")
    batches, layout = batch_of(size, fields, rows), layout_of(fields, rows)
    args = chosen, layout, 7, make_mesh(devices)
    shares = step_of(*args).rows.shares(batches) if exchanges else {}
    program = compiled(step_of(*args, shares), batches)
    found = sent(program.as_text(), devices)
    used = program.memory_analysis().temp_size_in_bytes
    return {
        "devices": devices,
        "rows": "exchanged" if exchanges else "left to XLA",
        "MB sent": sum(found.values()),
        **found,
        "temporary, MiB": used / 2**20,
    }


def compiled(step: Step, batches: Batch) -> jax.stages.Compiled:
    """Two steps, as devices run them."""
    mesh, batches = step.tables.mesh, step.rows.prepare_on_host(batches)
    shapes, copied = jax.eval_shape(step.init), step.tables.replicated
    place = lambda x, to: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=to)
    places = state_shardings(mesh, shapes, replicated=copied)
    state = jax.tree.map(place, shapes, places)
    batches = jax.tree.map(place, batches, batch_shardings(mesh, batches))
    return jax.jit(step.steps, donate_argnums=0).lower(state, batches, 2).compile()


def small(devices: int, each: int, rows: int) -> report.Record:
    """What a step of a tiny model sends by one table: in each way, and as chosen."""
    size, mesh = each * devices, make_mesh(devices)
    batches, layout = batch_of(size, 1, rows, 1), layout_of(1, rows, 1)
    args = experiment(size, "spread", "dense", TINY), layout, 7, mesh
    dense, found = step_of(*args), {}
    for name, copied in {"split": (), "a copy each": dense.tables.fused}.items():
        tables = dataclasses.replace(dense.tables, replicated=frozenset(copied))
        found[name] = dataclasses.replace(dense, tables=tables)
    args = experiment(size, "spread", "rows", TINY), layout, 7, mesh
    found["exchanged by rows"] = step_of(*args, step_of(*args).rows.shares(batches))
    each_sends = {
        name: sum(sent(compiled(step, batches).as_text(), devices).values())
        for name, step in found.items()
    }
    chosen = "a copy each" if dense.tables.replicated else "split"
    return {"devices": devices, "rows": rows, **each_sends, "chosen": chosen}


def balance(fields: int, devices: int, rows: int = 2**20) -> report.Record:
    """The rows that the busiest owner is asked for, beside the mean of all."""
    rng, end = np.random.default_rng(0), fields * rows
    ids = np.exp(rng.random((4096, fields)) * np.log(rows)).astype(np.int32)
    ids += np.arange(fields, dtype=np.int32) * rows
    own = -(-spread_length(end) // devices)

    def busiest(places: np.ndarray) -> float:
        slices = [np.unique(s) // own for s in places.reshape(devices, -1)]
        asked = sum(np.bincount(s, minlength=devices) for s in slices)
        return float(asked.max() / asked.mean())

    found = {"by frequency": busiest(ids), "spread": busiest(spread(ids, end))}
    return {"fields": fields, "devices": devices, **found}


def huge(devices: int) -> report.Record:
    """Compiles the exchange of a table of as many rows as int32 can number."""
    mesh, rows = make_mesh(devices), 2**31 - 1
    exchange = Exchange(mesh, -(-rows // devices) * devices, rows, 0.2)

    def read(table: jax.Array, ids: jax.Array) -> jax.Array:
        touched = exchange.with_part(exchange.find(ids))
        return exchange.read(table, touched, touched.slots, ())

    shape = jax.ShapeDtypeStruct
    table = shape((exchange.length, 16), np.float32)
    ids = shape((64 * devices, 8), np.int32)
    found = sent(jax.jit(read).lower(table, ids).compile().as_text(), devices)
    return {"rows": rows, "devices": devices, "MB sent": sum(found.values())}


def main() -> None:
    """Print one line for each number of devices and way."""
    parser = report.command(__doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--examples", type=int, default=1024, help="of each device")
    parser.add_argument("--fields", type=int, default=8)
    parser.add_argument("--rows", type=int, default=2**17, help="of each field")
    parser.add_argument("--balance", action="store_true")
    parser.add_argument("--huge", action="store_true")
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    if asked.quick:
        asked.devices, asked.examples, asked.fields, asked.rows = [2], 16, 2, 1000
    jax.config.update("jax_num_cpu_devices", max(asked.devices))
    sizes, ways = (asked.examples, asked.fields, asked.rows), (False, True)
    if asked.balance:
        results = [balance(f, d) for f in (1, 8) for d in (8, 64)]
    elif asked.huge:
        results = [huge(max(asked.devices))]
    elif asked.small:
        rows = [16] if asked.quick else [int(asked.examples * n) for n in SIZES]
        results = [small(d, asked.examples, r) for d in asked.devices for r in rows]
    else:
        results = [step_of_devices(d, x, *sizes) for d in asked.devices for x in ways]
    report.show(f"of a device a step, {asked.examples} examples", results, asked.json)


if __name__ == "__main__":
    main()
