"""Backward passes that compute again what forward passes gave, to save memory."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import lift
from flax.linen.transforms import lift_direct_transform

from ple_jax.types import PyTree


def recompute_module(call: Callable[..., Any], module: nn.Module, *inputs: Any) -> Any:
    """call(module, *inputs), of which the backward pass keeps the inputs alone.

    Like `nn.remat`, which on CPU does nothing: XLA drops its barrier, and then makes
    one of the two equal computations.
    """
    return lift_direct_transform(_lifted, (call,), module, *inputs)


def _lifted(function: Callable[..., Any], scopes: Any, *inputs: Any) -> Any:
    def inner(scope_of, repack, variables, rngs, *inputs):
        def run(variables, rngs, *inputs):
            scope = scope_of(variables, rngs)
            return function(scope, *inputs), repack(scope)

        return recompute(run)(variables, rngs, *inputs)

    return lift.pack(inner, (True,), (True,), (True,), name="remat")(scopes, *inputs)


def recompute(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose backward pass runs it again, once it has the gradients.

    The first argument's numbers are made to depend on the gradients, by a choice that
    the compiler cannot know, so that it cannot take the first run's results.
    """

    def call(*args):
        # Traced once: a second trace of a module would draw other keys for dropout.
        traced, closed_over = jax.closure_convert(function, *args)
        return _twice(traced, *args, *closed_over)

    return call


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _twice(function, *args):
    return function(*args)


def _forward(function, *args):
    return function(*args), args


def _backward(function, args, grads):
    first, *others = args
    _, pull_back = jax.vjp(function, _after(grads, first), *others)
    return pull_back(grads)


_twice.defvjp(_forward, _backward)


def recompute_in_loop(function: Callable[..., Any], products: bool) -> Callable:
    """A loop's body whose backward pass recomputes all, but for products unless asked.

    Forward and backward are two loops, of which the compiler cannot make one.
    """
    policy = None if products else jax.checkpoint_policies.dots_saveable
    return jax.checkpoint(function, policy=policy, prevent_cse=False)


def _after(grads: PyTree, tree: PyTree) -> PyTree:
    """The tree; its numbers wait for the first of the gradients."""
    first = jax.tree.leaves(grads)[0].ravel()[0]
    never = jnp.isnan(first) & (first > 0)
    wait = lambda x: jnp.where(never, jnp.zeros_like(x), x)
    return jax.tree.map(wait, tree)
