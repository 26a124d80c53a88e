"""Encoded rows: the arrays of a batch, for any number of examples."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Examples:
    """Arrays whose leading axis is examples, as in `types.Batch`."""

    ids: np.ndarray  # (B, F) int32
    bags: dict[str, np.ndarray]  # name -> (B, L) int32, padded with -1 at the end
    numbers: np.ndarray  # (B, K) float32
    domain: np.ndarray  # (B,) int32
    labels: np.ndarray  # (B, T) float32
    observed: np.ndarray  # (B, T) bool
    weights: np.ndarray  # (B,) float32
    user: np.ndarray | None = None  # (B,) int64

    def __len__(self) -> int:
        return len(self.domain)

    def arrays(self) -> dict[str, np.ndarray]:
        """Name -> array; a bag is named bags/NAME."""
        named = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        bags = {f"bags/{name}": bag for name, bag in named.pop("bags").items()}
        return {k: v for k, v in (named | bags).items() if v is not None}

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray]) -> "Examples":
        """The inverse of `arrays`."""
        bags = {k.removeprefix("bags/"): v for k, v in arrays.items() if "/" in k}
        return cls(**{k: v for k, v in arrays.items() if "/" not in k}, bags=bags)
