"""Trials that train together: what tells one from several."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import jax
import numpy as np

from ple_jax.metrics.streaming import Stream
from ple_jax.parallel import processes
from ple_jax.runs.directory import Run
from ple_jax.runs.journal import Journal, read_records
from ple_jax.show import console
from ple_jax.train import gates, progress, vmapped
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.counted_rows import CountedRows
from ple_jax.train.progress import Held, Place, Standing
from ple_jax.train.setup import Setup, on_huge_pages, placed, rows_of
from ple_jax.train.state import TrainState, variables_of
from ple_jax.types import PyTree

# (trial's number in its group, record of its epoch) -> whether it ends there
Ends = Callable[[int, Mapping[str, Any]], bool]


def never(i: int, record: Mapping[str, Any]) -> bool:
    """Lets a trial go on."""
    return False


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """A lone run, or several trials as one vmapped program.

    A lone run's state is in its own checkpoints. Several trials share a folder for the
    state of all, and each keeps the variables of its best epoch in its own.

    Attributes:
        runs: The run directory of each trial.
        folder: Where the checkpoints of the state lie.
        setup: What trains and scores them.
        ends: Asked after each epoch of a trial whether that was its last.
    """

    runs: Sequence[Run]
    folder: pathlib.Path
    setup: Setup
    ends: Ends = never

    def start(
        self, checkpoints: Checkpoints, resume: bool, strict: bool = False
    ) -> tuple[Held, list[Journal]]:
        """The initial state, or that of the newest checkpoint; the journals up to it.

        If that is damaged, an older one is taken, and the journals say so.

        Raises:
            ValueError: The checkpoint is of other data or of other trials, or it is
                damaged and `strict`, or none is left though there was one, or a journal
                is damaged, or there is one and `resume` is off.
        """
        setup, is_new = self.setup, checkpoints.latest is None
        if is_new and resume:
            self.check_never_saved()
        if not is_new and not resume:
            raise ValueError(
                f"{self.folder} has checkpoints already, and a run is never "
                "overwritten: continue it with resume=True, or make another."
            )
        state = placed(setup.trainer, setup.mesh, setup.vmapped)
        if is_new:
            held = Held(state, Place(), (Standing(),) * len(self.runs))
            return held, self.journals(0)
        restored = checkpoints.restore(state, strict)
        record = restored.progress
        progress.check_identity(self.runs, record)
        place, standings = progress.from_record(record, checkpoints.best)
        held = Held(on_huge_pages(restored.state), place, standings)
        journals = self.journals(restored.step, record.get("journals"))
        if restored.faults:
            note = {"time": time.time(), "faults": restored.faults}
            for journal in journals:
                journal.write({"step": restored.step, "fallback": note})
        # Older groups have the best of all trials in their own checkpoint.
        if best := checkpoints.restore_item("best", variables_of(held.state)):
            self.keep_bests(best, held, [bool(s.best_step) for s in held.standings])
        return held, journals

    def journals(
        self, step: int, marks: Sequence[Sequence[str]] | None = None
    ) -> list[Journal]:
        """Each trial's journal up to a checkpoint, which may keep marks of it."""
        if not processes.is_first():
            return [Journal.unopened(run.metrics) for run in self.runs]
        if marks is None:
            return [Journal(run.metrics, step) for run in self.runs]
        pairs = zip(self.runs, marks, strict=True)
        return [Journal(run.metrics, step, of_run) for run, of_run in pairs]

    def check_never_saved(self) -> None:
        """Raises a ValueError if the journals tell of a checkpoint that is not there.

        An epoch is written down before its checkpoint, but after that of the epoch
        before it: a stop in between leaves one epoch and no checkpoint.
        """
        journals = [read_records(run.metrics) for run in self.runs]
        epochs = max(sum("epoch" in record for record in j) for j in journals)
        if epochs > 1:
            raise ValueError(
                f"{self.runs[0].directory} cannot be resumed: its journal has {epochs} "
                f"epochs, but no checkpoint is left in {self.folder}. Train it "
                "anew, in another --run-dir."
            )
        if epochs:
            console.say(
                "stopped before its first checkpoint: starts from the beginning"
            )

    def save(
        self,
        checkpoints: Checkpoints,
        journals: Sequence[Journal],
        held: Held,
        improved: Sequence[bool] = (),
    ) -> None:
        """Writes the best of each trial that improved, and then the state.

        In this order, the bests that a state speaks of are there whenever it is.
        """
        score = None
        if self.setup.vmapped:
            self.keep_bests(variables_of(held.state), held, improved)
        elif any(improved):
            score = held.standings[0].best
        record = progress.to_record(self.runs, held.place, held.standings)
        record["journals"] = [journal.marks for journal in journals]
        checkpoints.save(held.state, record, score)

    def keep_bests(self, variables: PyTree, held: Held, chosen: Sequence[bool]) -> None:
        """Writes the variables of some trials as their bests, side by side."""
        with ExitStack() as stack:
            for i in np.flatnonzero(chosen).tolist():
                run, standing = self.runs[i], held.standings[i]
                own = Checkpoints(run.checkpoints, rows=self.rows_of_trial)
                stack.enter_context(own).save_variables(
                    standing.best_step,
                    self.trial(variables, i),
                    progress.to_record([run], held.place, [standing]),
                    standing.best,
                )
                if processes.several():  # Orbax mixes up what waits for two folders
                    own.wait()

    def bests(self, held: Held) -> PyTree:
        """Each trial's best variables, read from its checkpoints; donates the state.

        A trial without a best keeps its variables of the state.
        """
        variables, setup = variables_of(held.state), self.setup
        for i, run in enumerate(self.runs):
            if held.standings[i].best_step:
                rows = self.rows_of_trial
                with Checkpoints(run.checkpoints, True, rows) as checkpoints:
                    best = checkpoints.restore_variables(self.trial(variables, i))
                if setup.vmapped:
                    best = vmapped.with_trial(variables, i, best, setup.where)
                variables = best
        return variables

    @property
    def rows_of_trial(self) -> CountedRows:
        """Which rows of the tables in a checkpoint of one trial count."""
        return rows_of(self.setup.tables)

    def trial(self, tree: PyTree, i: int) -> PyTree:
        """Trial `i` of a tree."""
        setup = self.setup
        return vmapped.trial(tree, i, setup.where) if setup.vmapped else tree

    def stream(self, state: TrainState, i: int) -> Stream:
        """The stream of trial `i`, on the host: one process may ask for it alone."""
        if not self.setup.vmapped:
            return state.stream
        return jax.tree.map(lambda leaf: np.asarray(leaf)[i], state.stream)

    def watched(
        self, variables: PyTree
    ) -> tuple[np.ndarray, Sequence[dict[str, list[str]]]]:
        """Logits of validation (rows, R, T), and what is wrong with each's gates."""
        logits, means = self.setup.scorer.watched(variables, "validation")
        tasks = [task.name for task in self.setup.data.layout.tasks]
        units = gates.units_of(self.setup.step.model)
        wrong = lambda means: gates.collapse(means, tasks, units)
        if not self.setup.vmapped:
            return logits[:, None], [wrong(means)]
        of = lambda i: {path: mean[i] for path, mean in means.items()}
        return logits, [wrong(of(i)) for i in range(len(self.runs))]

    def logits(self, variables: PyTree, split: str) -> np.ndarray:  # (rows, R, T)
        """Logits of a whole split for each trial."""
        logits = self.setup.scorer.of_split(variables, split)
        return logits if self.setup.vmapped else logits[:, None]
