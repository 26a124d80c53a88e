"""What one GPU makes of it all: from rates and steps to PyTorch beside us.

    python benchmarks/gpu.py [--torch-python PATH] [--minutes 8] [--quick] [--json]

Seven questions, each with its share of the time, each printed as soon as it is
measured; what would not fit the time that is left is skipped, and says so. Rates:
products of large matrices, and a copy. The step: PLE and MMoE as in `peers.py`, with
the shares of those rates that the work of `peers/count.py` reaches; it counts four
bytes a float in every dtype. Tables: whole tables updated, or only the rows of a batch,
and from how many rows on the latter is the faster. Domains and replicas: as in the
scripts of these names. Input: epochs and scoring as in `input.py --part feed`. PyTorch:
the strong line of `peers.py`, compiled, its turns between ours. float32 products are of
the default precision, TF32 where a GPU has it, in PyTorch too. Without a GPU all sizes
are small. With --json the tables go to stderr.
"""

import argparse
import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

import _measure
import domains
import jax
import replicas
import vocabulary
from _measure import Record, Section
from input import feeding
from peers import count, on_device
from peers.protocol import Child
from peers.sizes import QUICK, SIZES, Size

from ple_jax.show import console

NO_GPU = (
    "No GPU here: these figures only show that the script runs; "
    "there is no GPU figure yet."
)
NO_TORCH = "PyTorch is not in this Python; --torch-python PATH names one that has it."
MINUTES = 8
# Of those minutes; what is not given out here is for the start.
SECONDS = {"rates": 20, "step": 150, "tables": 90, "domains": 40}
SECONDS |= {"replicas": 30, "input": 30, "torch": 100}
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
        replicas: How many.
        fed: Rows of the input.
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
    replicas: tuple[int, ...]
    fed: int

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
        return Scale(256, 2**20, 1, 128, 1, QUICK, (100,), (64,), (3,), (2,), 9000)
    if jax.default_backend() == "cpu":
        sizes = sizes_of({"common-10k": (512,), "mtreclib": (64,)})
        some = ROWS[:3], (512,), (1, 4, 16), (1, 8), 50_000
        return Scale(1024, 2**24, 1, 256, 3, sizes, *some)
    each = {"common-100k": (4096, 65_536), "mtreclib": (2048, 65_536)}
    each |= {"common-1m": (4096, 65_536), "common-10k": (4096,)}
    all_of = ROWS, (4096, 65_536), (1, 4, 16, 64), (1, 8), 400_000
    return Scale(8192, 2**28, 20, 2**18, 5, sizes_of(each), *all_of)


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
        wide = functools.partial(console.stderr.print, width=160)
        if found["results"]:
            table = _measure.table(section.title, found["results"])
            wide(table) if asked.json else console.show(table)
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
            turns = scale.steps(batch), scale.rounds
            tables[name] = functools.partial(vocabulary.updates, size, *turns)
        for n in scale.domains:
            name = f"{n} domains, batch {batch}"
            turns = batch, scale.queued, scale.rounds
            parts[name] = functools.partial(domains.beside_plain, n, *turns)
    turns = replicas.BATCH, scale.rounds
    together = functools.partial(replicas.beside_lone, scale.replicas, *turns)
    epochs = functools.partial(fed, scale.fed, scale.rounds)
    beside = torch_cases(scale, python, end, stack) if python else {}
    without = [] if python else [NO_TORCH]
    return {
        "rates": Section(
            f"products of {scale.side}^3, and a copy",
            {"rates": functools.partial(on_device.measure, rates, *sides)},
        ),
        "step": Section("a step", step_cases(scale, rates)),
        "tables": Section(
            "a fused table of so many rows in PLE, ms a step",
            tables,
            vocabulary.crossings,
        ),
        "domains": Section("domains of a star network, ms a step", parts),
        "replicas": Section(
            "replicas of a small PLE, ms a step of all", {"small PLE": together}
        ),
        "input": Section("rows a second", {"feed": epochs}),
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


def fed(rows: int, rounds: int) -> list[Record]:
    """Epochs and scoring of so many rows."""
    with tempfile.TemporaryDirectory() as folder:
        return [feeding(pathlib.Path(folder), rows, rounds)]


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


if __name__ == "__main__":
    main()
