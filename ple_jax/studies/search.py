"""Optuna's part of a search: asks for points, is told how they did, keeps all that."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from ple_jax import config
from ple_jax.config.tuning import Space
from ple_jax.config.values import from_toml
from ple_jax.space import OneOf

try:
    import optuna
except ModuleNotFoundError as error:
    raise ValueError(
        "`ple-jax tune` needs Optuna: pip install 'ple-jax[tune]'."
    ) from error

Pruner = Literal["median", "hyperband", "none"]
PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
    "hyperband": optuna.pruners.HyperbandPruner,
    "none": optuna.pruners.NopPruner,
}
State = optuna.trial.TrialState
ENDED = (State.COMPLETE, State.PRUNED)
NAME = "tune"  # of the study in its file


class Search:
    """A study of Optuna's in an SQLite file; higher scores are better.

    The first trial has no parameters: it is the experiment as it stands. What is asked
    next is a function of the seed and of how the trials before it ended, so that a
    search that is broken off and goes on asks for the same points.

    Args:
        file: Where trials are kept.
        space: What to search.
        seed: Seeds what is asked.
        pruner: Which trials end early: those below the median of the others at the same
            epoch, those that `hyperband` drops, or none.
    """

    def __init__(
        self, file: pathlib.Path, space: Space, seed: int, pruner: Pruner = "median"
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.seed = space, seed
        self.distributions = {k: _distribution(v) for k, v in space.items()}
        self.study = optuna.create_study(
            storage=f"sqlite:///{file.resolve()}",
            study_name=NAME,
            direction="maximize",
            pruner=PRUNERS[pruner](),
            load_if_exists=True,
        )
        self._ask_again()

    def _ask_again(self) -> None:
        """Queues the points that a dead process was at; those trials have failed."""
        for trial in self.study.get_trials(states=(State.RUNNING,)):
            self.study.tell(trial.number, state=State.FAIL)
            if trial.params:
                self.study.enqueue_trial(trial.params)

    @property
    def ended(self) -> list[optuna.trial.FrozenTrial]:
        """The trials that came to an end, or to an early one."""
        return self.study.get_trials(states=ENDED)

    @property
    def best(self) -> optuna.trial.FrozenTrial | None:
        """The trial of the highest score among those that were not pruned."""
        first = next(iter(self.ranked), None)
        return first if first and first.state == State.COMPLETE else None

    @property
    def ranked(self) -> list[optuna.trial.FrozenTrial]:
        """The trials that ended: the best first, those that were pruned last."""
        whole = lambda trial: trial.state == State.COMPLETE
        score = lambda trial: trial.value if whole(trial) else float("-inf")
        return sorted(self.ended, key=score, reverse=True)

    def ask(self, count: int) -> list[optuna.Trial]:
        """The next trials, to be trained side by side.

        They are alike in all but numbers that are no whole ones, so that one program
        can train them. The first of all is alone.
        """
        ended = len(self.ended)
        if not ended:
            return [self.study.ask()]
        self.study.sampler = optuna.samplers.TPESampler(seed=self.seed + ended)
        first = self._ask({})
        shape = {k: v for k, v in first.params.items() if type(v) is not float}
        shape = shape if len(shape) < len(self.space) else {}
        return [first, *(self._ask(shape) for _ in range(count - 1))]

    def _ask(self, fixed: Mapping[str, Any]) -> optuna.Trial:
        if fixed and not self.study.get_trials(states=(State.WAITING,)):
            self.study.enqueue_trial(dict(fixed))
        return self.study.ask(self.distributions)

    def point(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The values of knobs that a trial's parameters stand for, by dotted path."""
        spelled = {k for k, of in self.space.items() if isinstance(of, OneOf)}
        return {k: from_toml(v) if k in spelled else v for k, v in params.items()}

    def tell(self, trial: optuna.Trial, scores: Sequence[float], pruned: bool) -> None:
        """Ends a trial, whose score is its best epoch's; without any it is pruned."""
        if pruned or not scores:
            self.study.tell(trial, state=State.PRUNED)
        else:
            self.study.tell(trial, max(scores))


def _distribution(of: Any) -> optuna.distributions.BaseDistribution:
    if isinstance(of, OneOf):  # as text, since Optuna stores no lists
        return optuna.distributions.CategoricalDistribution(
            [config.toml_value(value) for value in of.values]
        )
    is_whole = type(of.low) is int
    kind = "IntDistribution" if is_whole else "FloatDistribution"
    return getattr(optuna.distributions, kind)(of.low, of.high, log=of.log)
