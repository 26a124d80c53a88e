"""One data set per file, named by it."""

from functools import partial
from typing import Any

from ple_jax import plugins

available = partial(plugins.available, __name__)
find = partial(plugins.find, __name__)


def describe(kind: str) -> dict[str, Any]:
    """What `ple-jax datasets` shows about a data set, ready for JSON.

    These are a summary and the source, and as far as the plugin's `describe()` says
    them the number of rows, each task's base rate, each domain's size, and the terms.
    """
    names = ("summary", "rows", "tasks", "domains", "source", "terms")
    unknown: dict[str, Any] = {"tasks": {}, "domains": {}, "terms": ""}
    return dict.fromkeys(names) | unknown | find(kind).describe()
