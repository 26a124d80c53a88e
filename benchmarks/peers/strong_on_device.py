"""The compiled PyTorch step on the device of `one_gpu.py`, as a child process.

    python -m peers.strong_on_device    (in benchmarks/; lines as in lib/protocol.py)

A request names model, size, dtype, device and the number of batches; the answer gives
the seconds of one step on each. A new request builds anew and drops what was built.
"""

import gc
import time
from collections.abc import Callable
from typing import Any

import torch
from lib.protocol import serve
from lib.sizes import Size, arrays

from peers.strong import Strong

WARM_UP = 3  # calls, compilation included


def line(
    model: str, size: Size, dtype: str, device: str, batches: int
) -> Callable[[], None]:
    """A function that takes a step on each batch, and waits only for the last.

    Our dispatch does not wait between steps either.
    """
    torch.manual_seed(0)
    if device == "cuda":  # JAX's default there: TF32
        torch.set_float32_matmul_precision("high")
    with torch.device(device):
        made = Strong(model, size, compiled=True)
    made.loss = computing_in(dtype, device, made.loss)
    drawn = arrays(size, batches)
    names = ("ids", "numbers", "labels")
    on_device = [torch.from_numpy(drawn[n]).to(device) for n in names]
    ready = list(zip(*on_device, strict=True))

    def run():
        for batch in ready:
            made.step(*batch)
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def computing_in(dtype: str, device: str, loss: Callable) -> Callable:
    """The loss, with products in bfloat16 if `dtype` says so."""

    def cast(*inputs):
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            return loss(*inputs)

    return cast


class Last:
    """The last step that was asked for; the memory of others is freed."""

    def __init__(self):
        self.asked: dict[str, Any] = {}
        self.run: Callable[[], None] | None = None

    def __call__(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer a request."""
        if self.run is None or asked != self.asked:
            self.build(asked)
        start = time.perf_counter()
        self.run()
        return {"seconds": time.perf_counter() - start}

    def build(self, asked: dict[str, Any]) -> None:
        """Build and warm up the step of a request."""
        self.run = None
        torch.compiler.reset()  # else it stops compiling new sizes after a few
        gc.collect()
        torch.cuda.empty_cache()
        made = line(**asked | {"size": Size.from_json(asked["size"])})
        for _ in range(WARM_UP):
            made()
        self.asked, self.run = asked, made


if __name__ == "__main__":
    serve(Last())
