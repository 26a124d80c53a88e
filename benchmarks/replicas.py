"""What does a step of several replicas cost, beside as many steps of lone runs?

    python benchmarks/replicas.py

A small PLE on synthetic data that lies on the device, batches of 256 examples. R
replicas, which differ in their seeds, take a step as one program; R lone runs take one
each, one after another. The ways take turns; the table shows medians of a step, taken
as the mean over a dispatch of several.
"""

import pathlib
import tempfile
from collections.abc import Callable, Sequence

import _measure

from ple_jax import config
from ple_jax.config.experiment import Experiment
from ple_jax.data.loader import Loader, Loaders
from ple_jax.data.prepare import prepare
from ple_jax.datasets import synthetic
from ple_jax.parallel.mesh import make_mesh
from ple_jax.train import vmapped
from ple_jax.train.feed import feed_of
from ple_jax.train.setup import placed
from ple_jax.train.step import Trainer, trainer_of

BATCH, DISPATCH = 256, 8  # examples, steps


def main() -> None:
    """Prints one line for each number of replicas."""
    parser = _measure.command(__doc__)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=BATCH)
    asked = parser.parse_args()
    if asked.quick:
        asked.replicas, asked.turns = [1, 2], 2
    results = beside_lone(asked.replicas, asked.batch_size, asked.turns)
    title = f"ms a step of all, batch {asked.batch_size}"
    _measure.show(title, results, asked.json)


def beside_lone(
    counts: Sequence[int], batch_size: int, turns: int
) -> list[_measure.Record]:
    """A step of so many replicas, and of as many lone runs."""
    with tempfile.TemporaryDirectory() as folder:
        source = synthetic.build(examples=20_000)
        data = prepare(source, pathlib.Path(folder) / "prepared")
        ways = {0: lone(data, batch_size)}
        ways |= {r: together(data, batch_size, r) for r in counts}
        taken = _measure.medians(_measure.in_turn(ways, turns, warm_up=2))
    step = {way: 1e3 * seconds / DISPATCH for way, seconds in taken.items()}
    return [
        {
            "replicas": r,
            "one program": step[r],
            "lone steps": r * step[0],
            "ratio": step[r] / (r * step[0]),
            "times one": step[r] / step[0],
        }
        for r in counts
    ]


def experiment_of(batch_size: int, seed: int = 0) -> Experiment:
    """A small PLE."""
    return config.from_dict(
        {
            "model": {"kind": "ple", "expert_dims": [32], "tower_dims": [16]},
            "train": {
                "batch_size": batch_size,
                "steps_per_dispatch": DISPATCH,
                "data_on": "device",
                "devices": 1,
                "seed": seed,
            },
        }
    )


def lone(data, batch_size: int) -> Callable:
    """Steps of a lone run."""
    experiment = experiment_of(batch_size)
    loader = Loader(data.split("train"), batch_size, 0)
    return case(trainer_of(experiment, data.layout), loader, experiment)


def together(data, batch_size: int, count: int) -> Callable:
    """Steps of so many replicas."""
    experiments = [experiment_of(batch_size, seed) for seed in range(count)]
    split = data.split("train")
    loader = Loaders([Loader(split, batch_size, seed) for seed in range(count)])
    trainer = vmapped.trainer_of(experiments, data.layout)
    return case(trainer, loader, experiments[0])


def case(trainer: Trainer, loader, experiment) -> Callable:
    """A function that runs a dispatch from where the last one stopped."""
    mesh = make_mesh(1)
    feed = feed_of(loader, trainer, experiment.train, mesh)
    batches, count = next(feed.chunks(0, 0))
    several = isinstance(loader, Loaders)
    state = placed(trainer, mesh, vmapped=several)

    def run():
        nonlocal state
        state, done = trainer.steps(state, batches, count)
        return done

    return run


if __name__ == "__main__":
    main()
