"""Train a run, or a sweep, with several processes of this machine.

    ple-jax launch -n 2 -- train experiments/census_ple.toml

They share each batch. Every process is one JAX process on loopback, with a GPU of its
own where there are some. Only the first speaks; what others say has their number before
it. Ctrl-C or SIGTERM stops all after the same step, saved. If a process fails, the
others are ended within 15 s, and the line that resumes is printed.
"""

import argparse
from collections.abc import Sequence

# What follows `--`, or from the name of a command on, is that command's.
HANDS_ON = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many processes."""
    parser.add_argument(
        "-n",
        "--processes",
        type=int,
        required=True,
        metavar="N",
        help="how many processes train together; the command follows, after --",
    )


def run(asked: argparse.Namespace) -> int:
    """Starts the processes and waits for them; returns their status."""
    from ple_jax.parallel import launch

    check(asked.processes, asked.rest)
    return launch.launch(asked.processes, asked.rest)


def check(count: int, command: Sequence[str]) -> None:
    """Raises a ValueError if there is nothing that several processes can do."""
    from ple_jax.checks import at_least, check_known

    at_least(1, **{"-n": count})
    if not command:
        raise ValueError(
            "Name what to train, such as `ple-jax launch -n 2 -- train "
            "experiments/synthetic_ple.toml`."
        )
    check_known(command[0], ["train"], "command that several processes can share")
