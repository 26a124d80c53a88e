"""Saves and restores train states; the only room that imports Orbax."""

import logging
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp

from ple_jax.train.state import TrainState, variables_of
from ple_jax.types import PyTree

policies = ocp.checkpoint_managers
# A checkpoint without a score is meant to have none.
logging.getLogger("absl").addFilter(lambda r: "tracked_metric" not in r.getMessage())


class Checkpoints:
    """The checkpoints of one run: the newest, and the best so far.

    Each holds three items: `variables` (all that scoring needs), `training` (the rest
    of the state) and `progress` (JSON: the data position and the early-stopping
    record). Use as a context manager: leaving waits for writes that are under way.
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
        self._manager.wait_until_finished()
        self._manager.close()

    def save(
        self,
        state: TrainState,
        progress: dict[str, Any],
        score: float | None = None,
        best: PyTree = None,
    ) -> None:
        """Writes in the background; a `score` marks the best checkpoint so far.

        Args:
            state: Of one run, or of replicas, which have their own axis and all of
                which took as many steps.
            progress: Ready for JSON.
            score: Higher is better.
            best: Of replicas: the best variables of each so far.
        """
        items = {
            "variables": ocp.args.StandardSave(variables_of(state)),
            "training": ocp.args.StandardSave(_training(state)),
        }
        if best is not None:
            items["best"] = ocp.args.StandardSave(best)
        self._save(int(state.step.max()), items, progress, score)

    def save_variables(
        self,
        step: int,
        variables: PyTree,
        progress: dict[str, Any],
        score: float | None,
    ) -> None:
        """A checkpoint that can be scored with, but not trained from."""
        items = {"variables": ocp.args.StandardSave(variables)}
        self._save(step, items, progress, score)

    def _save(self, step, items, progress, score) -> None:
        """Raises a RuntimeError where Orbax declines, which it says by a False."""
        items = ocp.args.Composite(**items, progress=ocp.args.JsonSave(progress))
        metrics = None if score is None else {"score": score}
        if not self._manager.save(step, args=items, metrics=metrics):
            raise RuntimeError(
                f"The checkpoint of step {step} was not written: there are already "
                f"{self._manager.all_steps()}, the newest at "
                f"{self._manager.latest_step()}."
            )

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
        """The newest state, placed as `like` is, and its progress.

        Raises:
            ValueError: It can only be scored with.
        """
        if not (self._manager.directory / str(self.latest) / "training").exists():
            raise ValueError(
                f"{self._manager.directory} has no state to train from: replicas are "
                "resumed together, by --run-dir with the directory that holds them all."
            )
        items = self._manager.restore(
            self.latest,
            args=ocp.args.Composite(
                variables=_restored_like(variables_of(like)),
                training=_restored_like(_training(like)),
                progress=ocp.args.JsonRestore(),
            ),
        )
        return _state(like, items.variables, items.training), items.progress

    def restore_best(self, like: PyTree) -> PyTree:
        """What was saved as `best` last, placed as `like` is."""
        items = ocp.args.Composite(best=_restored_like(like))
        return self._manager.restore(self.latest, args=items).best

    def restore_variables(self, like: PyTree) -> PyTree:
        """The best checkpoint's variables, placed as `like` is."""
        items = ocp.args.Composite(variables=_restored_like(like))
        return self._manager.restore(self.best, args=items).variables


def _restored_like(tree: PyTree) -> ocp.args.StandardRestore:
    return ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, tree))


def _training(state: TrainState) -> dict[str, PyTree]:
    """The state without its variables, and without what would be saved twice."""
    rest = {
        "step": state.step,
        "opt_state": state.opt_state,
        "row_state": state.row_state,
        "memory": state.memory,
        "stream": state.stream,
        "seed": state.seed,
        "weighting": state.trained["weighting"],
    }
    if state.average:
        rest |= {name: state.trained[name] for name in state.average}
    return {name: leaf for name, leaf in rest.items() if jax.tree.leaves(leaf)}


def _state(like: TrainState, variables: PyTree, training: PyTree) -> TrainState:
    chosen = {name: variables[name] for name in ("model", "tables")}
    raw = {name: training[name] for name in chosen} if like.average else chosen
    fields = ("step", "opt_state", "row_state", "memory", "stream", "seed")
    return like.replace(
        trained=raw
        | {"weighting": training.get("weighting", like.trained["weighting"])},
        average=chosen if like.average else (),
        batch_stats=variables["batch_stats"],
        **{name: training.get(name, getattr(like, name)) for name in fields},
    )
