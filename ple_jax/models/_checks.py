"""Checks of options that several models have."""

import typing
from collections.abc import Sequence

from ple_jax.layers.groups import Groups
from ple_jax.registry import check_known
from ple_jax.traced import known


def at_least(least: int, **values: int) -> None:
    """Raises a ValueError for a value below `least`."""
    for name, value in known(values).items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")


def dims(**values: Sequence[int]) -> None:
    """Raises a ValueError for a width below 1."""
    for name, value in values.items():
        if any(width < 1 for width in value):
            raise ValueError(f"{name} must be widths of at least 1, got {list(value)}.")


def rate(**values: float) -> None:
    """Raises a ValueError for a chance outside [0, 1)."""
    for name, value in known(values).items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value}.")


def groups(groups: str, batch_norm: bool = False) -> None:
    """Raises a ValueError for unknown groups, and for batch norm within a domain."""
    check_known(groups, typing.get_args(Groups), "choice of groups")
    if batch_norm and groups != "tasks":
        raise ValueError(
            f"batch_norm needs groups = 'tasks', got {groups!r}: a domain may have few "
            "examples in a batch, whose statistics say little."
        )


def experts(groups: int, per_group: int | Sequence[int], shared: int) -> list[int]:
    """How many experts each group owns.

    Raises:
        ValueError: There is not one number for each group, or a group sees no expert.
    """
    own = [per_group] * groups if isinstance(per_group, int) else list(per_group)
    if len(own) != groups:
        raise ValueError(
            f"experts_per_task needs one number for each of the {groups} tasks, "
            f"got {own}."
        )
    if min(own) < 0 or min(own) + shared < 1:
        raise ValueError(
            f"Every task must see an expert, got experts_per_task = {own} and "
            f"shared_experts = {shared}."
        )
    return own
