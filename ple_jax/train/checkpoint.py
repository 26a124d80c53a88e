"""Saves and restores train states; the only room that imports Orbax."""

import dataclasses
import logging
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp

from ple_jax.show import console
from ple_jax.train.state import TrainState, variables_of
from ple_jax.types import PyTree

policies = ocp.checkpoint_managers
# A checkpoint without a score is meant to have none.
logging.getLogger("absl").addFilter(lambda r: "tracked_metric" not in r.getMessage())


class Checkpoints:
    """The newest checkpoint in a folder, and the best.

    Each has up to three items: `variables` (all that scoring needs), `training` (the
    rest of the state) and `progress` (JSON: the place in the data and the standings).
    Use it as a context manager, which waits at its end for writes in the background.
    """

    def __init__(self, directory: pathlib.Path):
        kept = [
            policies.LatestN(1),
            policies.BestN(
                get_metric_fn=lambda metrics: metrics["score"],
                n=1,
                keep_checkpoints_without_metrics=False,
            ),
        ]
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy(kept),
            best_fn=lambda metrics: metrics["score"],
        )
        self._manager = ocp.CheckpointManager(directory.resolve(), options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception) -> None:
        self.wait()
        self._manager.close()

    def save(
        self, state: TrainState, progress: dict[str, Any], score: float | None = None
    ) -> None:
        """Writes a state in the background.

        Args:
            state: Of one trial, or of several, which have taken as many steps each.
            progress: Ready for JSON.
            score: Marks the best so far; higher is better.

        Raises:
            RuntimeError: Orbax declines.
        """
        items = {
            "variables": ocp.args.StandardSave(variables_of(state)),
            "training": ocp.args.StandardSave(_training(state)),
        }
        self._save(int(state.step.max()), items, progress, score)

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
            items = {"variables": ocp.args.StandardSave(variables)}
            self._save(step, items, progress, score)

    def _save(self, step, items, progress, score) -> None:
        items = ocp.args.Composite(**items, progress=ocp.args.JsonSave(progress))
        metrics = None if score is None else {"score": score}
        if not self._manager.save(step, args=items, metrics=metrics):
            raise RuntimeError(
                f"The checkpoint of step {step} was not written: there are already "
                f"{self._manager.all_steps()}, the newest at "
                f"{self._manager.latest_step()}."
            )

    def wait(self) -> None:
        """Waits until all that was saved is on the disk."""
        self._manager.wait_until_finished()

    @property
    def latest(self) -> int | None:
        """The newest step that is kept."""
        return self._manager.latest_step()

    @property
    def best(self) -> int | None:
        """The step of the best validation score; the newest where none was scored."""
        best = self._manager.best_step()
        return self.latest if best is None else best

    def restore(self, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The newest state that can be read, placed as `like` is, and its progress.

        A newer one that cannot is said, and put aside as `STEP.damaged`.

        Raises:
            ValueError: No checkpoint can be read, or all have variables only.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        if not any(self._has("training", step) for step in steps):
            raise ValueError(
                f"{self._manager.directory} has no state to train from: trials are "
                "resumed together, by --run-dir with the directory that holds them all."
            )
        wanted = {
            "variables": _restored_like(variables_of(like)),
            "training": _restored_like(_training(like)),
            "progress": ocp.args.JsonRestore(),
        }
        faults = []
        for step in steps:
            try:
                items = self._restore(step, **wanted)
            except ValueError as error:
                faults.append(str(error))
                continue
            self._put_aside(steps[: len(faults)], faults)
            return _state(like, items.variables, items.training), items.progress
        raise ValueError(f"No checkpoint can be resumed. {' '.join(faults)}")

    def _restore(self, step: int | None, **items: Any) -> Any:
        """Some items of a step, or a ValueError that names the checkpoint."""
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**items))
        except Exception as error:  # Orbax and TensorStore raise many kinds
            what = f"{type(error).__name__}: {error}".splitlines()[0]
            path = self._manager.directory / str(step)
            raise ValueError(f"{path} cannot be read ({what}).") from error

    def _put_aside(self, steps: list[int], faults: list[str]) -> None:
        """Renames checkpoints that cannot be read, so that their steps can be saved."""
        for step, fault in zip(steps, faults, strict=True):
            path = self._manager.directory / str(step)
            path.rename(path.with_name(f"{step}.damaged"))
            console.say(f"warning: {fault} An older checkpoint is taken.")
        self._manager.reload()

    def restore_item(self, name: str, like: PyTree) -> PyTree | None:
        """An item of the newest checkpoint, placed as `like` is; None without it."""
        if not self._has(name, self.latest):
            return None
        return self._restore(self.latest, **{name: _restored_like(like)})[name]

    def _has(self, item: str, step: int | None) -> bool:
        return (self._manager.directory / str(step) / item).exists()

    def restore_variables(self, like: PyTree) -> PyTree:
        """The best checkpoint's variables, placed as `like` is.

        Raises:
            ValueError: They cannot be read. No other is taken, as none is as good.
        """
        return self._restore(self.best, variables=_restored_like(like)).variables


def _restored_like(tree: PyTree) -> ocp.args.StandardRestore:
    return ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, tree))


def _training(state: TrainState) -> dict[str, PyTree]:
    """All of a state that its variables do not hold, by the name of the field.

    Of what is trained, that is all if the variables are its average. Fields without
    arrays are left out.
    """
    variables = variables_of(state)
    trained = {
        name: leaf
        for name, leaf in state.trained.items()
        if state.average or name not in variables
    }
    rest = {name: getattr(state, name) for name in _rest(state)} | trained
    return {name: leaf for name, leaf in rest.items() if jax.tree.leaves(leaf)}


def _state(like: TrainState, variables: PyTree, training: PyTree) -> TrainState:
    """The inverse of `variables_of` and `_training`."""
    trained = (variables if not like.average else {}) | training
    average = {name: variables[name] for name in like.average}
    return like.replace(
        trained={name: trained.get(name, leaf) for name, leaf in like.trained.items()},
        average=average or (),
        batch_stats=variables["batch_stats"],
        **{name: training.get(name, getattr(like, name)) for name in _rest(like)},
    )


def _rest(state: TrainState) -> list[str]:
    """The fields of a state that are saved under their own names."""
    elsewhere = ("trained", "average", "batch_stats")
    return [f.name for f in dataclasses.fields(state) if f.name not in elsewhere]
