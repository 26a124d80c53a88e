"""The compiled strong line on the device that `gpu.py` measures, as a child process.

    python -m peers.torch_device    (in benchmarks/; lines as in `protocol.py`)

A request says model, size, dtype, device and how many batches; the answer, "seconds",
is of a step on each. What is asked anew is built anew, and nothing else is kept.
"""

import gc
import time
from collections.abc import Callable
from typing import Any

import torch

from peers.protocol import serve
from peers.sizes import Size, arrays
from peers.strong import Strong

WARM_UP = 3  # the compiler's steps among them


def line(
    model: str, size: Size, dtype: str, device: str, batches: int
) -> Callable[[], None]:
    """A function that takes a step on each batch and waits for the last.

    As in our dispatch, nothing waits between the steps.
    """
    torch.manual_seed(0)
    if device == "cuda":  # JAX's default there: TF32
        torch.set_float32_matmul_precision("high")
    with torch.device(device):
        made = Strong(model, size, compiled=True)
    made.loss = computing_in(dtype, device, made.loss)
    drawn = arrays(size, batches)
    on_device = {n: torch.from_numpy(a).to(device) for n, a in drawn.items()}
    ready = list(zip(*(on_device[n] for n in drawn), strict=True))

    def run():
        for batch in ready:
            made.step(*batch)
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def computing_in(dtype: str, device: str, loss: Callable) -> Callable:
    """The loss, with products in bfloat16 if that is the dtype."""

    def cast(*inputs):
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            return loss(*inputs)

    return cast


class Last:
    """The line that was asked for last; the others' memory is given back."""

    def __init__(self):
        self.asked: dict[str, Any] = {}
        self.run: Callable[[], None] | None = None

    def __call__(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request."""
        if self.run is None or asked != self.asked:
            self.build(asked)
        start = time.perf_counter()
        self.run()
        return {"seconds": time.perf_counter() - start}

    def build(self, asked: dict[str, Any]) -> None:
        """The line of a request, warm."""
        self.run = None
        torch.compiler.reset()  # else it compiles only so many sizes of one function
        gc.collect()
        torch.cuda.empty_cache()
        made = line(**asked | {"size": Size.from_json(asked["size"])})
        for _ in range(WARM_UP):
            made()
        self.asked, self.run = asked, made


if __name__ == "__main__":
    serve(Last())
