"""Weights & Biases: a run in RUN/wandb, offline unless WANDB_MODE says otherwise.

`wandb sync RUN/wandb/offline-run-*` uploads it. WANDB_PROJECT names the project.
"""

import os
import pathlib
from collections.abc import Mapping

from ple_jax.sinks import About, Sink

NEEDS = "wandb"


def build(about: About) -> Sink:
    """A run of Weights & Biases; resuming goes on under the same identity."""
    import wandb

    about.folder.mkdir(exist_ok=True)
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "ple_jax"),
        name=about.name,
        group=about.group or None,
        id=about.identity,
        config=dict(about.knobs),
        dir=str(about.folder.parent),  # where it makes a folder `wandb` of its own
        mode=os.environ.get("WANDB_MODE", "offline"),
        resume="allow",
        reinit="create_new",  # trials that train together are several at once
        settings=wandb.Settings(console="off", silent=True),
    )

    def write(step: int, numbers: Mapping[str, float]) -> None:
        run.log(dict(numbers), step=step)

    def finish(step: int, numbers: Mapping[str, float], page: str) -> None:
        run.summary.update({**numbers, "best/step": step})
        (pathlib.Path(run.dir) / "result.md").write_text(page, encoding="utf-8")

    return Sink(write, finish, run.finish)
