"""Multi-gate mixture of experts: ML-MMoE of one level (Ma et al., KDD 2018)."""

from functools import partial
from typing import Annotated

from ple_jax.models.ml_mmoe import MLMMoE
from ple_jax.space import OneOf


class MMoE(MLMMoE):
    """Experts that a gate of each task mixes.

        z_t = tower_t(sum_e softmax(W_t x)_e f_e(x))

    Attributes:
        num_experts: E.

    Cost: grows with E by experts, with T E by gates and mixtures, and with T by towers;
    flat in N.

    Reference: Ma et al., KDD 2018, section 4.2, equations 6-8.
    """

    num_experts: Annotated[int, OneOf(2, 4, 8, 16)] = 8


build = partial(MMoE, num_levels=1, level_widths=())
