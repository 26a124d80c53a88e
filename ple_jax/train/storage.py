"""Keeps trees of arrays and a JSON record for each step; the only file with Orbax."""

import asyncio
import logging
import os
import pathlib
import re
import shutil
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from ple_jax.types import PyTree

RECORD, SCORE = "progress", "metrics"  # items of JSON; Orbax names the latter
# What Orbax logs, it also raises: the errors below say it once.
logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)


class Storage:
    """A folder with a subfolder for each step, which holds named items.

    A step appears when all of its items are on the disk. Every error of Orbax and of
    TensorStore becomes a ValueError of one sentence that names the folder.
    """

    def __init__(self, folder: pathlib.Path, read_only: bool = False):
        self.folder = folder.resolve()
        self._kept, self._written = _Kept(), self.folder
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self._kept,
            best_fn=lambda metrics: metrics["score"],
            create=not read_only,
            read_only=read_only,
            cleanup_tmp_directories=not read_only,
            lightweight_initialize=True,  # whoever wants a score asks for it
        )
        with self._named(self.folder, "opened"):
            self._manager = ocp.CheckpointManager(self.folder, options=options)

    @property
    def steps(self) -> list[int]:
        """All steps that are there, the oldest first."""
        return sorted(self._manager.all_steps())

    def path(self, step: int) -> pathlib.Path:
        """Where a step lies."""
        return self.folder / str(step)

    def items(self, step: int) -> set[str]:
        """The names of a step's trees of arrays."""
        names = {p.name for p in self.path(step).glob("*/") if p.is_dir()}
        return names - {RECORD, SCORE}

    def save(
        self,
        step: int,
        items: Mapping[str, PyTree],
        record: dict[str, Any],
        score: float | None,
        keep: set[int],
    ) -> None:
        """Writes a step in the background, then deletes all older ones but `keep`."""
        self._kept.steps, self._written = keep | {step}, self.path(step)
        args = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
        args[RECORD] = ocp.args.JsonSave(record)
        metrics = None if score is None else {"score": score}
        with self._named(self._written, "written"):
            args = ocp.args.Composite(**args)
            if not self._manager.save(step, args=args, metrics=metrics):
                there = ", ".join(map(str, self.steps))
                raise RuntimeError(f"there are already steps {there}")

    def wait(self) -> None:
        """Waits until all that was saved is on the disk."""
        with self._named(self._written, "written"):
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and ends what works in the background."""
        try:
            self.wait()
        finally:
            with suppress(Exception):  # what `wait` has said
                self._manager.close()

    def record(self, step: int) -> dict[str, Any]:
        """The JSON record of a step."""
        with self._named(self.path(step) / RECORD, "read"):
            wanted = ocp.args.Composite(**{RECORD: ocp.args.JsonRestore()})
            return self._manager.restore(step, args=wanted)[RECORD]

    def score(self, step: int) -> float | None:
        """The score that a step was saved with."""
        with self._named(self.path(step) / SCORE, "read"):
            metrics = self._manager.metrics(step)
            return None if metrics is None else float(metrics["score"])

    def restore(
        self, step: int, likes: Mapping[str, PyTree], resize: bool = False
    ) -> dict[str, PyTree]:
        """Some trees of a step, of the shapes and in the places of `likes`.

        Args:
            step: The step.
            likes: Trees of such arrays, or of their shapes and places, by item.
            resize: Whether arrays are cut, or filled with zeros, to these shapes.
        """
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, dict(likes))
        of = lambda tree: ocp.args.StandardRestore(tree, strict=not resize)
        wanted = {name: of(tree) for name, tree in shapes.items()}
        with self._named(self.path(step), "read"):
            found = self._manager.restore(step, args=ocp.args.Composite(**wanted))
            return {name: found[name] for name in wanted}

    def arrays(self, step: int, item: str) -> PyTree:
        """A tree of a step as it was written: NumPy arrays, whatever the devices."""
        path = self.path(step) / item
        numpy = lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray)
        reader = ocp.Checkpointer(ocp.PyTreeCheckpointHandler())
        with self._named(path, "read"), reader:
            shapes = reader.metadata(path).item_metadata.tree
            wanted = ocp.args.PyTreeRestore(restore_args=jax.tree.map(numpy, shapes))
            return reader.restore(path, args=wanted)

    def delete(self, step: int) -> None:
        """Deletes a step, or what is left of it."""
        shutil.rmtree(self.path(step))
        self.reload()

    def put_aside(self, step: int) -> None:
        """Renames a step to `STEP.damaged`, so that it can be saved anew."""
        path, number = self.path(step), 1
        aside = path.with_name(f"{step}.damaged")
        while aside.exists():
            number += 1
            aside = path.with_name(f"{step}.damaged-{number}")
        path.rename(aside)
        self.reload()

    def reload(self) -> None:
        """Looks again which steps are there."""
        with self._named(self.folder, "read"):
            self._manager.reload()

    @contextmanager
    def _named(self, path: pathlib.Path, verb: str) -> Iterator[None]:
        """Names a path in whatever is raised."""
        try:
            yield
        except Exception as error:  # Orbax and TensorStore raise many kinds
            raise ValueError(f"{path} cannot be {verb} ({reason(error)}).") from error


class _Kept(ocp.checkpoint_managers.PreservationPolicy):
    """Deletes all steps but these."""

    def __init__(self):
        self.steps: set[int] = set()

    def should_preserve(self, checkpoints, *, context):
        """Whether to preserve each checkpoint."""
        return [info.step in self.steps for info in checkpoints]


def reason(error: Exception) -> str:
    """Why something failed: what the system says if it is that, or else one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    of_system = re.search(r"os_error_code='(\d+)'", str(error))
    if of_system:
        return os.strerror(int(of_system[1]))
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _drain_loops() -> None:
    """Lets every coroutine of Orbax wait for the tasks that it began, if one fails.

    Orbax closes its loop as soon as one task fails. TensorStore then has no loop to
    tell of the others, and prints a traceback for each.
    """
    try:
        from orbax.checkpoint._src import asyncio_utils
    except ImportError:  # another version: it may print
        return
    run_sync = asyncio_utils.run_sync

    async def drained(coroutine):
        try:
            return await coroutine
        except BaseException:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*others, return_exceptions=True)
            raise

    def run_drained(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return run_sync(drained(coroutine))

    asyncio_utils.run_sync = run_drained


_drain_loops()
