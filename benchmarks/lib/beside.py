"""Our step beside our own fast PyTorch, processes that take turns."""

import pathlib
import statistics
import sys
import tempfile
from contextlib import ExitStack, closing

from .protocol import Case, Child
from .report import Record
from .sizes import MODELS, Size, draw

OURS = "ple-jax"
STRONG = ("strong-torch eager", "strong-torch compile")
THREADS = 2


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
        both = model in MODELS and size.domains == 1
        for library in (OURS, *(STRONG if both else ())):
            start = (sys.executable, "lib.our_step")
            start = start if library == OURS else (python, "peers.step")
            child = self.enter_context(closing(Child(*start)))
            case = Case(library, model, size, batches, THREADS).to_json()
            self.children[library] = child, case

    def medians(self, rounds: int, steps: int) -> Record:
        """Median ms a step: `ms` of ours, `PyTorch, ms` of the faster of two.

        PyTorch that cannot run is left out, with the reason on stderr.

        Raises:
            RuntimeError: Ours cannot run.
        """
        taken = {library: [] for library in self.children}
        for _ in range(rounds):
            for library in list(taken):
                child, case = self.children[library]
                said = child.ask({"case": case, "steps": steps})
                if "error" not in said:
                    taken[library] += said["ms"]
                elif library == OURS:
                    raise RuntimeError(f"{library} cannot run: {said['error']}")
                else:
                    print(f"{library} is left out: {said['error']}", file=sys.stderr)
                    del taken[library]
        middle = {name: statistics.median(each) for name, each in taken.items()}
        ours = middle.pop(OURS)
        theirs = min(middle.values(), default=None)
        return {
            "ms": ours,
            "PyTorch, ms": theirs,
            "PyTorch / ours": theirs and theirs / ours,
        }
