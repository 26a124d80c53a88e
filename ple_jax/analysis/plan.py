"""What fits into the time that there is: rows, seeds and epochs."""

import dataclasses

ROWS_A_MINUTE = 20_000
SEEDS = 3
LEAST_EPOCHS = 3
SPARE = 0.8  # of the time, since the estimate is one


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one model costs, in seconds: once, and for each epoch of all seeds."""

    once: float
    epoch: float


@dataclasses.dataclass(frozen=True)
class Plan:
    """What each model is trained with.

    Attributes:
        seeds: Trials of each model.
        epochs: The most epochs; None leaves it to the experiment.
        cuts: What was cut for the time, one sentence each.
    """

    seeds: int = SEEDS
    epochs: int | None = None
    cuts: tuple[str, ...] = ()


def most_rows(minutes: float) -> int:
    """How many rows are looked at in this time."""
    return max(int(minutes * ROWS_A_MINUTE), 1000)


def plan(seconds: float, models: int, cost: Cost, wanted: int) -> Plan:
    """How to train models in this time, at this cost each.

    Epochs are cut first, down to 3; then there is one seed, which costs a third, and
    at least 3 epochs in any case.

    Args:
        seconds: The time for all models.
        models: How many there are.
        cost: What one of them costs with `SEEDS` seeds.
        wanted: Epochs that the experiment asks for, at most.

    Example:
        >>> plan(100, 4, Cost(once=5, epoch=1), wanted=10)
        Plan(seeds=3, epochs=None, cuts=())
        >>> plan(100, 4, Cost(once=5, epoch=3), wanted=10).epochs
        5
    """
    each = SPARE * seconds / models - cost.once
    fit = int(each / cost.epoch)
    if fit >= wanted:
        return Plan()
    if fit >= LEAST_EPOCHS:
        return Plan(SEEDS, fit, (f"At most {fit} epochs instead of {wanted}.",))
    epochs = min(max(int(SEEDS * each / cost.epoch), LEAST_EPOCHS), wanted)
    cuts = ["One seed instead of three: there are no intervals."]
    if epochs < wanted:
        cuts.append(f"At most {epochs} epochs instead of {wanted}.")
    if SEEDS * each < epochs * cost.epoch:
        cuts.append("Fewer would say nothing, so it took longer than was asked.")
    return Plan(1, epochs, tuple(cuts))
