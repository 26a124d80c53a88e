"""Weightings of gradients beside those of torchjd, which pytest does not run.

    pip install torchjd[cagrad,nash_mtl] && python tests/weightings/against_torchjd.py

Prints, for each method, the largest difference of the merged gradient over 8 random
sets each of 2, 3 and 5 gradients, in units of its length. PCGrad draws orders of its
own, so only those of 2 are compared.
"""

import numpy as np
import torch
from test_on_gradients import gradients, weights_of
from torchjd import aggregation

THEIRS = {
    "mgda": lambda: aggregation.MGDA(epsilon=1e-6, max_iters=3000),
    "cagrad": lambda: aggregation.CAGrad(c=0.4),
    "pcgrad": aggregation.PCGrad,
    "imtl_g": aggregation.IMTLG,
    "nash": None,  # needs the number of tasks
    "aligned": aggregation.AlignedMTL,
    "upgrad": aggregation.UPGrad,
}
SCALED = {"aligned": lambda count: count}  # ours is a sum, theirs a mean


def ours(kind: str, grads: np.ndarray) -> np.ndarray:
    """The merged gradient."""
    return weights_of(kind, grads) @ grads


def theirs(kind: str, grads: np.ndarray) -> np.ndarray:
    """That of torchjd, in float64."""
    if kind == "nash":
        made = aggregation.NashMTL(n_tasks=len(grads), max_norm=0.0, optim_niter=100)
    else:
        made = THEIRS[kind]()
    scale = SCALED.get(kind, lambda count: 1)(len(grads))
    return scale * made(torch.tensor(grads)).numpy()


def main() -> None:
    """Print one line for each method."""
    for kind in THEIRS:
        sizes = (2,) if kind == "pcgrad" else (2, 3, 5)
        worst = 0.0
        for count in sizes:
            for seed in range(8):
                grads = gradients(count, seed)
                try:
                    a, b = ours(kind, grads), theirs(kind, grads)
                except ImportError as error:
                    print(kind, error)
                    break
                if kind == "nash":  # of a length that they scale
                    a, b = (x / np.linalg.norm(x) for x in (a, b))
                worst = max(worst, np.linalg.norm(a - b) / np.linalg.norm(b))
        print(f"{kind}: {worst:.1e}")


if __name__ == "__main__":
    main()
