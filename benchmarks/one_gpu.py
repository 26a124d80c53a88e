"""What does one GPU make of it all, from rates and steps to PyTorch beside us?

    python benchmarks/one_gpu.py [--torch-python PATH] [--minutes 8] [--quick] [--json]

It asks seven questions. Each has its share of the time and is printed as soon as it is
measured; a case that does not fit the time left is skipped and named. Rates: products
of large matrices, and a copy. The step: PLE and MMoE as in `step_vs_peers.py`, with the
shares of those rates that the work of `lib/floor.py` reaches, counted at four bytes a
float in every dtype. Tables: whole tables updated, or only the rows of a batch, and
above how many rows the latter is faster. Domains and trials: as in `cost_of_domains.py`
and `cost_of_trials.py`. Input: epochs and scoring as in `input_speed.py --part feed`.
PyTorch: the compiled fast line of `step_vs_peers.py`, its turns between ours.

float32 products have the default precision, which is TF32 on a GPU that has it, and
PyTorch's have the same. Without a GPU all sizes are small. With --json the tables go to
stderr.
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

import jax
from lib import machine, on_device, rates, report, star, tables, trials
from lib.protocol import Child
from lib.report import Record
from lib.sections import Section, answer
from lib.sizes import MODELS, QUICK, SIZES, Size
from lib.training import BATCH, feeding

from ple_jax.show import console

NO_GPU = (
    "No GPU here: these figures only show that the script runs; "
    "there is no GPU figure yet."
)
NO_TORCH = "PyTorch is not in this Python; --torch-python PATH names one that has it."
MINUTES = 8
# Seconds of those minutes; what is left over is for the start.
SECONDS = {"rates": 20, "step": 150, "tables": 90, "domains": 40}
SECONDS |= {"trials": 30, "input": 30, "torch": 100}
ROWS = (10**4, 3 * 10**4, 10**5, 3 * 10**5, 10**6, 3 * 10**6)


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        side: Rows and columns of the large product's matrices.
        copied: Floats of the copy.
        queued: Calls of a product, a copy or a step of domains in a turn.
        examples: In a dispatch: with batches of B, examples / B steps, but at least 2.
        rounds: Turns.
        sizes: Sizes of the step by name, the most important first.
        rows: Rows a field, for tables.
        batches: Batch sizes, for tables and domains.
        domains: Numbers of domains.
        trials: Numbers of trials.
        fed: Rows of the input, and of its batches.
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
    trials: tuple[int, ...]
    fed: tuple[int, int]

    def steps(self, batch: int) -> int:
        """Steps in a dispatch."""
        return max(2, self.examples // batch)


def sizes_of(batches: dict[str, tuple[int, ...]]) -> dict[str, Size]:
    """The sizes of `step_vs_peers.py`, with these batches."""
    return {
        f"{name}, batch {batch}": dataclasses.replace(SIZES[name], batch=batch)
        for name, each in batches.items()
        for batch in each
    }


def scale_of(quick: bool) -> Scale:
    """As large as the device deserves."""
    if quick:
        return Scale(
            256, 2**20, 1, 128, 1, QUICK, (100,), (64,), (3,), (2,), (2000, 256)
        )
    if jax.default_backend() == "cpu":
        sizes = sizes_of({"common-10k": (512,), "mtreclib": (64,)})
        some = ROWS[:3], (512,), (1, 4, 16), (1, 8), (50_000, BATCH)
        return Scale(1024, 2**24, 1, 256, 3, sizes, *some)
    each = {"common-100k": (4096, 65_536), "mtreclib": (2048, 65_536)}
    each |= {"common-1m": (4096, 65_536), "common-10k": (4096,)}
    all_of = ROWS, (4096, 65_536), (1, 4, 16, 64), (1, 8), (400_000, BATCH)
    return Scale(8192, 2**28, 20, 2**18, 5, sizes_of(each), *all_of)


def main() -> None:
    """Print a table for each section, and on what device it was measured."""
    start = time.monotonic()
    # GPU memory that we do not need is left to PyTorch.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    asked = arguments()
    with ExitStack() as stack:
        printed = answers(asked, start + 60 * asked.minutes, stack)
    device = jax.devices()[0]
    facts = machine.facts() | {"device": device.device_kind}
    if asked.json:
        told = {"machine": facts, "verdict": verdict(device)}
        print(json.dumps({"sections": printed, **told}, indent=2))
    else:
        shown = ", ".join(f"{name} {value}" for name, value in facts.items())
        print(shown, verdict(device), sep="\n")
    sys.exit(any(section["failed"] for section in printed.values()))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = report.command(__doc__)
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
    """Measure section by section, and print each."""
    sections = sections_of(scale_of(asked.quick), asked.torch_python, end, stack)
    printed, later = {}, sum(SECONDS.values())
    for name, section in sections.items():
        later -= SECONDS[name]
        share, rest = (x * asked.minutes / MINUTES for x in (SECONDS[name], later))
        found = answer(section, share, end - rest, end)
        # With --json, standard output is for JSON alone.
        wide = functools.partial(console.stderr.print, width=160)
        if found["results"]:
            table = report.table(section.title, found["results"])
            wide(table) if asked.json else console.show(table)
        said = "\n".join(found["notes"] + found["failed"]) or "done"
        to = sys.stderr if asked.json else sys.stdout
        print(f"{name}: {said}", file=to, flush=True)
        printed[name] = found
    return printed


def verdict(device: jax.Device) -> str:
    """Whether these are figures of a GPU, and of which."""
    if device.platform != "gpu":
        return NO_GPU
    return f"{device.device_kind}, jax {jax.__version__}: figures of this GPU."


def sections_of(
    scale: Scale, python: str | None, end: float, stack: ExitStack
) -> dict[str, Section]:
    """All questions by name; "step" reads the rates that "rates" finds."""
    reached: rates.Rates = {}
    sides = scale.side, scale.copied, scale.queued, scale.rounds
    lone = trials.BATCH, scale.rounds
    beside = torch_cases(scale, python, end, stack) if python else {}
    without = [] if python else [NO_TORCH]
    return {
        "rates": Section(
            f"products of {scale.side}^3, and a copy",
            {"rates": lambda: rates.measure(reached, *sides)},
        ),
        "step": Section("a step", step_cases(scale, reached)),
        "tables": Section(
            "a fused table of so many rows in PLE, ms a step",
            table_cases(scale),
            tables.crossings,
        ),
        "domains": Section("domains of a star network, ms a step", domain_cases(scale)),
        "trials": Section(
            "trials of a small PLE, ms a step of all",
            {"small PLE": lambda: trials.beside_lone(scale.trials, *lone)},
        ),
        "input": Section(
            "rows a second", {"feed": lambda: fed(*scale.fed, scale.rounds)}
        ),
        "torch": Section(
            "a step beside PyTorch, compiled, ms", beside, lambda records: without
        ),
    }


def step_cases(scale: Scale, reached: rates.Rates) -> dict[str, Callable]:
    """PLE and MMoE at each size."""

    def case(name, size):
        steps = scale.steps(size.batch)
        records = on_device.step_records(size, steps, scale.rounds, reached)
        return [{"size": name} | record for record in records]

    return {n: functools.partial(case, n, size) for n, size in scale.sizes.items()}


def table_cases(scale: Scale) -> dict[str, Callable]:
    """Every number of rows at every batch size."""

    def case(size):
        return tables.updates(size, scale.steps(size.batch), scale.rounds)

    sizes = [Size(n, batch=batch) for batch in scale.batches for n in scale.rows]
    return {
        f"{size.fields * size.rows:,} rows, batch {size.batch}": functools.partial(
            case, size
        )
        for size in sizes
    }


def domain_cases(scale: Scale) -> dict[str, Callable]:
    """Every number of domains at every batch size."""
    turns = scale.queued, scale.rounds
    return {
        f"{n} domains, batch {batch}": functools.partial(
            star.beside_plain, n, batch, *turns
        )
        for batch in scale.batches
        for n in scale.domains
    }


def fed(rows: int, batch: int, rounds: int) -> list[Record]:
    """Epochs and scoring of so many rows."""
    with tempfile.TemporaryDirectory() as folder:
        return [feeding(pathlib.Path(folder), rows, batch=batch, rounds=rounds)]


def torch_cases(
    scale: Scale, python: str, end: float, stack: ExitStack
) -> dict[str, Callable]:
    """The steps again, beside PyTorch's in one child process."""
    child = stack.enter_context(closing(Child(python, "peers.strong_on_device")))

    def case(name, size, model, dtype):
        steps = scale.steps(size.batch)
        turns = steps, scale.rounds, end
        records = on_device.beside_torch(child, model, size, dtype, *turns)
        return [{"size": name} | record for record in records]

    return {
        f"{name}, {model}, {dtype}": functools.partial(case, name, size, model, dtype)
        for name, size in scale.sizes.items()
        for model in MODELS
        for dtype in on_device.DTYPES
    }


if __name__ == "__main__":
    main()
