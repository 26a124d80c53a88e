"""How task losses become one; one weighting per file, the file name is its name."""

from functools import partial
from typing import Any

from ple_jax import registry
from ple_jax.weightings._base import Clock, Weighting

__all__ = ["Clock", "Weighting", "available", "build"]

available = partial(registry.available, __name__)


def build(kind: str, **options: Any) -> Weighting:
    """The weighting `kind` with these options; a dotted kind names a module elsewhere.

    Raises:
        ValueError: An unknown kind or option; the message names the nearest.
    """
    make = registry.find(__name__, kind).build
    known = registry.options_of(make)
    for option in options:
        registry.check_known(option, known, f"option of weighting {kind!r}")
    return make(**options)
