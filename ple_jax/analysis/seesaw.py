"""The seesaw plane: what models gain on one task beside what they lose on another."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np


def planes(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A plane for each pair of tasks, with the reference at the origin.

    Args:
        found: What `compare` gives; best against single-task models.

    Returns:
        Plain arrays of each plane:

        tasks   (task, task)
        names   of the sides (n,), the reference first
        gains   (n, 2) how far ahead of it, in each task; a lower error is ahead
        ends    (n, 2, 2) the 95 % intervals of these; NaN where unknown
        front   (n,) bool: no other is as good on both tasks and better on one

    Reference: Tang et al., RecSys 2020, figure 3 (the seesaw phenomenon).
    """
    return [_plane(found, pair) for pair in itertools.combinations(found["gains"], 2)]


def _plane(found: Mapping[str, Any], tasks: tuple[str, str]) -> dict[str, Any]:
    each = [found["gains"][task] for task in tasks]
    names = [
        name for name in each[0] if all(of[name]["mean"] is not None for of in each)
    ]
    gains = [[of[name]["mean"] for of in each] for name in names]
    unknown = [np.nan, np.nan]
    ends = [[of[name]["interval"] or unknown for of in each] for name in names]
    whole = np.array([[0.0, 0.0], *gains])
    return {
        "tasks": tasks,
        "names": [found["reference"], *names],
        "gains": whole,
        "ends": np.array([np.zeros((2, 2)), *ends]),
        "front": pareto_front(whole),
    }


def pareto_front(points: np.ndarray) -> np.ndarray:  # (n, T) -> (n,) bool
    """The points that no other equals or beats everywhere, and beats somewhere.

    Example:
        >>> pareto_front(np.array([[0, 0], [1, -1], [-1, -1]])).tolist()
        [True, True, False]
    """
    a, b = points[:, None], points[None]
    beaten = np.all(b >= a, axis=-1) & np.any(b > a, axis=-1)
    return ~np.any(beaten, axis=1)
