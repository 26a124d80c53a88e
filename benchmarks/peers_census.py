"""Whole epochs on Census-Income: ours, and Torch-RecHub's as its users write them.

    bash benchmarks/peers/environment.sh DIR
    python benchmarks/peers_census.py --environment DIR [--examples N] [--json]

The same PLE (`experiments/census_ple.toml`, as many and as wide) trains with Adam on
the same prepared data set, with the same number of threads. A turn is an epoch of
shuffled batches of 1024 and the metrics of validation: our loader, steps and report;
their DataGenerator, DataLoader and MTLTrainer. Examples a second are those trained, by
the time of both; `others` is the share of the cores that other processes used. The
contenders take turns. `--examples` cuts Torch-RecHub's epochs, and its validation as
much, where an epoch takes too long.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
from contextlib import ExitStack, closing

import _measure
from peers.protocol import Child, use_cores
from peers.quiet import Watch

OURS, THEIRS = "ple-jax", "torch-rechub"
EXPERIMENT = pathlib.Path(__file__).parent.parent / "experiments" / "census_ple.toml"


def main() -> None:
    """Prints one line a contender, and how many times as fast the first one is."""
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
    _measure.show("epochs, validation included", results, asked.json)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _measure.command(__doc__)
    add, both = parser.add_argument, [OURS, THEIRS]
    add("--environment", required=True, help="the DIR that environment.sh made")
    add("--experiment", type=pathlib.Path, default=EXPERIMENT, help="has the model")
    add("--libraries", nargs="+", choices=both, default=both, metavar="NAME")
    add("--threads", type=int, default=2)
    add("--epochs", type=int, default=3, help="turns of each, after one to warm up")
    add("--batch-size", type=int, default=1024)
    add("--examples", type=int, help="the most of train in an epoch of Torch-RecHub")
    asked = parser.parse_args()
    if asked.quick:
        asked.epochs, asked.examples, asked.batch_size = 1, 2048, 256
    return asked


def child(library: str, asked: argparse.Namespace) -> Child:
    """A contender's process: ours with this Python, the other with the peers'."""
    if library == OURS:
        return Child(sys.executable, "peers.our_epochs")
    return Child(f"{asked.environment}/bin/python", "peers.torch_epochs")


def request(asked: argparse.Namespace, folder: str) -> _measure.Record:
    """What each child is asked, turn by turn; ours writes the data set down first."""
    made = {
        "experiment": str(asked.experiment.resolve()),
        "folder": folder,
        "batch_size": asked.batch_size,
        "examples": asked.examples,
        "threads": asked.threads,
    }
    with closing(Child(sys.executable, "peers.our_epochs")) as preparing:
        answered(preparing, made | {"prepare": True})
    return made


def take_turns(
    children: dict[str, Child], request: _measure.Record, epochs: int
) -> dict[str, list[_measure.Record]]:
    """Each contender's epochs, after one to compile and warm up."""
    turns: dict[str, list[_measure.Record]] = {name: [] for name in children}
    for _ in range(1 + epochs):
        for name, child in children.items():
            print(f"An epoch of {name} ...", file=sys.stderr)
            turns[name].append(answered(child, request))
    return {name: epochs[1:] for name, epochs in turns.items()}


def answered(child: Child, request: _measure.Record) -> _measure.Record:
    """The answer, or the end where there is none."""
    answer = child.ask(request)
    if "error" in answer:
        raise SystemExit(answer["error"])
    return answer


def summary(epochs: list[_measure.Record]) -> _measure.Record:
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
