"""How examples are divided: frozen plain data, checked on creation."""

import dataclasses
from typing import Literal

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Split:
    """How examples are divided into train, validation and test.

    Attributes:
        by: `random` splits at random, `time` takes the oldest rows for train and the
            newest for test, `column` reads each row's split from a column, `last` takes
            the last rows of each group for test, and those before them for validation.
        column: The column of times, or of split names. For `last` that of times; with
            none, rows are in the order of the files.
        fractions: Shares of train, validation and test, for `random` and `time`. That
            of test may be 0: then there is no test split, for `last` too.
        seed: Seed of the random split.
        group: For `random`, a column such as the user: all rows of one value are in one
            split. A row without a value is a group of its own. For `last`, whose last
            rows are held out.
        stratify: For `random`, binary tasks or the column of the domain: each split has
            its share of the rows of each label or domain, and of each combination.
        last: For `last`, how many rows of a group test and validation take each. All
            rows of a group are train if none would be left for it.
        train: Values of the split column that mean train.
        validation: Values of the split column that mean validation.
        test: Values of the split column that mean test; with none there is no test
            split.
    """

    by: Literal["random", "time", "column", "last"] = "random"
    column: str | None = None
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0
    group: str | None = None
    stratify: tuple[str, ...] | str = ()
    last: int = 1
    train: tuple[str, ...] = ("train",)
    validation: tuple[str, ...] = ("validation",)
    test: tuple[str, ...] = ("test",)

    def __post_init__(self):
        if self.by != "last" and (self.by == "random") != (self.column is None):
            raise ValueError(
                f"split.by = {self.by!r} takes "
                f"{'no column' if self.by == 'random' else 'a column'}, "
                f"got split.column = {self.column!r}."
            )
        if min(self.fractions) < 0 or abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(
                f"split.fractions must be three shares of at least 0 that sum to 1, "
                f"got {list(self.fractions)}."
            )
        self._check_needed()
        self._check_group()

    def _check_needed(self):
        shares = dict(zip(SPLITS, self.fractions, strict=True))
        if self.by == "column":
            shares = {split: len(getattr(self, split)) for split in SPLITS}
        why = {"train": "which is learned", "validation": "which chooses the epoch"}
        for split, reason in why.items():
            if not shares[split]:
                wanted = "values" if self.by == "column" else "a share above 0"
                raise ValueError(
                    f"split needs {wanted} for {split}, {reason}: only test may have "
                    "none."
                )

    def _check_group(self):
        if self.by == "last":
            return self._check_last()
        asked = [k for k in ("group", "stratify") if getattr(self, k)]
        if asked and self.by != "random":
            raise ValueError(
                f"split.{asked[0]} needs split.by = 'random', got {self.by!r}."
            )
        if len(asked) > 1:
            raise ValueError(
                "split.group and split.stratify exclude each other: a group of rows "
                "has no one label."
            )

    def _check_last(self):
        if not self.group or self.stratify:
            raise ValueError(
                "split.by = 'last' needs split.group, the column whose last rows are "
                f"held out, and no split.stratify, got group = {self.group!r} and "
                f"stratify = {self.stratify!r}."
            )
        if self.last < 1:
            raise ValueError(f"split.last must be at least 1, got {self.last}.")

    @property
    def strata(self) -> tuple[str, ...]:
        """What `stratify` names."""
        if isinstance(self.stratify, str):
            return (self.stratify,)
        return self.stratify

    @property
    def has_test(self) -> bool:
        """Whether a test split is wanted."""
        return bool(self.test) if self.by == "column" else self.fractions[2] > 0
