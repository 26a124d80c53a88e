"""What a task is: its label, its loss, and what that loss asks of labels."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

OfLoss = Literal[
    "binary",
    "focal",
    "squared",
    "huber",
    "quantile",
    "poisson",
    "ordinal",
    "weighted_logistic",
]
Link = Literal["probability", "identity", "log", "levels"]
AREAS_AND_LOSSES = (
    "auc_roc",
    "auc_pr",
    "grouped_auc",
    "log_loss",
    "normalised_entropy",
)


class Loss(NamedTuple):
    """What a loss is for.

    Attributes:
        link: How a logit becomes a prediction: a `probability` of the label 1, the
            number itself (`identity`), the logarithm of a mean (`log`), or a mean over
            `levels`.
        metrics: Those that may choose a checkpoint; the first is the headline.
        options: Of a task, that this loss takes.
        needs: The options that must be given.
    """

    link: Link
    metrics: tuple[str, ...]
    options: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


LOSSES: dict[str, Loss] = {
    "binary": Loss(
        "probability",
        AREAS_AND_LOSSES,
        ("smoothing", "positive_weight", "entire_space"),
    ),
    "focal": Loss(
        "probability", AREAS_AND_LOSSES, ("gamma", "smoothing", "positive_weight")
    ),
    "squared": Loss("identity", ("rmse", "mse")),
    "huber": Loss("identity", ("mae", "huber", "rmse", "mse"), ("delta",), ("delta",)),
    "quantile": Loss("identity", ("pinball",), ("quantile",)),
    "poisson": Loss("log", ("poisson_deviance", "rmse", "mse")),
    "ordinal": Loss("levels", ("rmse", "mse"), ("levels",), ("levels",)),
    "weighted_logistic": Loss("log", ("rmse", "mse")),
}
# Of any measured task: the first that it has.
HEADLINES = ("auc_roc", "pinball", "poisson_deviance", "mae", "rmse")
# Option -> its value unless it is given, and the open or closed ends of its range.
DEFAULTS = {"gamma": 2.0, "quantile": 0.5, "smoothing": 0.0, "positive_weight": 1.0}
RANGES: dict[str, tuple[float, float, str]] = {
    "delta": (0, math.inf, "()"),
    "gamma": (0, 10, "[]"),
    "quantile": (0, 1, "()"),
    "smoothing": (0, 1, "[)"),
    "positive_weight": (0, math.inf, "()"),
}
MOST_LEVELS = 1000


@dataclasses.dataclass(frozen=True)
class Task:
    """A label to predict.

    Attributes:
        name: Name of the task in results.
        column: Column of the label; None means the column has the task's name.
        positive: The values that count as 1, or a comparison such as ">= 4"; None if
            the column holds 0 and 1, or the number to predict.
        given: An earlier task. Only examples with its label 1 are in the sample space.
        loss: For a label of 0 and 1, `binary` (cross-entropy) or `focal`. For a number,
            `squared` (its mean), `huber` (a mean that outliers hardly move) or
            `quantile`; from 0 on, `poisson` (a count) or `weighted_logistic` (an amount
            that is often 0, such as watch time); `ordinal` for a few `levels`.
        delta: Of `huber`: errors beyond it, in the unit of the label, count linearly.
        gamma: Of `focal`, in [0, 10]: how much less an example counts that is right by
            far. 2 unless it is given; 0 is cross-entropy.
        quantile: Of `quantile`, in (0, 1): the share of labels below the prediction.
            0.5, the median, unless it is given.
        smoothing: Of `binary` and `focal`, in [0, 1): labels become (1 - smoothing) y +
            smoothing / 2. 0 unless it is given.
        positive_weight: Of `binary` and `focal`, above 0: how much a label 1 weighs in
            the loss. Predictions are corrected for it. 1 unless it is given.
        levels: Of `ordinal`: all values that the label may have, ascending.
        entire_space: Of a `binary` task that is given another: whether it is learned
            over all examples, as the chance of both (Ma et al., SIGIR 2018), and not
            over those with the label 1 of the other. It predicts the same: the chance
            given the other.

    Example:
        >>> Task("time", loss="squared", delta=30.0)
        Traceback (most recent call last):
        ValueError: Task 'time' has `delta`, which is an option of the loss 'huber'; ...
    """

    name: str
    column: str | None = None
    positive: tuple[str, ...] | str | None = None
    given: str | None = None
    loss: OfLoss = "binary"
    delta: float | None = None
    gamma: float | None = None
    quantile: float | None = None
    smoothing: float | None = None
    positive_weight: float | None = None
    levels: tuple[float, ...] = ()
    entire_space: bool = False

    def __post_init__(self):
        if self.loss not in LOSSES:
            return  # which whoever reads a schema has refused by its type
        for name in self.given_options:
            self._check_option(name)
        missing = [n for n in self.kind.needs if n not in self.given_options]
        if missing:
            raise ValueError(
                f"Task {self.name!r} has the loss {self.loss!r}, which needs "
                f"`{missing[0]}`: {NEEDED[missing[0]]}."
            )
        if self.positive is not None and not self.is_binary:
            raise ValueError(
                f"Task {self.name!r} has a {self.loss} loss, so its label is a number: "
                f"expected no `positive`, got {self.positive!r}."
            )
        self._check_levels()
        self._check_space()

    @property
    def kind(self) -> Loss:
        """What its loss is for."""
        return LOSSES[self.loss]

    @property
    def is_binary(self) -> bool:
        """Whether its label is 0 or 1, and its prediction a probability."""
        return self.kind.link == "probability"

    @property
    def label_column(self) -> str:
        """Name of the column that holds the label."""
        return self.column or self.name

    @property
    def given_options(self) -> dict[str, Any]:
        """The options of its loss that differ from those of a task without any."""
        return {n: v for n, v in self._options.items() if v != OPTIONS[n]}

    @property
    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in OPTIONS}

    def option(self, name: str) -> float:
        """The number of an option: the one given, or its default."""
        given = getattr(self, name)
        return DEFAULTS[name] if given is None else given

    def _check_option(self, name: str) -> None:
        if name not in self.kind.options:
            of = " and ".join(repr(k) for k, v in LOSSES.items() if name in v.options)
            own = ", ".join(self.kind.options) or "none"
            raise ValueError(
                f"Task {self.name!r} has `{name}`, which is an option of the loss {of};"
                f" options of its own loss, {self.loss!r}: {own}."
            )
        if name in RANGES:
            least, most, ends = RANGES[name]
            value = getattr(self, name)
            above = value >= least if ends[0] == "[" else value > least
            below = value <= most if ends[1] == "]" else value < most
            if not (above and below):
                wanted = f"{ends[0]}{least:g}, {most:g}{ends[1]}"
                raise ValueError(
                    f"{name} of task {self.name!r} must be in {wanted}, got {value}."
                )

    def _check_levels(self) -> None:
        levels = self.levels
        pairs = itertools.pairwise(levels)
        rises = all(a < b for a, b in pairs) and all(map(math.isfinite, levels))
        if levels and not (rises and 2 <= len(levels) <= MOST_LEVELS):
            raise ValueError(
                f"levels of task {self.name!r} must be from 2 to {MOST_LEVELS:,} "
                f"numbers, ascending, got {list(levels)}."
            )

    def _check_space(self) -> None:
        if not self.entire_space:
            return
        if self.given is None:
            raise ValueError(
                f"Task {self.name!r} has entire_space = true, which is for a task that "
                "is given another: its sample space is all examples already."
            )
        others = [name for name in self.given_options if name != "entire_space"]
        if others:
            raise ValueError(
                f"Task {self.name!r} has entire_space = true, the cross-entropy of the "
                f"chance of both tasks: expected no `{others[0]}`."
            )


def chain_of(task: Task, tasks: Sequence[Task]) -> Iterator[Task]:
    """A task, the one that it is given, and so on."""
    yield task
    for other in tasks:
        if other.name == task.given:
            yield from chain_of(other, tasks)


def joint_name(task: Task, tasks: Sequence[Task]) -> str:
    """The name of the chance of a task and of all that it is given.

    Example:
        >>> joint_name(Task("buy", given="click"), [Task("click")])
        'buy_and_click'
    """
    return "_and_".join(one.name for one in chain_of(task, tasks))


OPTIONS = {
    field.name: field.default
    for field in dataclasses.fields(Task)
    if any(field.name in loss.options for loss in LOSSES.values())
}
NEEDED = {
    "delta": "the error, in the unit of the label, beyond which errors count linearly",
    "levels": "all values that its label may have, such as levels = [1, 2, 3, 4, 5]",
}
