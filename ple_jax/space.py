"""Ranges and choices that a search may try, stated beside an option's type.

dropout_rate: Annotated[float, Between(0.0, 0.5)] = 0.0
expert_dims: Annotated[tuple[int, ...], OneOf((64,), (128, 64))] = (64,)
"""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Between:
    """The numbers from `low` to `high`, both included.

    Attributes:
        low: The least; whole if the option is.
        high: The greatest.
        log: Whether their logarithms are spread evenly, not they themselves.

    Raises:
        ValueError: There are none, or `log` and `low` has no logarithm.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        if not self.low < self.high < float("inf"):
            raise ValueError(f"a range needs low < high, got {self.low} {self.high}.")
        if self.log and not self.low > 0:
            raise ValueError(f"a range in logarithms needs low > 0, got {self.low}.")

    @property
    def examples(self) -> tuple[float, ...]:
        """Values that are within if all are."""
        return self.low, self.high


@dataclasses.dataclass(frozen=True, init=False)
class OneOf:
    """These values.

    Raises:
        ValueError: There are fewer than two, or one of them twice.
    """

    values: tuple[Any, ...]

    def __init__(self, *values: Any):
        object.__setattr__(self, "values", values)
        if len(values) < 2 or any(values.count(value) > 1 for value in values):
            raise ValueError(f"choices must be several, got {list(values)}.")

    @property
    def examples(self) -> tuple[Any, ...]:
        """Values that are within if all are."""
        return self.values


Range = Between | OneOf
