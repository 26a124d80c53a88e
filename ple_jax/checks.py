"""Checks of names and numbers, with errors that say what was expected.

A knob may be an array in the place of its number, so that one program serves many
values: `config.with_values` puts it there after the plain number was checked. What
computes with a knob takes either. Only what must know the value asks here: a check,
which the plain number has passed, and a part that 0 leaves out of the program, which
an array never does.
"""

import difflib
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def check_known(name: str, known: Iterable[str], what: str) -> None:
    """Raises a ValueError that names the nearest known name and lists them all."""
    known = list(known)
    if name not in known:
        raise ValueError(
            f"{name!r} is not a known {what}.{nearest(name, known)} "
            f"Known: {', '.join(known)}."
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean ...?' for the closest of `known`, or nothing."""
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def at_least(least: float, section: str = "", /, **values: float) -> None:
    """Raises a ValueError for an option, of a section, that is below `least` or NaN."""
    for name, value in _paths(section, values):
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")


def rate(section: str = "", /, **values: float) -> None:
    """Raises a ValueError for a chance, of a section, that is outside [0, 1)."""
    for name, value in _paths(section, values):
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value}.")


def dims(**values: Sequence[int]) -> None:
    """Raises a ValueError for a width below 1."""
    for name, value in values.items():
        if any(width < 1 for width in value):
            raise ValueError(f"{name} must be widths of at least 1, got {list(value)}.")


def _paths(section: str, values: Mapping[str, float]) -> Iterable[tuple[str, float]]:
    named = plain_numbers(values).items()
    return ((f"{section}.{k}" if section else k, v) for k, v in named)


def plain_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are plain numbers: what a check can look at."""
    return {k: v for k, v in values.items() if isinstance(v, numbers.Real)}


def is_off(value: Any) -> bool:
    """Whether a knob is 0 and leaves its part out of the program."""
    return isinstance(value, numbers.Real) and value == 0
