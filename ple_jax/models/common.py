"""What several models share."""

import typing
from collections.abc import Sequence

from ple_jax.checks import check_known
from ple_jax.layers.groups import Groups


def check_groups(groups: str, batch_norm: bool = False) -> None:
    """Raises a ValueError for unknown groups, and for batch norm within a domain."""
    check_known(groups, typing.get_args(Groups), "choice of groups")
    if batch_norm and groups != "tasks":
        raise ValueError(
            f"batch_norm needs groups = 'tasks', got {groups!r}: a domain may have few "
            "examples in a batch, whose statistics say little."
        )


def expert_counts(
    groups: int, per_group: int | Sequence[int], shared: int
) -> list[int]:
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
