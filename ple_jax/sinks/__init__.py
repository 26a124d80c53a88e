"""Where the numbers of a run also go as it trains. Each sink is a file, named by it.

The run directory has them all in any case; a sink shows them elsewhere, beside others.
"""

import importlib.util
import pathlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from ple_jax import plugins

available = partial(plugins.available, __name__)
find = partial(plugins.find, __name__)


class About(NamedTuple):
    """What a sink is told of a run when it opens, at the beginning and on resuming.

    Attributes:
        name: Of the run; that of a trial begins with its sweep's: `ple/seed=1`.
        group: What the names of a sweep's trials have in common; "" of a lone run.
        identity: Of this run alone, and always the same: 8 hexadecimal digits.
        knobs: Dotted path -> value.
        folder: In the run directory, for files of this sink.
        home: The folder that holds the run, or the sweep or study it is of.
        step: Up to where the sink has the run; 0 at the beginning.
    """

    name: str
    group: str
    identity: str
    knobs: Mapping[str, Any]
    folder: pathlib.Path
    home: pathlib.Path
    step: int


class Sink(NamedTuple):
    """A place for numbers; what `build(about)` of a plugin makes.

    Attributes:
        write: Takes a step and its numbers by name, such as `validation/click/auc_roc`
            or, of a domain, `validation/home/click/auc_roc`. Steps come in order.
        finish: Takes the best step, the final numbers, such as
            `best/test/click/auc_roc`, and the final tables in Markdown.
        close: Ends the writing, whether the run is finished or stopped.
    """

    write: Callable[[int, Mapping[str, float]], None]
    finish: Callable[[int, Mapping[str, float], str], None]
    close: Callable[[], None]


def check(names: Iterable[str]) -> None:
    """Raises a ValueError for a sink that is not known, or whose library is not here.

    Example:
        >>> check(["tensorbord"])
        Traceback (most recent call last):
        ValueError: 'tensorbord' is not a known sink. Did you mean ...
    """
    for name in names:
        needed = getattr(find(name), "NEEDS", "")
        if needed and importlib.util.find_spec(needed) is None:
            raise ValueError(
                f"The sink {name!r} needs the package {needed}: "
                f"pip install 'ple-jax[{name}]'."
            )


def as_markdown(knobs: Mapping[str, Any]) -> str:
    """The knobs as a table.

    Example:
        >>> print(as_markdown({"train.epochs": 3}))
        | knob | value |
        | --- | --- |
        | train.epochs | 3 |
    """
    rows = [f"| {path} | {value} |" for path, value in knobs.items()]
    return "\n".join(["| knob | value |", "| --- | --- |", *rows])
