"""Steps of several trials as one program, beside as many steps of lone runs."""

import pathlib
import tempfile
from collections.abc import Callable, Sequence

from ple_jax import config
from ple_jax.config.experiment import Experiment
from ple_jax.data.prepare import prepare
from ple_jax.data.store import Prepared
from ple_jax.datasets import synthetic
from ple_jax.train.setup import Setup, placed

from .measure import in_turn, medians
from .report import Record

BATCH, DISPATCH = 256, 8  # examples, steps


def beside_lone(counts: Sequence[int], batch_size: int, turns: int) -> list[Record]:
    """Measure a step of so many trials, and of as many lone runs."""
    with tempfile.TemporaryDirectory() as folder:
        source = synthetic.build(examples=20_000)
        data = prepare(source, pathlib.Path(folder) / "prepared")
        ways = {0: lone(data, batch_size)}
        ways |= {n: together(data, batch_size, n) for n in counts}
        taken = medians(in_turn(ways, turns, warm_up=2))
    step = {way: 1e3 * seconds / DISPATCH for way, seconds in taken.items()}
    return [
        {
            "trials": n,
            "one program": step[n],
            "lone steps": n * step[0],
            "ratio": step[n] / (n * step[0]),
            "times one": step[n] / step[0],
        }
        for n in counts
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


def lone(data: Prepared, batch_size: int) -> Callable:
    """Steps of a lone run."""
    return dispatch(Setup([experiment_of(batch_size)], data))


def together(data: Prepared, batch_size: int, count: int) -> Callable:
    """Steps of `count` trials with seeds of their own, as one program."""
    experiments = [experiment_of(batch_size, seed) for seed in range(count)]
    return dispatch(Setup(experiments, data, vmapped=True))


def dispatch(setup: Setup) -> Callable:
    """A function that runs one dispatch from where its last call stopped."""
    batches, count = next(setup.feed.chunks(0, 0))
    state = placed(setup.trainer, setup.mesh, setup.vmapped)

    def run():
        nonlocal state
        state, done = setup.trainer.steps(state, batches, count)
        return done

    return run
