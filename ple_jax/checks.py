"""Checks of names and numbers, with errors that say what was expected.

An option may hold a traced array instead of a number, so that one program serves many
values: `config.with_values` puts the array there once the number has been checked. Code
that only computes accepts both. Code that must know the value asks here: checks let
arrays pass, and `is_off` never takes an array for 0.
"""

import difflib
import numbers
import typing
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from encodings.aliases import aliases
from typing import Any

# XLA ends the process, instead of raising an error, where a product of sizes overflows.
WIDEST = 2**20


def check_known(name: str, known: Iterable[str], what: str) -> None:
    """Raises a ValueError for an unknown name; it gives the nearest and lists all."""
    known = list(known)
    if name not in known:
        raise ValueError(
            f"{name!r} is not a known {what}.{nearest(name, known)} "
            f"Known: {listing(known)}."
        )


def listing(names: Sequence[str], most: int = 40) -> str:
    """The names, or the first of them and how many more there are.

    Example:
        >>> listing(["mmoe", "ple", "star"], most=2)
        'mmoe, ple and 1 more'
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def check_unique(names: Iterable[str], what: str) -> None:
    """Raises a ValueError if a name occurs twice."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(
            f"Each {what} needs a name of its own, got these twice: {twice}."
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean ...?' with the closest of `known`, or nothing.

    Example:
        >>> nearest("plee", ["mmoe", "ple", "star"])
        " Did you mean 'ple'?"
    """
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def check_encoding(name: str) -> None:
    """Raises a ValueError for a name that is no encoding of text."""
    try:
        b"x".decode(name)
    except UnicodeDecodeError:
        return  # one byte is less than a character
    except (LookupError, ValueError):
        hint = nearest(name, sorted(set(aliases.values())))
        raise ValueError(f"{name!r} is not a known encoding of text.{hint}") from None


def at_least(least: float, section: str = "", /, **values: float) -> None:
    """Raises a ValueError for an option below `least`, or NaN; `section` is its own."""
    for name, value in _paths(section, values):
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")


def rate(section: str = "", /, **values: float) -> None:
    """Raises a ValueError for an option outside [0, 1); `section` is its own."""
    for name, value in _paths(section, values):
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value}.")


def at_most(most: float, section: str = "", /, **values: float) -> None:
    """Raises a ValueError for an option above `most`, or NaN; `section` is its own."""
    for name, value in _paths(section, values):
        if not value <= most:
            raise ValueError(f"{name} must be at most {most:,}, got {value:,}.")


def dims(**values: Sequence[int]) -> None:
    """Raises a ValueError for an option with a width below 1 or above `WIDEST`."""
    for name, value in values.items():
        if any(width < 1 for width in value):
            raise ValueError(f"{name} must be widths of at least 1, got {list(value)}.")
        if any(width > WIDEST for width in value):
            raise ValueError(
                f"{name} must be widths of at most {WIDEST:,}, got {list(value)}."
            )


def choice(known: Any, /, **values: str) -> None:
    """Raises a ValueError for an option that is not a value of the Literal `known`."""
    for name, value in values.items():
        check_known(value, typing.get_args(known), f"value of {name}")


def _paths(section: str, values: Mapping[str, float]) -> Iterable[tuple[str, float]]:
    named = plain_numbers(values).items()
    return ((f"{section}.{k}" if section else k, v) for k, v in named)


def plain_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are plain numbers: those that a check can read."""
    return {k: v for k, v in values.items() if isinstance(v, numbers.Real)}


def is_off(value: Any) -> bool:
    """Whether an option is the number 0, which leaves its part out of the program."""
    return isinstance(value, numbers.Real) and value == 0
