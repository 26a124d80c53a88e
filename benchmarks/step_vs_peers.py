"""How long is our training step beside those of PyTorch libraries, on equal terms?

    bash benchmarks/peers/environment.sh DIR
    python benchmarks/step_vs_peers.py --environment DIR [--quick] [--json] [--check]

Every contender is a process of its own, with the same number of threads, on the same
cores and the same batches. They take turns of a few steps each, so that other load on
the machine slows all of them alike. `--check` shows instead that our own fast PyTorch
computes the same as our model.
"""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile
from contextlib import ExitStack, closing
from typing import Any

from lib import compare
from lib.protocol import Case, Child, use_cores
from lib.quiet import ALLOWED, Watch
from lib.sizes import MODELS, QUICK, SIZES, Size, draw
from rich.table import Table

from ple_jax.show import console

OURS = "ple-jax"
STRONG = ("strong-torch eager", "strong-torch compile")
LIBRARIES = (OURS, *STRONG, "torch-rechub", "deepctr-torch")
CHECKED = Size(
    50, fields=3, batch=64, shared=1, levels=3, expert_dims=(24, 16), experts=5
)
Record = dict[str, Any]


def main() -> None:
    """Print a table for each size and model, or all records as JSON."""
    asked = arguments()
    use_cores(asked.threads)
    if asked.check:
        sys.exit(not check(asked))
    sizes, records = QUICK if asked.quick else SIZES, []
    for name in QUICK if asked.quick else asked.sizes:
        for model in asked.models:
            watch = Watch()
            measured = measure(sizes[name], model, asked)
            about = {"size": name, "model": model, "others": watch.share_of_others()}
            records += [about | record for record in measured]
            if not asked.json:
                show(about, sizes[name], measured)
    if asked.json:
        print(json.dumps(records, indent=2))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--environment", required=True, help="the DIR of environment.sh")
    add("--sizes", nargs="+", choices=SIZES, default=list(SIZES), metavar="SIZE")
    add("--models", nargs="+", choices=MODELS, default=MODELS)
    add("--libraries", nargs="+", choices=LIBRARIES, default=LIBRARIES, metavar="NAME")
    add("--threads", type=int, default=2)
    add("--rounds", type=int, default=10, help="turns of each contender")
    add("--steps", type=int, default=5, help="measured steps in a turn")
    add("--quick", action="store_true", help="run small, to check that all works")
    add("--json", action="store_true", help="print all records as JSON")
    add("--check", action="store_true", help="compare our fast PyTorch with ours")
    asked = parser.parse_args()
    if min(asked.threads, asked.rounds, asked.steps) < 1:
        parser.error("--threads, --rounds and --steps must be at least 1.")
    if asked.rounds * asked.steps < 2:
        parser.error("Quartiles need two measured steps; raise --rounds or --steps.")
    if not pathlib.Path(asked.environment, "bin/python").exists():
        parser.error(
            f"{asked.environment} has no bin/python; run environment.sh first."
        )
    if asked.quick:
        asked.rounds, asked.steps = 2, 2
    return asked


def start(library: str, asked: argparse.Namespace) -> Child:
    """A contender's process: ours with this Python, the others with the peers'."""
    if library == OURS:
        return Child(sys.executable, "lib.our_step")
    return Child(f"{asked.environment}/bin/python", "peers.step")


def measure(size: Size, model: str, asked: argparse.Namespace) -> list[Record]:
    """Measure all contenders in turn at one size; one that cannot run says why."""
    with ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        draw(size, folder / "batches.npz")
        running, records = {}, {}
        for library in asked.libraries:
            case = Case(
                library, model, size, str(folder / "batches.npz"), asked.threads
            )
            records[library] = {"library": library, "ms": []}
            if why := lacking_memory(size):
                records[library]["error"] = why
                continue
            print(f"Building {model} of {library} ...", file=sys.stderr)
            child = stack.enter_context(closing(start(library, asked)))
            running[library] = child, {"case": case.to_json(), "steps": asked.steps}
            ask(0, running, records[library])
        for _ in range(asked.rounds):
            for library in list(running):
                ask(asked.steps, running, records[library])
    return [summary(record, size) for record in records.values()]


def ask(steps: int, running: dict[str, tuple[Child, Record]], record: Record) -> None:
    """Take one turn; a contender that fails takes no more."""
    child, request = running[record["library"]]
    answer = child.ask(request | {"steps": steps})
    if "error" in answer:
        record["error"] = answer["error"]
        running.pop(record["library"])
        child.close()
        return
    record["ms"] += answer["ms"]
    record["parameters"] = answer["parameters"]


def lacking_memory(size: Size) -> str | None:
    """Why memory does not suffice for a contender of this size, or None."""
    meminfo = pathlib.Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    line = next(x for x in meminfo.read_text().splitlines() if "MemAvailable" in x)
    free = int(line.split()[1]) * 1024
    # Weights, gradient, Adam's two moments, and the size of the weights to spare.
    needed = 5 * 4 * size.table_parameters
    if needed <= free:
        return None
    return f"needs about {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free"


def summary(record: Record, size: Size) -> Record:
    """The record with the statistics that the table shows."""
    if "error" in record:
        return record
    low, middle, high = statistics.quantiles(record["ms"], n=4)
    dense = record["parameters"] - size.table_parameters
    shown = {"median": middle, "quartiles": [low, high], "dense parameters": dense}
    return record | shown


def show(about: Record, size: Size, records: list[Record]) -> None:
    """Print the table, and below it what could not run."""
    console.show(table(about, size, records))
    for record in records:
        if "error" in record:
            print(f"{record['library']} cannot run: {record['error']}")


def table(about: Record, size: Size, records: list[Record]) -> Table:
    """One row a contender; `ratio` is its time over ours."""
    made = Table(
        title=f"{about['model']}, {about['size']}: "
        f"{size.rows:,} rows a field, batch {size.batch}",
        caption=caption(about["others"]),
    )
    made.add_column("contender", no_wrap=True)
    for column in ("ms", "quartiles", "ratio", "parameters", "dense"):
        made.add_column(column, justify="right", no_wrap=True)
    ours = next((r.get("median") for r in records if r["library"] == OURS), None)
    for record in records:
        if "error" not in record:
            made.add_row(record["library"], *cells(record, ours))
    return made


def caption(others: float | None) -> str:
    """What the table's columns mean, and whether the machine was quiet."""
    meaning = "median ms a step; ratio to ours; dense: without tables"
    if others is None or others <= ALLOWED:
        return meaning
    warning = f"Other processes used {others:.0%} of the cores."
    return f"{meaning}\n[bold red]{warning}"


def cells(record: Record, ours: float | None) -> list[str]:
    """A row's figures."""
    low, high = record["quartiles"]
    return [
        f"{record['median']:.1f}",
        f"{low:.1f} - {high:.1f}",
        f"{record['median'] / ours:.2f}x" if ours else "",
        f"{record['parameters']:,}",
        f"{record['dense parameters']:,}",
    ]


def check(asked: argparse.Namespace) -> bool:
    """Whether fast PyTorch, eager and compiled, has our logits and gradients."""
    passed = []
    for model in asked.models:
        for library in STRONG:
            value, where = compared(model, library, asked)
            passed.append(value <= compare.TOLERANCE)
            verdict = "equal" if passed[-1] else "DIFFERENT"
            print(f"{model}, {library}: {verdict}, {value:.1e} at most, in {where}")
    return all(passed)


def compared(model: str, library: str, asked: argparse.Namespace) -> tuple[float, str]:
    """The largest difference of logits and gradients, and in which array."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        draw(CHECKED, folder / "batches.npz")
        for side in (OURS, library):
            path = str(folder / "batches.npz")
            case = Case(side, model, CHECKED, path, asked.threads)
            with closing(start(side, asked)) as child:
                answer = child.ask({"case": case.to_json(), "compare": name})
            if "error" in answer:
                raise SystemExit(f"{side} cannot run: {answer['error']}")
        return compare.largest_difference(folder)


if __name__ == "__main__":
    main()
