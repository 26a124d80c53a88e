"""What one GPU makes of it all: rates, steps, tables, domains, and PyTorch beside us.

    python benchmarks/gpu.py [--torch-python PATH] [--minutes 8] [--quick] [--json]

Five questions, each with its share of the time, each printed as soon as it is measured;
what would not fit the time that is left is skipped, and says so. Rates: products of
large matrices, and a copy. The step: PLE and MMoE as in `peers.py`, with the shares of
those rates that the work of `peers/count.py` reaches; it counts four bytes a float in
every dtype. Tables: whole tables updated, or only the rows of a batch, and from how
many rows on the latter is the faster. Domains: as in `domains.py`. PyTorch: the strong
line of `peers.py`, compiled, its turns between ours. float32 products are of the
default precision, TF32 where a GPU has it, in PyTorch too. Without a GPU all sizes are
small. With --json the tables go to stderr.
"""

import argparse
import dataclasses
import functools
import importlib.util
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

import _measure
import domains
import jax
from _measure import Record, Section
from peers import count, on_device, problem
from peers.protocol import Child
from peers.sizes import QUICK, SIZES, Size, arrays

from ple_jax import row_optimizers, writers
from ple_jax.layers.star import StarNetwork

NO_GPU = (
    "No GPU here: these figures only show that the script runs; "
    "there is no GPU figure yet."
)
NO_TORCH = "PyTorch is not in this Python; --torch-python PATH names one that has it."
MINUTES = 8
# Of those minutes; what is not given out here is for the start.
SECONDS = {"rates": 20, "step": 170, "tables": 110, "domains": 50, "torch": 110}
ROWS = (10**4, 3 * 10**4, 10**5, 3 * 10**5, 10**6, 3 * 10**6)


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        side: Of the large product's matrices.
        copied: Floats of the copy.
        queued: Calls of a product, a copy or a step of domains in a turn.
        examples: In a dispatch: with batches of B, examples / B steps, or two.
        rounds: Turns.
        sizes: Of the step, by name; the more important first.
        rows: Of a field, of tables.
        batches: Batch sizes of tables and domains.
        domains: How many.
    """

    side: int
    copied: int
    queued: int
    examples: int
    rounds: int
    sizes: dict[str, Size]
    rows: tuple[int, ...]
    batches: tuple[int, ...]
    domains: tuple[int, ...]

    def steps(self, batch: int) -> int:
        """In a dispatch."""
        return max(2, self.examples // batch)


def sizes_of(batches: dict[str, tuple[int, ...]]) -> dict[str, Size]:
    """The sizes of `peers.py`, with these batches."""
    return {
        f"{name}, batch {batch}": dataclasses.replace(SIZES[name], batch=batch)
        for name, each in batches.items()
        for batch in each
    }


def scale_of(quick: bool) -> Scale:
    """As large as the device is worth."""
    if quick:
        return Scale(256, 2**20, 1, 128, 1, QUICK, (100,), (64,), (3,))
    if jax.default_backend() == "cpu":
        sizes = sizes_of({"common-10k": (512,), "mtreclib": (64,)})
        return Scale(1024, 2**24, 1, 256, 3, sizes, ROWS[:3], (512,), (1, 4, 16))
    each = {"common-100k": (4096, 65_536), "mtreclib": (2048, 65_536)}
    each |= {"common-1m": (4096, 65_536), "common-10k": (4096,)}
    batches, numbers = (4096, 65_536), (1, 4, 16, 64)
    return Scale(8192, 2**28, 20, 2**18, 5, sizes_of(each), ROWS, batches, numbers)


def main() -> None:
    """Prints a table a section, and what the figures are of."""
    start = time.monotonic()
    # What is not needed of the GPU's memory is left to PyTorch.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    asked = arguments()
    with ExitStack() as stack:
        printed = answers(asked, start + 60 * asked.minutes, stack)
    device = jax.devices()[0]
    facts = _measure.machine() | {"device": device.device_kind}
    if asked.json:
        told = {"machine": facts, "verdict": verdict(device)}
        print(json.dumps({"sections": printed, **told}, indent=2))
    else:
        print(
            ", ".join(f"{k} {v}" for k, v in facts.items()), verdict(device), sep="\n"
        )
    sys.exit(any(section["failed"] for section in printed.values()))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _measure.command(__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--torch-python", metavar="PATH", help="a Python with PyTorch")
    asked = parser.parse_args()
    path = asked.torch_python
    if path and not os.access(path, os.X_OK):
        parser.error(f"--torch-python must name a Python; {path} cannot be run.")
    if path:  # the child starts in another folder
        asked.torch_python = str(pathlib.Path(path).absolute())
    elif importlib.util.find_spec("torch"):
        asked.torch_python = sys.executable
    return asked


def answers(asked: argparse.Namespace, end: float, stack: ExitStack) -> Record:
    """What each section found, printed one by one."""
    sections = sections_of(scale_of(asked.quick), asked.torch_python, end, stack)
    printed, later = {}, sum(SECONDS.values())
    for name, section in sections.items():
        later -= SECONDS[name]
        share, rest = (x * asked.minutes / MINUTES for x in (SECONDS[name], later))
        found = _measure.answer(section, share, end - rest, end)
        # Standard output is for JSON alone, where that is wanted.
        wide = functools.partial(writers.stderr.print, width=160)
        if found["results"]:
            table = _measure.table(section.title, found["results"])
            wide(table) if asked.json else writers.show(table)
        said = "\n".join(found["notes"] + found["failed"]) or "done"
        to = sys.stderr if asked.json else sys.stdout
        print(f"{name}: {said}", file=to, flush=True)
        printed[name] = found
    return printed


def verdict(device: jax.Device) -> str:
    """What the figures are of."""
    if device.platform != "gpu":
        return NO_GPU
    return f"{device.device_kind}, jax {jax.__version__}: figures of this GPU."


def sections_of(
    scale: Scale, python: str | None, end: float, stack: ExitStack
) -> dict[str, Section]:
    """All questions, by name; the second reads the rates that the first finds."""
    rates: on_device.Rates = {}
    sides = scale.side, scale.copied, scale.queued, scale.rounds
    tables, parts = {}, {}
    for batch in scale.batches:
        for rows in scale.rows:
            size = Size(rows, batch=batch)
            name = f"{size.fields * rows:,} rows, batch {batch}"
            tables[name] = functools.partial(table_records, scale, size)
        for n in scale.domains:
            name = f"{n} domains, batch {batch}"
            parts[name] = functools.partial(domain_records, scale, n, batch)
    beside = torch_cases(scale, python, end, stack) if python else {}
    without = [] if python else [NO_TORCH]
    return {
        "rates": Section(
            f"products of {scale.side}^3, and a copy",
            {"rates": functools.partial(on_device.measure, rates, *sides)},
        ),
        "step": Section("a step", step_cases(scale, rates)),
        "tables": Section(
            "a fused table of so many rows in PLE, ms a step", tables, crossings
        ),
        "domains": Section("domains of a star network, ms a step", parts),
        "torch": Section(
            "a step beside PyTorch, compiled, ms", beside, lambda records: without
        ),
    }


def step_cases(scale: Scale, rates: on_device.Rates) -> dict[str, Callable]:
    """PLE and MMoE at each size."""

    def case(name, size):
        steps = scale.steps(size.batch)
        records = on_device.step_records(size, steps, scale.rounds, rates)
        return [{"size": name} | record for record in records]

    return {n: functools.partial(case, n, size) for n, size in scale.sizes.items()}


def torch_cases(
    scale: Scale, python: str, end: float, stack: ExitStack
) -> dict[str, Callable]:
    """The same beside PyTorch's, which one child process takes."""
    child = stack.enter_context(closing(Child(python, "peers.torch_device")))

    def case(name, size, model, dtype):
        steps = scale.steps(size.batch)
        turns = steps, scale.rounds, end
        records = on_device.beside_torch(child, model, size, dtype, *turns)
        return [{"size": name} | record for record in records]

    return {
        f"{name}, {model}, {dtype}": functools.partial(case, name, size, model, dtype)
        for name, size in scale.sizes.items()
        for model in count.MODELS
        for dtype in on_device.DTYPES
    }


def table_records(scale: Scale, size: Size) -> list[Record]:
    """PLE with whole tables updated by Adam, and with the rows of a batch."""
    steps = scale.steps(size.batch)
    batches = problem.batches_of(arrays(size, steps))
    ways = {
        update: on_device.dispatch(
            on_device.trainer_for("ple", size, update=update), batches
        )
        for update in ("dense", "rows")
    }
    taken = _measure.medians(
        _measure.in_turn(ways, scale.rounds, within=on_device.WITHIN)
    )
    shown = {update: 1e3 * seconds / steps for update, seconds in taken.items()}
    rows = size.fields * size.rows
    ratio = shown["dense"] / shown["rows"]
    return [{"table": rows, "batch": size.batch, **shown, "dense / rows": ratio}]


def crossings(records: list[Record]) -> list[str]:
    """From how many rows on updating by rows is the faster, for each batch size."""
    auto = row_optimizers.AUTO_ROWS
    least = auto.get(jax.default_backend(), row_optimizers.AUTO_ROWS_ELSEWHERE)
    return [
        f"batch {batch}: updates by rows are the faster "
        f"{crossing({r['table']: r['dense / rows'] for r in of_batch})}; "
        f"`auto` takes them from {least:,} rows on."
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


def domain_records(scale: Scale, num_domains: int, batch: int) -> list[Record]:
    """A star network's step on a mixed batch, on one of one domain, and a plain one."""
    training = functools.partial(domains.training, batch)
    star = StarNetwork(num_domains, domains.DIMS)
    ways = {
        "plain": training(1, domains.plain_step),
        "mixed": training(num_domains, functools.partial(domains.step, star)),
        "one domain": training(num_domains, domains.one_domain_step, mixed=False),
    }
    ways = {name: _measure.queued(way, scale.queued) for name, way in ways.items()}
    taken = _measure.medians(_measure.in_turn(ways, scale.rounds, warm_up=2))
    shown = {name: 1e3 * t / scale.queued for name, t in taken.items()}
    ratio = {"mixed / plain": shown["mixed"] / shown["plain"]}
    return [{"domains": num_domains, "batch": batch, **shown, **ratio}]


if __name__ == "__main__":
    main()
