"""Which trials one program can train or score together."""

from collections.abc import Sequence
from typing import Any

import jax

from ple_jax import config
from ple_jax.config import sweep
from ple_jax.config.experiment import Experiment
from ple_jax.data.loader import shapes_of
from ple_jax.layout import Layout
from ple_jax.runs.directory import Run
from ple_jax.train import vmapped
from ple_jax.train.state import variables_of


def together(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of one data set, in groups that are `alike`."""
    if not runs:
        return []
    groups = alike([run.experiment for run in runs], runs[0].data.layout)
    return [[runs[i] for i in group] for group in groups]


def alike(experiments: Sequence[Experiment], layout: Layout) -> list[list[int]]:
    """Groups of experiments, by number, that differ only in seeds and traced knobs.

    A knob can be traced if its values are nonzero floats, or equally long lists of
    floats, and a step traces with it: so it decides neither a shape nor a branch of
    Python. A 0 goes apart, since it may leave a part of the program out.
    """
    flat = [config.flat(one) for one in experiments]
    paths = sorted({k for f in flat for k in f} - {sweep.SEED})

    def split(group: Sequence[int], path: str) -> list[list[int]]:
        """The group by the values of a knob, or whole if they can be traced."""
        each = [flat[i].get(path) for i in group]
        if all(value == each[0] for value in each):
            return [list(group)]
        other = next(i for i, v in zip(group, each, strict=True) if v != each[0])
        value = vmapped.as_tuple(flat[other].get(path))
        first = experiments[group[0]]
        pair = [first, config.with_values(first, {path: value})]
        return [list(group)] if traces(pair, layout) else grouped(group, each)

    kinds = [[kind_of(f.get(path)) for path in paths] for f in flat]
    groups = grouped(range(len(flat)), kinds)
    for path in paths:
        groups = [part for group in groups for part in split(group, path)]
    return groups


def grouped(numbers: Sequence[int], keys: Sequence[Any]) -> list[list[int]]:
    """The numbers of each key, in order."""
    groups: dict[str, list[int]] = {}
    for number, key in zip(numbers, keys, strict=True):
        groups.setdefault(repr(key), []).append(number)
    return list(groups.values())


def kind_of(value: Any) -> Any:
    """What the values of one group must share: all but the numbers to be traced."""
    if isinstance(value, float) and value != 0:
        return "a number"
    if isinstance(value, list) and value and all(isinstance(v, float) for v in value):
        return f"{len(value)} numbers"
    return value


def traces(experiments: Sequence[Experiment], layout: Layout) -> bool:
    """Whether a step can be traced without knowing the knobs that differ."""
    trainer = vmapped.trainer_of(experiments, layout, shared=True)
    batch = shapes_of(layout, int(experiments[0].train.batch_size))
    batches = shapes_of(layout, 1, *batch.domain.shape)
    try:
        state = trainer.shapes()
        jax.eval_shape(trainer.steps, state, batches, 1)
        jax.eval_shape(trainer.score, variables_of(state), batch)
    # JAX raises the first if a value must be known, Python the second if it indexes.
    except (TypeError, IndexError):
        return False
    return True
