"""How long are whole epochs on Census-Income beside Torch-RecHub's?

    bash benchmarks/peers/environment.sh DIR
    python benchmarks/epochs_vs_peers.py --environment DIR [--examples N] [--json]

Both train the PLE of `experiments/census_ple.toml` with Adam on the same prepared data
set, with the same number of threads, and take turns. A turn is an epoch of shuffled
batches of 1024 and the metrics of validation: ours with our loader, steps and report,
theirs, as its users write it, with its DataGenerator, DataLoader and MTLTrainer.
Examples a second are the trained ones over the time of both parts; `others` is the
share of the cores that other processes used. If an epoch of Torch-RecHub takes too
long, `--examples` cuts it, and its validation in proportion.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
from contextlib import ExitStack, closing

from lib import report
from lib.protocol import Child, use_cores
from lib.quiet import Watch

OURS, THEIRS = "ple-jax", "torch-rechub"
EXPERIMENT = pathlib.Path(__file__).parent.parent / "experiments" / "census_ple.toml"


def main() -> None:
    """Print one line a contender, and how many times as fast the first one is."""
    asked = arguments()
    use_cores(asked.threads)
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        children = {
            name: stack.enter_context(closing(child(name, asked)))
            for name in asked.libraries
        }
        turns = take_turns(children, request(asked, folder), asked.epochs)
    others = watch.share_of_others()
    results = [
        {"contender": name} | summary(epochs) | {"others": others}
        for name, epochs in turns.items()
    ]
    for record in results:
        record["the first's, times"] = results[0]["examples/s"] / record["examples/s"]
    report.show("epochs, validation included", results, asked.json)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = report.command(__doc__)
    add, both = parser.add_argument, [OURS, THEIRS]
    add("--environment", required=True, help="the DIR of environment.sh")
    add("--experiment", type=pathlib.Path, default=EXPERIMENT, help="gives the model")
    add("--libraries", nargs="+", choices=both, default=both, metavar="NAME")
    add("--threads", type=int, default=2)
    add("--epochs", type=int, default=3, help="turns of each, after one to warm up")
    add("--batch-size", type=int, default=1024)
    add("--examples", type=int, help="limit Torch-RecHub's epoch to N")
    asked = parser.parse_args()
    if asked.quick:
        asked.epochs, asked.examples, asked.batch_size = 1, 2048, 256
    return asked


def child(library: str, asked: argparse.Namespace) -> Child:
    """A contender's process: ours with this Python, the other with the peers'."""
    if library == OURS:
        return Child(sys.executable, "lib.our_epochs")
    return Child(f"{asked.environment}/bin/python", "peers.epochs")


def request(asked: argparse.Namespace, folder: str) -> report.Record:
    """What each child is asked in each turn, once ours has prepared the data set."""
    made = {
        "experiment": str(asked.experiment.resolve()),
        "folder": folder,
        "batch_size": asked.batch_size,
        "examples": asked.examples,
        "threads": asked.threads,
    }
    with closing(Child(sys.executable, "lib.our_epochs")) as preparing:
        answered(preparing, made | {"prepare": True})
    return made


def take_turns(
    children: dict[str, Child], request: report.Record, epochs: int
) -> dict[str, list[report.Record]]:
    """Measure each contender's epochs, after one to compile and warm up."""
    turns: dict[str, list[report.Record]] = {name: [] for name in children}
    for _ in range(1 + epochs):
        for name, child in children.items():
            print(f"An epoch of {name} ...", file=sys.stderr)
            turns[name].append(answered(child, request))
    return {name: epochs[1:] for name, epochs in turns.items()}


def answered(child: Child, request: report.Record) -> report.Record:
    """Ask once; a child's error ends the benchmark."""
    answer = child.ask(request)
    if "error" in answer:
        raise SystemExit(answer["error"])
    return answer


def summary(epochs: list[report.Record]) -> report.Record:
    """Medians over the epochs; the last validation AUC of the first task."""
    speed = [e["examples"] / (e["train"] + e["evaluate"]) for e in epochs]
    return {
        "examples/s": statistics.median(speed),
        "examples an epoch": epochs[0]["examples"],
        "train, s": statistics.median(e["train"] for e in epochs),
        "evaluate, s": statistics.median(e["evaluate"] for e in epochs),
        "parameters": epochs[0]["parameters"],
        "AUC": epochs[-1]["auc"],
    }


if __name__ == "__main__":
    main()
