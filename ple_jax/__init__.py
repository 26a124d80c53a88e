"""Multi-task and multi-domain recommender models in JAX."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ple_jax.front import TrainedRun, fit, open

__version__ = "0.1.0"
__all__ = ["TrainedRun", "fit", "open"]


def __getattr__(name: str) -> Any:
    """The front door, imported when it is first used: JAX is slow to import."""
    if name == "sklearn":
        return importlib.import_module("ple_jax.sklearn")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("ple_jax.front"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
