"""What commands share: the status of a stop, and an experiment with its knobs."""

import argparse
from collections.abc import Mapping
from functools import partial
from typing import Any

STOPPED = 130  # by a signal, as shells say it


def experiment_of(tree: dict, knobs: Mapping, kinds: Mapping[str, str]):
    """The experiment of a file and of knobs, with these kinds of plugins by section."""
    from ple_jax.config import flags
    from ple_jax.show import console

    named = {f"{section}.kind": [kind] for section, kind in kinds.items()}
    experiment, dropped = flags.experiment(tree, {**knobs, **named})
    if dropped:
        console.say(f"dropped, as the new kind does not take it: {', '.join(dropped)}")
    return experiment


def asked_for(tree: Mapping[str, Any], asked: argparse.Namespace):
    """The experiment of a file and of the command line, and its sweep, or None."""
    from ple_jax import config
    from ple_jax.config import flags, sweep

    single, more = flags.split_sweep(asked.knobs)
    knobs = flags.with_data_dir(single, asked.data_dir)
    alone, lists = sweep.taken(tree, more)
    flags.check_not_swept(knobs, lists)
    of_kinds = partial(experiment_of, alone, knobs)
    experiment = of_kinds({})
    several = sweep.is_sweep(config.to_dict(experiment), lists)
    return experiment, sweep.of(of_kinds, lists) if several else None
