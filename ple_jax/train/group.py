"""Trials that train together: how one is told from several."""

import dataclasses
import pathlib
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from ple_jax.runs.directory import Run
from ple_jax.train import progress, vmapped
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.progress import Held, Place, Standing
from ple_jax.train.setup import Setup
from ple_jax.train.state import variables_of
from ple_jax.types import PyTree


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """A lone run, or several trials as one vmapped program.

    A lone run's checkpoints are its own and hold its state. Several trials have the
    state of all in one folder, and each has the variables of its best epoch in its own.

    Attributes:
        runs: The run directory of each trial.
        folder: Where checkpoints of the state lie.
        setup: What trains and scores them.
    """

    runs: Sequence[Run]
    folder: pathlib.Path
    setup: Setup

    @classmethod
    def alone(cls, run: Run) -> "Group":
        """The group of a lone run."""
        return cls([run], run.checkpoints, Setup([run.experiment], run.data))

    @classmethod
    def together(cls, runs: Sequence[Run], folder: pathlib.Path) -> "Group":
        """Runs as one vmapped program."""
        experiments = [run.experiment for run in runs]
        return cls(runs, folder, Setup(experiments, runs[0].data, vmapped=True))

    def trial(self, tree: PyTree, i: int) -> PyTree:
        """Trial `i` of a tree."""
        return vmapped.trial(tree, i) if self.setup.vmapped else tree

    def with_trial(self, tree: PyTree, i: int, new: PyTree) -> PyTree:
        """The tree with `new` as its trial `i`; donates the tree."""
        return vmapped.with_trial(tree, i, new) if self.setup.vmapped else new

    def start(self, checkpoints: Checkpoints, resume: bool) -> Held:
        """The initial state, or that of the newest checkpoint.

        Raises:
            ValueError: The checkpoint is of other data or other trials.
        """
        state = self.setup.start()
        if not resume or checkpoints.latest is None:
            return Held(state, Place(), (Standing(),) * len(self.runs))
        state, record = checkpoints.restore(state)
        check_identity(self.runs, record)
        place, standings = progress.from_record(record, checkpoints.best or 0)
        held = Held(state, place, standings)
        # Groups once had their best variables in the checkpoint of all.
        if old := checkpoints.restore_item("best", variables_of(state)):
            self.keep_bests(old, held, [bool(s.best_step) for s in standings])
        return held

    def save(
        self, checkpoints: Checkpoints, held: Held, improved: Sequence[bool] = ()
    ) -> None:
        """Writes the state, after the best variables of each trial that improved.

        Training resumes from the state, so a best that it speaks of must be there.
        """
        score = None
        if self.setup.vmapped:
            self.keep_bests(variables_of(held.state), held, improved)
        elif any(improved):
            score = held.standings[0].best
        record = record_of(self.runs, held.place, held.standings)
        checkpoints.save(held.state, record, score)

    def keep_bests(self, variables: PyTree, held: Held, chosen: Sequence[bool]) -> None:
        """Writes these trials' variables as their best ones, side by side."""
        with ExitStack() as stack:
            for i in (i for i, keep in enumerate(chosen) if keep):
                run, standing = self.runs[i], held.standings[i]
                checkpoints = stack.enter_context(Checkpoints(run.checkpoints))
                checkpoints.save_variables(
                    standing.best_step,
                    self.trial(variables, i),
                    record_of([run], held.place, [standing]),
                    standing.best,
                )

    def best(self, held: Held) -> PyTree:
        """Each trial's best variables, read from its checkpoints; donates the state.

        A trial that has none keeps those of the state.
        """
        variables = variables_of(held.state)
        for i, (run, standing) in enumerate(
            zip(self.runs, held.standings, strict=True)
        ):
            if standing.best_step:
                with Checkpoints(run.checkpoints) as checkpoints:
                    like = self.trial(variables, i)
                    best = checkpoints.restore_variables(like)
                variables = self.with_trial(variables, i, best)
        return variables


def identity(runs: Sequence[Run]) -> dict[str, Any]:
    """What decides the order of examples; a resumed run must find it unchanged."""
    train = runs[0].experiment.train
    names = [run.directory.name for run in runs]
    return {
        "data set": runs[0].data.fingerprint,
        "batch size": train.batch_size,
        "seed": train.seed,
        "sampling": train.sampling,
        "temperature": train.temperature,
        **({"trials": names} if len(runs) > 1 else {}),
    }


def record_of(
    runs: Sequence[Run], place: Place, standings: Sequence[Standing]
) -> dict[str, Any]:
    """What a checkpoint says beside its arrays, ready for JSON."""
    return identity(runs) | progress.to_record(place, standings)


def check_identity(runs: Sequence[Run], record: dict[str, Any]) -> None:
    """Raises a ValueError if a checkpoint is of other data or other trials."""
    asked = identity(runs)
    found = {"trials": record.get("replicas")} | record  # its name in older ones
    # Older checkpoints do not tell all.
    if changed := [k for k in asked if found.get(k, asked[k]) != asked[k]]:
        listing = ", ".join(f"{k}: {found[k]!r} -> {asked[k]!r}" for k in changed)
        raise ValueError(
            f"{runs[0].directory} cannot be resumed on other data (recorded -> found): "
            f"{listing}."
        )
