"""One model per file; the file name is the model's name.

A model is a linen module whose fields are its only options. It is called as
`model.apply(variables, x, domain, train=False)` with x (B, D) float32 and domain (B,)
int32, and gives logits (B, T).
"""

import inspect
from functools import partial
from typing import Any

import flax.linen as nn

from ple_jax import checks, plugins

available = partial(plugins.available, __name__)


def build(
    kind: str, *, num_tasks: int, num_domains: int = 1, **options: Any
) -> nn.Module:
    """The model `kind` for so many tasks and domains; a dotted kind is found elsewhere.

    Raises:
        ValueError: An unknown kind or option (the message names the nearest), or a
            value that makes no sense.
    """
    make = plugins.find(__name__, kind).build
    known = plugins.options_of(make)
    for option in options:
        checks.check_known(option, known, f"option of model {kind!r}")
    if num_tasks < 1 or num_domains < 1:
        raise ValueError(
            f"A model needs at least one task and one domain, got {num_tasks} tasks "
            f"and {num_domains} domains."
        )
    return make(num_tasks=num_tasks, num_domains=num_domains, **options)


def describe(kind: str) -> dict[str, Any]:
    """What a model is, and its options with their defaults, ready for JSON."""
    make = plugins.find(__name__, kind).build
    knobs = plugins.options_of(make)
    return {
        "summary": (inspect.getdoc(make) or "").partition("\n")[0],
        "options": {
            name: {"default": option.default, "help": option.help}
            for name, option in knobs.items()
            if name not in ("num_tasks", "num_domains")
        },
    }
