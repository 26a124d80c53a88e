"""Bounds of time that the environment states; they are no part of a run."""

import os
import threading


def seconds(name: str, default: float, least: float, what: str) -> float:
    """The seconds that a variable of the environment states, or by default others.

    Args:
        name: The variable.
        default: Where it is not set, or empty.
        least: The fewest seconds that it may state.
        what: What the error says of it.

    Raises:
        ValueError: It does not state so many seconds.
    """
    text = os.environ.get(name, "")
    if not text:
        return default
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not least <= found < threading.TIMEOUT_MAX:
        raise ValueError(f"{name} must be {what}, got {text!r}.")
    return found
