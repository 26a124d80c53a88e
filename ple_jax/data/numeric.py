"""Encodings of numeric fields: fitted on train, applied to any row."""

import dataclasses
from typing import Any

import numpy as np

from ple_jax.data.counts import NumberCounts, signed_log
from ple_jax.layout import IdColumn, NumberColumn
from ple_jax.schema import Encoding, Field

# Where z-scores are clipped: no value of train is this far out unless it has 1e12 rows.
MOST_DEVIATIONS = 1e6


@dataclasses.dataclass(frozen=True)
class NumericFit:
    """The encodings of a numeric field, fitted on train.

    Attributes:
        name: Name of the field.
        encodings: The encodings that it has.
        moments: Encoding -> (mean, standard deviation), for `standard` and `log`.
        edges: Lower bounds of all buckets but the first, ascending.
        knots: The bins + 1 bounds of the piecewise-linear encoding, ascending.
    """

    name: str
    encodings: tuple[Encoding, ...]
    moments: dict[str, tuple[float, float]]
    edges: np.ndarray
    knots: np.ndarray

    def id_columns(self, dim: int | None) -> list[IdColumn]:
        """The column of bucket ids, or none."""
        if "buckets" not in self.encodings:
            return []
        name = f"{self.name}:bucket"
        return [IdColumn(name, name, len(self.edges) + 2, dim)]

    def number_columns(self) -> list[NumberColumn]:
        """The columns of numbers."""
        plain = [NumberColumn(f"{self.name}:{e}") for e in self.moments]
        if "piecewise" in self.encodings:
            bins = len(self.knots) - 1
            plain.append(NumberColumn(f"{self.name}:piecewise", bins))
        return plain

    def ids(self, x: np.ndarray) -> list[np.ndarray]:  # (B,) -> columns (B,) int32
        """The bucket of each number: 0 means missing, 1 is the first bucket."""
        if "buckets" not in self.encodings:
            return []
        bucket = 1 + np.searchsorted(self.edges, x, side="right")
        return [np.where(np.isnan(x), 0, bucket).astype(np.int32)]

    def numbers(self, x: np.ndarray) -> list[np.ndarray]:  # (B,) -> columns (B,)
        """Encodes numbers as float32; a missing one becomes 0, as the mean does.

        A z-score is at most 1e6 (`MOST_DEVIATIONS`) from 0, so that finite numbers give
        finite columns.
        """
        columns = []
        for encoding, (mean, spread) in self.moments.items():
            value = signed_log(x) if encoding == "log" else x
            with np.errstate(over="ignore"):  # what overflows is clipped
                deviations = (value - mean) / spread
            columns.append(np.clip(deviations, -MOST_DEVIATIONS, MOST_DEVIATIONS))
        if "piecewise" in self.encodings:
            at = np.arange(len(self.knots), dtype=np.float64)
            columns.append(np.interp(x, self.knots, at))
        return [np.nan_to_num(c, nan=0.0).astype(np.float32) for c in columns]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plain = dataclasses.asdict(self)
        return plain | {"edges": self.edges.tolist(), "knots": self.knots.tolist()}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "NumericFit":
        """Reverses `to_dict`; JSON keeps every float64 exactly."""
        return cls(
            name=plain["name"],
            encodings=tuple(plain["encodings"]),
            moments={k: tuple(v) for k, v in plain["moments"].items()},
            edges=np.array(plain["edges"], np.float64),
            knots=np.array(plain["knots"], np.float64),
        )


def fit_numeric(field: Field, counts: NumberCounts) -> NumericFit:
    """Fits a numeric field's encodings to its numbers in train."""
    encodings = choose_encodings(field, counts)
    knots = np.unique(
        np.r_[
            counts.values[:1], counts.quantiles(field.bins, False), counts.values[-1:]
        ]
    )
    if len(knots) < 2:  # a constant has no pieces
        encodings = tuple(e for e in encodings if e != "piecewise")
    return NumericFit(
        name=field.name,
        encodings=encodings,
        moments={
            e: counts.moments(log=e == "log")
            for e in ("standard", "log")
            if e in encodings
        },
        edges=bucket_edges(counts, field.bins),
        knots=knots,
    )


def choose_encodings(field: Field, counts: NumberCounts) -> tuple[Encoding, ...]:
    """The encodings that a field asks for; `auto` means buckets and the logarithm.

    Buckets let the model bend anywhere; the logarithm orders the values within one.
    """
    if "auto" not in field.encodings:
        return field.encodings
    return ("buckets", "log")


def bucket_edges(counts: NumberCounts, bins: int) -> np.ndarray:
    """Lower bounds of all buckets but the first.

    If there are at most `bins` distinct values, each has its own bucket. Otherwise
    buckets are quantiles of the nonzero numbers, and zero, if it occurs, has its own.
    """
    if len(counts.values) <= bins:
        return counts.values[1:]
    edges = counts.quantiles(bins, nonzero=True)
    if (counts.values == 0).any():
        edges = np.unique(np.r_[edges, 0.0, np.nextafter(0.0, 1.0)])
    return edges
