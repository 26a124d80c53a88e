"""What commands share: the status of a stop, and an experiment with its knobs."""

from collections.abc import Mapping

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
