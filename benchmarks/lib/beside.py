"""Our step beside our own fast PyTorch, processes that take turns; and the floor."""

import functools
import pathlib
import statistics
import sys
import tempfile
from contextlib import ExitStack, closing

from . import rates
from .measure import in_turn, medians
from .protocol import Case, Child
from .report import Record
from .sizes import Size, draw

OURS = "ple-jax"
STRONG = ("strong-torch eager", "strong-torch compile")
WRITTEN = ("ple", "mmoe")  # in PyTorch, of one domain
THREADS = 2
SQUARE, COPIED = 2048, 2**26  # the large product's sides; floats of the copy


class Turns(ExitStack):
    """Child processes that train one model at one size.

    Args:
        model: Its name.
        size: The problem.
        python: The Python that has PyTorch.
    """

    def __init__(self, model: str, size: Size, python: str):
        super().__init__()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        batches = str(pathlib.Path(folder, "batches.npz"))
        draw(size, pathlib.Path(batches))
        self.children = {}
        both = model in WRITTEN and size.domains == 1
        for library in (OURS, *(STRONG if both else ())):
            start = (sys.executable, "lib.our_step")
            start = start if library == OURS else (python, "peers.step")
            child = self.enter_context(closing(Child(*start)))
            case = Case(library, model, size, batches, THREADS).to_json()
            self.children[library] = child, case

    def medians(self, rounds: int, steps: int) -> Record:
        """Median ms a step: `ms` of ours, `PyTorch, ms` of the faster of two."""
        taken = {library: [] for library in self.children}
        for _ in range(rounds):
            for library, (child, case) in self.children.items():
                said = child.ask({"case": case, "steps": steps})
                if "error" in said:
                    raise RuntimeError(f"{library} cannot run: {said['error']}")
                taken[library] += said["ms"]
        middle = {name: statistics.median(each) for name, each in taken.items()}
        ours = middle.pop(OURS)
        theirs = min(middle.values(), default=None)
        return {
            "ms": ours,
            "PyTorch, ms": theirs,
            "PyTorch / ours": theirs and theirs / ours,
        }


def floor(operations: float, moved: float) -> float:
    """Seconds: the operations at a product's rate, or the bytes at a copy's."""
    product, copy = fastest()
    return max(operations / product, moved / copy)


@functools.cache
def fastest() -> tuple[float, float]:
    """Operations a second of a large product, and bytes a second of a copy."""
    ways = {"product": rates.product(SQUARE, SQUARE, SQUARE)}
    ways |= {"copy": rates.copy(COPIED)}
    taken = medians(in_turn(ways, rounds=5))
    return 2 * SQUARE**3 / taken["product"], 8 * COPIED / taken["copy"]
