"""Which trials one program can train or score together."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ple_jax import config
from ple_jax.config import sweep
from ple_jax.config.experiment import Experiment
from ple_jax.data.loader import Loader
from ple_jax.data.store import Prepared
from ple_jax.runs.directory import Run
from ple_jax.train import vmapped
from ple_jax.train.state import variables_of


def together(runs: Sequence[Run]) -> list[list[Run]]:
    """Groups of runs that differ only in seeds and in knobs that can be traced.

    A knob can be traced if its values are nonzero floats, or equally long lists of
    floats, and a step traces with it: so it decides neither a shape nor a branch of
    Python. A 0 goes apart, since it may leave a part of the program out.
    """
    flat = {one.directory: config.flat(one.experiment) for one in runs}
    paths = sorted({k for f in flat.values() for k in f} - {sweep.SEED})

    def split(group: Sequence[Run], path: str) -> list[list[Run]]:
        """The group by the values of a knob, or whole if they can be traced."""
        each = [flat[one.directory].get(path) for one in group]
        if all(value == each[0] for value in each) or is_traceable(group, path):
            return [list(group)]
        return grouped(group, each)

    kinds = [[kind_of(flat[one.directory].get(p)) for p in paths] for one in runs]
    groups = grouped(runs, kinds)
    for path in paths:
        groups = [part for group in groups for part in split(group, path)]
    return groups


def grouped(runs: Sequence[Run], keys: Sequence[Any]) -> list[list[Run]]:
    """The runs of each key, in order."""
    groups: dict[str, list[Run]] = {}
    for one, key in zip(runs, keys, strict=True):
        groups.setdefault(repr(key), []).append(one)
    return list(groups.values())


def kind_of(value: Any) -> Any:
    """What the values of one group must share: all but the numbers to be traced."""
    if isinstance(value, float) and value != 0:
        return "a number"
    if isinstance(value, list) and value and all(isinstance(v, float) for v in value):
        return f"{len(value)} numbers"
    return value


def is_traceable(group: Sequence[Run], path: str) -> bool:
    """Whether a step can be traced without knowing this knob."""
    first, data = group[0].experiment, group[0].data
    of_group = [config.flat(one.experiment)[path] for one in group]
    other = next(v for v in of_group if v != config.flat(first)[path])
    pair = [first, config.with_values(first, {path: vmapped.as_tuple(other)})]
    return _traces(pair, data)


def _traces(experiments: Sequence[Experiment], data: Prepared) -> bool:
    loader = Loader(data.split("train"), experiments[0].train.batch_size, 0)
    trainer = vmapped.trainer_of(experiments, data.layout, shared=True)
    try:
        state, batches = trainer.shapes(), loader.batches(0, 0, 1)
        jax.eval_shape(trainer.steps, state, batches, 1)
        jax.eval_shape(trainer.score, variables_of(state), batches.at(np.array(0)))
    # JAX raises the first if a value must be known, Python the second if it indexes.
    except (TypeError, IndexError):
        return False
    return True
