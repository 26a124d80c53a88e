"""How far trials have come, and what a checkpoint records of it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ple_jax.config.experiment import Train
from ple_jax.runs.directory import Run
from ple_jax.train.state import TrainState, steps_taken


@dataclasses.dataclass(frozen=True)
class Place:
    """The next step of trials that train together."""

    epoch: int = 0
    step_in_epoch: int = 0


@dataclasses.dataclass(frozen=True)
class Standing:
    """How one trial is doing.

    Attributes:
        epochs: How many epochs have been measured.
        best: The score of the best one; higher is better.
        best_step: The step at its end; 0 if there is none yet.
        epochs_since_best: How many were no better; patience counts them.
        diverged: The step before which the trial diverged, if it did.
        fault: What was not finite then.
        ended: Whether it was ended before its time.
    """

    epochs: int = 0
    best: float | None = None
    best_step: int = 0
    epochs_since_best: int = 0
    diverged: int | None = None
    fault: str = ""
    ended: bool = False

    def is_finished(self, train: Train) -> bool:
        """Whether all epochs are done, patience is spent, it diverged, or was ended."""
        impatient = train.patience and self.epochs_since_best >= train.patience
        done = self.epochs >= train.epochs or bool(impatient) or self.ended
        return done or self.diverged is not None

    def after_epoch(self, score: float, step: int) -> "Standing":
        """The standing at the end of an epoch, at this step and with this score."""
        if self.best is None or score > self.best:
            return Standing(self.epochs + 1, score, step)
        return dataclasses.replace(
            self, epochs=self.epochs + 1, epochs_since_best=self.epochs_since_best + 1
        )


class Held(NamedTuple):
    """All that training moves, of one trial or of several that train together."""

    state: TrainState
    place: Place
    standings: tuple[Standing, ...]

    @property
    def step(self) -> int:
        """Steps that each trial has taken."""
        return steps_taken(self.state)


def to_record(
    runs: Sequence[Run], place: Place, standings: Sequence[Standing]
) -> dict[str, Any]:
    """What the checkpoint of some trials says beside its arrays, ready for JSON."""
    return {
        **identity(runs),
        "progress": dataclasses.asdict(place),
        "standings": [dataclasses.asdict(standing) for standing in standings],
    }


def from_record(
    record: Mapping[str, Any], best_step: int | None
) -> tuple[Place, tuple[Standing, ...]]:
    """The inverse of `to_record`; also reads records made before there were trials.

    Those of several held epochs and best score under `progress`. Those of a lone run
    held no `standings` and no step: theirs is `best_step`, of the best checkpoint.
    """
    place = record["progress"]
    best_step = None if place.get("best") is None else best_step
    of_lone = {"progress": place, "best_step": best_step or 0}
    names = [field.name for field in dataclasses.fields(Standing)]

    def standing(record: Mapping[str, Any]) -> Standing:
        old = record.get("progress", {})
        facts = {"epochs": old.get("epoch"), **old, **record}
        return Standing(**{name: facts[name] for name in names if name in facts})

    standings = map(standing, record.get("standings", [of_lone]))
    return Place(place["epoch"], place["step_in_epoch"]), tuple(standings)


def identity(runs: Sequence[Run]) -> dict[str, Any]:
    """What decides the order of examples; a resumed run must find it unchanged."""
    train = runs[0].experiment.train
    several = len(runs) > 1
    return {
        "data set": runs[0].data.fingerprint,
        "batch size": train.batch_size,
        "seed": train.seed,
        "sampling": train.sampling,
        "temperature": train.temperature,
        **({"trials": [run.directory.name for run in runs]} if several else {}),
    }


def check_identity(runs: Sequence[Run], record: Mapping[str, Any]) -> None:
    """Raises a ValueError if a checkpoint is of other data or of other trials."""
    asked = identity(runs)
    found = {"trials": record.get("replicas"), **record}  # the name in older records
    # Older records do not tell all.
    if changed := [k for k in asked if found.get(k, asked[k]) != asked[k]]:
        listing = ", ".join(f"{k}: {found[k]!r} -> {asked[k]!r}" for k in changed)
        raise ValueError(
            f"{runs[0].directory} cannot be resumed on other data (recorded -> found): "
            f"{listing}."
        )
