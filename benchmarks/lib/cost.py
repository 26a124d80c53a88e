"""What one training step of the library costs, beside what its equations need."""

from typing import NamedTuple

from ple_jax.layers.per_domain import Blocks
from ple_jax.plans import program

from . import needs, problem
from .report import Record
from .sizes import Size, arrays


class Cost(NamedTuple):
    """Operations and bytes of a compiled step, and those that the equations need."""

    operations: float
    needed: float
    memory: program.Memory
    kept: float  # bytes: activations, and slopes of all parameters
    places: int  # of examples in all blocks of one domain, empty ones included

    @property
    def operations_ratio(self) -> float:
        """1 is a step that computes nothing twice and nothing for nothing."""
        return self.operations / self.needed

    @property
    def memory_ratio(self) -> float:
        """Temporary memory as a multiple of what the backward pass reads."""
        return self.memory.temporary / self.kept


def of_step(kind: str, size: Size, remat: bool = False) -> Cost:
    """Compiles a step that updates whole tables, and counts; nothing runs.

    Loops whose count the program computes are those of steps, here one, and inside it
    those over blocks of one domain: as many as a batch of random domains has.
    """
    trainer = problem.trainer_for(kind, size, remat=remat, update="dense")
    batches = problem.batches_of(arrays(size, 1))
    state, batches = trainer.shapes(), trainer.prepare(batches)
    compiled = trainer.steps.lower(state, batches, 1).compile()
    split = Blocks.of(batches.domain[0], size.domains)
    blocks = int(split.used)
    options = problem.options_of(kind, size)
    return Cost(
        program.operations(compiled.as_text(), lambda depth: blocks if depth else 1),
        needs.operations(kind, size, options),
        program.memory(compiled),
        needs.memory(kind, size, options),
        blocks * split.example.shape[1],
    )


def record(kind: str, size: Size, remat: bool = False) -> Record:
    """Operations and memory for a table."""
    cost = of_step(kind, size, remat)
    return {
        "GFLOP": cost.operations / 1e9,
        "needed, GFLOP": cost.needed / 1e9,
        "/ equations": cost.operations_ratio,
        "temporary, MB": cost.memory.temporary / 1e6,
        "/ kept": cost.memory_ratio,
        "state, MB": cost.memory.donated / 1e6,
    }
