"""The options that models of several levels share."""

from ple_jax import checks
from ple_jax.models.common import WithGates


class WithLevels(WithGates):
    """A model of levels of experts and gates.

    Attributes:
        num_levels: Levels of experts and gates.
        expert_dims: Widths of the layers of each expert, at every level.
        level_widths: Widths of single-layer experts, one for each level, instead of
            expert_dims; papers narrow from level to level.
    """

    num_levels: int = 2
    level_widths: tuple[int, ...] = ()

    def __post_init__(self):
        checks.at_least(1, num_levels=self.num_levels)
        checks.dims(level_widths=self.level_widths)
        if self.level_widths and len(self.level_widths) != self.num_levels:
            raise ValueError(
                f"level_widths needs one width for each of the {self.num_levels} "
                f"levels, got {list(self.level_widths)}."
            )
        super().__post_init__()

    @property
    def level_dims(self) -> list[tuple[int, ...]]:
        """The widths of each level's experts."""
        if not self.level_widths:
            return [self.expert_dims] * self.num_levels
        return [(width,) for width in self.level_widths]
