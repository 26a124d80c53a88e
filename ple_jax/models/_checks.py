"""Checks of options that several models have."""

from collections.abc import Sequence


def at_least(least: int, **values: int) -> None:
    """Raises a ValueError for a value below `least`."""
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")


def dims(**values: Sequence[int]) -> None:
    """Raises a ValueError for a width below 1."""
    for name, value in values.items():
        if any(width < 1 for width in value):
            raise ValueError(f"{name} must be widths of at least 1, got {list(value)}.")


def rate(**values: float) -> None:
    """Raises a ValueError for a chance outside [0, 1)."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value}.")


def experts(num_tasks: int, per_task: int | Sequence[int], shared: int) -> list[int]:
    """How many experts each task owns.

    Raises:
        ValueError: There is not one number for each task, or a task sees no expert.
    """
    own = [per_task] * num_tasks if isinstance(per_task, int) else list(per_task)
    if len(own) != num_tasks:
        raise ValueError(
            f"experts_per_task needs one number for each of the {num_tasks} tasks, "
            f"got {own}."
        )
    if min(own) < 0 or min(own) + shared < 1:
        raise ValueError(
            f"Every task must see an expert, got experts_per_task = {own} and "
            f"shared_experts = {shared}."
        )
    return own
