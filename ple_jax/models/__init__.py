"""One model per file; the file name is the model's name.

A model is a linen module whose fields are its only options. Calling
`model.apply(variables, x, domain, train=False)` with x (B, D) float32 and domain (B,)
int32 gives logits (B, T).
"""

import inspect
from functools import partial
from typing import Any

import flax.linen as nn

from ple_jax import checks, plugins

available = partial(plugins.available, __name__)


def build(
    kind: str,
    *,
    num_tasks: int,
    num_domains: int = 1,
    remat: bool = False,
    **options: Any,
) -> nn.Module:
    """Builds the model `kind`; a dotted kind is a module that was allowed.

    Args:
        kind: The model's name.
        num_tasks: T.
        num_domains: N.
        remat: Whether the backward pass recomputes levels of experts: `train.remat`.
        options: The model's own.

    Raises:
        ValueError: The kind or an option is unknown (the message names the nearest), an
            option's value is out of range, or a model without levels is to recompute
            them.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = build("mmoe", num_tasks=2, num_experts=3)
        >>> x, domain = jnp.ones((5, 7)), jnp.zeros(5, jnp.int32)
        >>> variables = model.init(jax.random.key(0), x, domain)
        >>> model.apply(variables, x, domain).shape
        (5, 2)
        >>> build("mmoe", num_tasks=2, num_expert=3)
        Traceback (most recent call last):
        ValueError: 'num_expert' is not a known option of model 'mmoe'. Did you mean ...
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
    if remat and "remat" not in known:
        raise ValueError(
            "train.remat recomputes levels of experts and gates, as 'ple' and 'mmoe' "
            f"have; {kind!r} has none, so leave it out."
        )
    given = {"remat": True} if remat else {}
    return make(num_tasks=num_tasks, num_domains=num_domains, **given, **options)


def describe(kind: str) -> dict[str, Any]:
    """A model's summary, and its options' defaults and help, ready for JSON.

    Example:
        >>> describe("cgc")["options"]["shared_experts"]
        {'default': 2, 'help': 'Experts that all tasks see.'}
    """
    make = plugins.find(__name__, kind).build
    options = plugins.options_of(make)
    return {
        "summary": (inspect.getdoc(plugins.unwrap(make)) or "").partition("\n")[0],
        "options": {
            name: {"default": option.default, "help": option.help}
            for name, option in options.items()
            if name not in plugins.GIVEN_TO_MODELS
        },
    }


def check_reads_per_task(model: nn.Module, kind: str) -> None:
    """Raises a ValueError if a model's tasks cannot read inputs of their own."""
    if not getattr(model, "reads_per_task", False):
        raise ValueError(
            "inputs.per_task needs a model whose tasks read inputs of their own, such "
            f"as 'single_task' with groups 'tasks' or 'tasks_domains'; {kind!r} as "
            "given reads one input for all."
        )
