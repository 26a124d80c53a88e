"""Checkpoints of train states: the newest and the best, whole or refused."""

import pathlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from ple_jax.parallel import processes
from ple_jax.show import console
from ple_jax.train import checksums
from ple_jax.train.counted_rows import CountedRows
from ple_jax.train.state import (
    TrainState,
    state_of,
    steps_taken,
    training_of,
    variables_of,
)
from ple_jax.train.stopping import Stopped
from ple_jax.train.storage import RECORD, SCORE, Storage
from ple_jax.types import PyTree

MARKS = "checkpoint"  # the record's part that is not the caller's
TRIES = 4  # at reading what a training may delete


class Saved(NamedTuple):
    """What a checkpoint records.

    Attributes:
        progress: What the caller gave.
        marks: The `best` step as of then, this one's `score`, and the checksums of all
            `items` and of the `record`; None in checkpoints of before there were any.
    """

    progress: dict[str, Any]
    marks: dict[str, Any] | None


class Restored(NamedTuple):
    """What a checkpoint gives back.

    Attributes:
        state: The state.
        progress: Its progress.
        step: Its step.
        faults: Why each newer checkpoint could not be taken; empty if it is the newest.
    """

    state: TrainState
    progress: dict[str, Any]
    step: int
    faults: list[str]


class Checkpoints:
    """The newest checkpoint in a folder and the best, or the one before if none is.

    Each has up to two items of arrays: `variables` (all that scoring needs) and
    `training` (the rest of the state). Its record in JSON is `progress` (the place in
    the data and the standings) with the checksum of every array and of itself.
    Use it as a context manager, which waits at its end for writes in the background.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        read_only: bool = False,
        rows: CountedRows = checksums.ALL_ROWS,
    ):
        self._storage, self._rows = Storage(directory, read_only), rows

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, error, where) -> None:
        # What is written needs all processes, of which one that failed is none.
        if error is None or isinstance(error, Stopped) or not processes.several():
            self._storage.close()

    def save(
        self, state: TrainState, progress: dict[str, Any], score: float | None = None
    ) -> None:
        """Writes a state in the background.

        Args:
            state: Of one trial, or of several, which have taken as many steps each.
            progress: Ready for JSON.
            score: Marks the best so far; higher is better.

        Raises:
            ValueError: It cannot be written, or the one before it could not.
        """
        items = {"variables": variables_of(state), "training": training_of(state)}
        self._save(steps_taken(state), items, progress, score)

    def save_variables(
        self,
        step: int,
        variables: PyTree,
        progress: dict[str, Any],
        score: float | None,
    ) -> None:
        """Writes a checkpoint to score with, from which training cannot resume.

        Nothing is written if this step or a later one is there: a run that resumes from
        before it comes to the same bits.
        """
        if self.latest is None or self.latest < step:
            self._save(step, {"variables": variables}, progress, score)

    def _save(self, step, items, progress, score) -> None:
        self.wait()
        best = step if score is not None else self._marked_best()
        checksum = {n: checksums.of_tree(tree, self._rows) for n, tree in items.items()}
        marks = {"best": best, "score": score, "items": checksum}
        stored = self._rows.lengths(items["variables"]["tables"])
        if stored != self._rows.of:  # of other devices than one
            marks["rows"] = {n: [self._rows.of[n], stored[n]] for n in stored}
            marks["axis"] = self._rows.axis
        record = progress | {MARKS: marks}
        record[MARKS]["record"] = checksums.of_json(record)
        older = self.latest if best is None else best
        keep = {older} if older is not None else set()
        self._storage.save(step, items, record, score, keep)

    def wait(self) -> None:
        """Waits until all that was saved is on the disk."""
        self._storage.wait()

    @property
    def latest(self) -> int | None:
        """The newest step that is kept."""
        return max(self._storage.steps, default=None)

    @property
    def best(self) -> int | None:
        """The step of the best validation score; the newest where none was scored.

        Raises:
            ValueError: The newest checkpoint, which knows, is damaged, or the best is
                missing.
        """
        best = self._marked_best()
        if best is not None and best not in self._storage.steps:
            raise ValueError(
                f"{self._storage.path(best)}, the best checkpoint, is missing. No "
                "other is taken, as none is as good."
            )
        return self.latest if best is None else best

    def _marked_best(self) -> int | None:
        """The best step by the newest record; None where none was scored."""
        if self.latest is None:
            return None
        marks = self._saved(self.latest).marks
        if marks is not None:
            return marks["best"]
        pairs = [(self._storage.score(step), step) for step in self._storage.steps]
        scored = [(score, step) for score, step in pairs if score is not None]
        return max(scored)[1] if scored else None

    def _saved(self, step: int) -> Saved:
        """The record of a step, checked."""
        saved, fault = self._read_record(step)
        if fault:
            raise ValueError(fault)
        return saved

    def _read_record(self, step: int) -> tuple[Saved, str]:
        """The record of a step, and what is wrong with it, or ""."""
        try:
            record = self._storage.record(step)
        except ValueError as error:
            return Saved({}, None), str(error)
        marks, fault = record.pop(MARKS, None), ""
        if marks is None:
            return Saved(record, None), ""
        wanted = marks.pop("record", None)
        if wanted != checksums.of_json(record | {MARKS: marks}):
            path = self._storage.path(step) / RECORD
            fault = f"{path} is damaged: it has other bytes than were written."
        return Saved(record, marks), fault

    def restore(self, like: TrainState, strict: bool = False) -> Restored:
        """The newest state that is whole, placed as `like` is, and its progress.

        A newer one that is damaged is said, and put aside as `STEP.damaged`. What a
        kill left of older ones is deleted.

        Args:
            like: A state of the same shapes.
            strict: Whether to refuse an older one.

        Raises:
            ValueError: No checkpoint is whole, or none but older ones if `strict`, or
                all have variables only. Nothing is changed.
        """
        steps = self._storage.steps[::-1]
        if not any("training" in self._storage.items(step) for step in steps):
            raise ValueError(
                f"{self._storage.folder} has no state to train from: trials are "
                "resumed together, by --run-dir with the directory that holds them all."
            )
        likes = {"variables": variables_of(like), "training": training_of(like)}
        faults: list[str] = []
        for step in steps:
            try:
                progress, items = self._whole(step, likes)
            except ValueError as error:
                if processes.several():  # perhaps of this one alone
                    raise ValueError(
                        f"{error} An older checkpoint is taken by one process only: "
                        "resume without `launch` once."
                    ) from error
                faults.append(str(error))
                continue
            self._put_aside(steps[: len(faults)], faults, step, strict)
            state = state_of(like, items["variables"], items["training"])
            return Restored(state, progress, step, faults)
        raise ValueError(f"No checkpoint can be resumed. {' '.join(faults)}")

    def _put_aside(
        self, steps: list[int], faults: list[str], older: int, strict: bool
    ) -> None:
        """Leaves the checkpoint to resume from as the newest, beside the best."""
        if strict and faults:
            raise ValueError(
                f"{' '.join(faults)} The checkpoint of step {older} is whole: resume "
                "without --strict to go on from there."
            )
        for step, fault in zip(steps, faults, strict=True):
            self._storage.put_aside(step)
            console.say(f"warning: {fault} An older checkpoint is taken, of {older}.")
        left = set(self._storage.steps) - {older, self._marked_best()}
        processes.wait_for_all()  # until each has looked
        for step in left if processes.is_first() else ():
            self._storage.delete(step)
        processes.wait_for_all()
        self._storage.reload()

    def _whole(
        self, step: int, likes: Mapping[str, PyTree]
    ) -> tuple[dict[str, Any], dict[str, PyTree]]:
        """The progress and some items of a step, all checked."""
        saved = self._saved(step)
        items = self._storage.restore(step, likes, self._resizes(saved.marks, likes))
        if saved.marks is not None:
            for name in likes:
                self._check(step, name, items[name], saved.marks)
        return saved.progress, items

    def _resizes(self, marks: Mapping | None, likes: Mapping[str, PyTree]) -> bool:
        """Whether tables were saved with other rows at their end than are wanted."""
        if "variables" not in likes:
            return False
        wanted = self._rows.lengths(likes["variables"]["tables"])
        stored = {n: pair[1] for n, pair in (marks or {}).get("rows", {}).items()}
        return wanted != {**self._rows.of, **stored}

    def _check(self, step: int, item: str, tree: PyTree, marks: Mapping) -> None:
        """Raises a ValueError that names an array which has other bytes."""
        recorded, rows = marks["items"].get(item, {}), self._rows
        if "rows" in marks:
            counted = {name: pair[0] for name, pair in marks["rows"].items()}
            rows = CountedRows(counted, marks["axis"])
        if names := checksums.changed(recorded, checksums.of_tree(tree, rows)):
            more = f" and {len(names) - 1} more" if names[1:] else ""
            raise ValueError(
                f"{self._storage.path(step) / item} is damaged: {names[0]}{more} has "
                "other bytes than were written."
            )

    def restore_item(self, name: str, like: PyTree) -> PyTree | None:
        """An item of the newest checkpoint, placed as `like` is; None without it."""
        step = self.latest
        if step is None or name not in self._storage.items(step):
            return None
        return self._whole(step, {name: like})[1][name]

    def restore_variables(self, like: PyTree) -> PyTree:
        """The best checkpoint's variables, placed as `like` is.

        A training may write newer checkpoints meanwhile, and delete those that were
        read: then it is read again.

        Raises:
            ValueError: They are damaged. No other is taken, as none is as good.
        """
        for _ in range(TRIES):
            steps = self._storage.steps
            with suppress(ValueError):
                return self._best_variables(like)
            self._storage.reload()
            if self._storage.steps == steps:
                break
        return self._best_variables(like)

    def _best_variables(self, like: PyTree) -> PyTree:
        if self.best is None:
            raise ValueError(f"{self._storage.folder} has no checkpoint.")
        return self._whole(self.best, {"variables": like})[1]["variables"]

    def newest_progress(self) -> dict[str, Any]:
        """The progress of the newest checkpoint; {} without one."""
        return {} if self.latest is None else self._saved(self.latest).progress

    def verify(self) -> tuple[list[str], list[str]]:
        """Reads every checkpoint whole.

        Returns:
            What is damaged, and which checkpoints are older than checksums.
        """
        faults, unchecked = [], []
        for step in self._storage.steps:
            (_, marks), fault = self._read_record(step)
            faults += [fault] if fault else []
            if marks is None and not fault:
                unchecked.append(str(self._storage.path(step)))
            faults += self._faults(step, marks)
        return faults, unchecked

    def _faults(self, step: int, marks: Mapping[str, Any] | None) -> Iterator[str]:
        """What is damaged in a checkpoint beside its record."""
        recorded = set() if marks is None else set(marks["items"])
        for item in sorted(self._storage.items(step) | recorded):
            try:
                arrays = self._storage.arrays(step, item)
                if marks is not None:
                    self._check(step, item, arrays, marks)
            except ValueError as error:
                yield str(error)
        try:
            score = self._storage.score(step)
        except ValueError as error:
            yield str(error)
        else:
            if marks is not None and score != marks["score"]:
                wanted, path = marks["score"], self._storage.path(step) / SCORE
                yield f"{path} is damaged: the score is {score}, expected {wanted}."
