"""Files that carry weights, logits and gradients from one side to the other."""

import pathlib
from collections.abc import Mapping

import numpy as np

OURS, THEIRS = "ours.npz", "theirs.npz"
TOLERANCE = 1e-5


def write(
    path: pathlib.Path,
    weights: Mapping[str, np.ndarray],
    logits: np.ndarray,
    gradients: Mapping[str, np.ndarray],
) -> None:
    """Write one side's arrays, parameters by name."""
    named = {f"weight {name}": value for name, value in weights.items()}
    named |= {f"gradient {name}": value for name, value in gradients.items()}
    np.savez(path, logits=logits, **named)


def weights(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Read the weights that `write` wrote."""
    with np.load(path) as arrays:
        names = [name for name in arrays if name.startswith("weight ")]
        return {name.removeprefix("weight "): arrays[name] for name in names}


def largest_difference(folder: pathlib.Path) -> tuple[float, str]:
    """The largest difference between the sides, relative to its array's largest value.

    Also gives the name of that array.
    """
    with np.load(folder / OURS) as ours, np.load(folder / THEIRS) as theirs:
        if set(ours) != set(theirs):
            unlike = sorted(set(ours) ^ set(theirs))
            raise ValueError(
                f"The sides must have the same parameters; only one has {unlike}."
            )
        return max((difference(ours[name], theirs[name]), name) for name in ours)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest absolute difference, as a share of our largest value."""
    if ours.shape != theirs.shape:
        raise ValueError(
            f"Shapes must agree: ours {ours.shape}, theirs {theirs.shape}."
        )
    return float(abs(ours - theirs).max() / (abs(ours).max() or 1))
