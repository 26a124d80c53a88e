"""Knobs that a program takes as arguments, so that one program serves many values.

A knob is read and checked as a plain number; `config.with_values` then puts arrays in
the places of some. What computes with a knob takes either. Only what must know the
value asks here: a check, which the plain number has passed, and a part that 0 leaves
out of the program, which an array never does.
"""

import numbers
from collections.abc import Mapping
from typing import Any


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are plain numbers: what a check can look at."""
    return {k: v for k, v in values.items() if isinstance(v, numbers.Real)}


def is_off(value: Any) -> bool:
    """Whether a knob is 0 and leaves its part out of the program."""
    return isinstance(value, numbers.Real) and value == 0
