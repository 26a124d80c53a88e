"""The sizes that every contender is built at, and the batches that all of them read."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

MODELS = ("ple", "mmoe")  # that PyTorch libraries have, too
BATCHES = 32  # drawn once, read in rotation


@dataclasses.dataclass(frozen=True)
class Size:
    """One size of the problem.

    Attributes:
        rows: Rows of each field's table.
        fields: Categorical fields, one id each.
        width: Width of an embedding.
        numbers: Numeric inputs.
        batch: Examples in a step.
        shared: Shared experts of PLE, at each level.
        own: Experts of PLE that each task owns, at each level.
        levels: Levels of PLE.
        experts: Experts of MMoE.
        expert_dims: Widths of an expert's layers, at each level.
        tower_dims: Widths of a tower's hidden layers.
        tasks: Binary tasks.
        domains: Domains; examples are spread evenly.
        groups: What owns gates, own experts and towers, in models that can choose.
        shared_sees: What PLE's shared gate mixes, if groups are by domain.
    """

    rows: int
    fields: int = 16
    width: int = 16
    numbers: int = 8
    batch: int = 4096
    shared: int = 2
    own: int = 2
    levels: int = 2
    experts: int = 8
    expert_dims: tuple[int, ...] = (64,)
    tower_dims: tuple[int, ...] = (32,)
    tasks: int = 2
    domains: int = 1
    groups: str = "tasks"
    shared_sees: str = "all"

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> "Size":
        """Read what `dataclasses.asdict` wrote as JSON."""
        return cls(**{k: tuple(v) if type(v) is list else v for k, v in tree.items()})

    @property
    def inputs(self) -> int:
        """Width of the first level's input."""
        return self.fields * self.width + self.numbers

    @property
    def table_parameters(self) -> int:
        """Parameters of all tables."""
        return self.fields * self.rows * self.width

    @property
    def expert_counts(self) -> list[int]:
        """Experts of PLE in each group: one group a task, then the shared one."""
        return [self.own] * self.tasks + [self.shared]


def mtreclib(rows: int) -> Size:
    """The widths of MTReclib's README.

    Its PLE has one layer a level, 512 and then 256 wide, which neither library can
    express; here both levels have experts with both layers.
    """
    return Size(
        rows,
        width=128,
        numbers=63,
        batch=2048,
        shared=4,
        own=4,
        expert_dims=(512, 256),
        tower_dims=(128, 64),
    )


SIZES = {
    "common-10k": Size(10_000),
    "common-100k": Size(100_000),
    "common-1m": Size(1_000_000),
    "mtreclib": mtreclib(10_000),
}
QUICK = {"quick": Size(1000, batch=256)}


def arrays(size: Size, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random batches: ids and domains uniform, numbers normal, labels a coin."""
    rng = np.random.default_rng(seed)
    shape = count, size.batch
    return {
        "ids": rng.integers(0, size.rows, (*shape, size.fields), np.int32),
        "numbers": rng.standard_normal((*shape, size.numbers), np.float32),
        "labels": rng.integers(0, 2, (*shape, size.tasks)).astype(np.float32),
        "domain": rng.integers(0, size.domains, shape, np.int32),
    }


def draw(size: Size, path: pathlib.Path) -> None:
    """Write `BATCHES` random batches."""
    np.savez(path, **arrays(size, BATCHES))
