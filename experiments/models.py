"""Every model on one experiment, over several seeds: one line each.

    python experiments/models.py experiments/movielens.toml --seeds 5

Models that take groups have them by pairs of task and domain where there are domains.
Each run is chosen on validation, and its test split is read once, at its end. The line
is written to `--out` as soon as a model's seeds are done; models that are in the file
already are not run again.
"""

import argparse
import json
import pathlib
import statistics

import jax
from seeds import fitted

from ple_jax import config, models
from ple_jax.config.experiment import Experiment
from ple_jax.metrics.spread import spread
from ple_jax.runs.directory import prepare_data
from ple_jax.schema import Layout
from ple_jax.train.step import trainer_of

SIZES = {  # widths that all models have in common
    "expert_dims": (64,),
    "dims": (64, 32),
    "width": 64,
    "tower_dims": (32,),
    "num_experts": 3,
    "experts_per_task": 1,
    "shared_experts": 1,
}


def main() -> None:
    """Trains each model once per seed and prints its line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("experiment", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=models.available())
    parser.add_argument("--out", type=pathlib.Path, default="models.jsonl")
    asked = parser.parse_args()
    written = asked.out.read_text() if asked.out.exists() else ""
    done = {json.loads(line)["model"] for line in written.splitlines()}
    for kind in [k for k in asked.models if k not in done]:
        line = json.dumps(measured(asked.experiment, kind, asked.seeds))
        print(line, flush=True)
        with asked.out.open("a") as file:
            file.write(line + "\n")


def measured(path: pathlib.Path, kind: str, seeds: int) -> dict:
    """A model's size, and the spread of its test AUC."""
    results = [one(path, kind, seed) for seed in range(seeds)]
    with_mean = lambda auc: auc | {"mean": statistics.mean(auc.values())}
    each = [with_mean(r["auc"]) for r in results]
    auc = {place: spread([r[place] for r in each]) for place in each[0]}
    facts = {k: results[0][k] for k in ("groups", "parameters")}
    speed = statistics.median(r["speed"] for r in results)
    return {"model": kind, **facts, "seeds": seeds, "examples/s": speed, "auc": auc}


def one(path: pathlib.Path, kind: str, seed: int) -> dict:
    """One run: its size, and test AUC by domain and task."""
    tree = config.load(path)
    data = prepare_data(config.from_dict(tree).data)
    known = models.describe(kind)["options"]
    options = {k: v for k, v in SIZES.items() if k in known}
    if "groups" in known and len(data.layout.domains) > 1:
        options["groups"] = "tasks_domains"
    tree["model"] = {"kind": kind, **options}
    tree["train"] = tree["train"] | {"seed": seed}
    experiment = config.from_dict(tree)
    result, epochs = fitted(experiment, data)
    return {
        "groups": options.get("groups", ""),
        "parameters": parameters(experiment, data.layout),
        "speed": max(epoch["examples_per_second"] for epoch in epochs),
        "auc": {
            f"{domain}/{task}": metrics["auc_roc"]
            for domain, tasks in result["test"]["domains"].items()
            for task, metrics in tasks.items()
        },
    }


def parameters(experiment: Experiment, layout: Layout) -> int:
    """Numbers that the model trains, beside the tables."""
    state = jax.eval_shape(trainer_of(experiment, layout).init)
    return sum(leaf.size for leaf in jax.tree.leaves(state.trained["model"]))


if __name__ == "__main__":
    main()
