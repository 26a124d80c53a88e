"""Experts' outputs mixed by gates' weights."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp

from ple_jax.layers.batch_last import einsum

PART = 16  # hidden units that are added side by side
MOST_PAIRS = 200  # of gate and expert, that are summed one by one


def mixture(weights: jax.Array, outputs: jax.Array, columns: bool) -> jax.Array:
    """What each gate makes of the experts.

        y_g = sum_e w_ge f_e

    With few gates and experts on columns this is a sum of vectors over the batch.
    Otherwise it is a product of small matrices for each example: with its gradients
    three times as long on CPU, but what a pair of gate and expert takes does not grow
    with the number of pairs.

    Args:
        weights: (B, G, E), or columns (G, E, B).
        outputs: (B, E, H), or columns (E, H, B).
        columns: Whether examples are columns; so they are in the result.
    """
    if columns and len(outputs) * len(weights) <= MOST_PAIRS:
        return summed(weights, outputs)
    return einsum("bge,beh->bgh", weights, outputs, columns=columns)


@jax.custom_vjp
def summed(weights: jax.Array, outputs: jax.Array) -> jax.Array:
    """The mixture (G, H, B) of (G, E, B) and (E, H, B) as sums of vectors."""
    w, f = _wide(weights, outputs)
    y = added(w[:, e, None] * f[None, e] for e in range(len(f)))
    return y.astype(outputs.dtype)


def _forward(weights, outputs):
    return summed(weights, outputs), (weights, outputs)


def _backward(kept, grads):
    """dw_ge = sum_h dy_gh f_eh;  df_e = sum_g w_ge dy_g."""
    w, f, dy = _wide(*kept, grads)
    of_outputs = added(w[g, :, None] * dy[None, g] for g in range(len(dy)))
    of_weights = over_hidden(dy, f)
    return tuple(
        grad.astype(x.dtype)
        for grad, x in zip((of_weights, of_outputs), kept, strict=True)
    )


summed.defvjp(_forward, _backward)


def over_hidden(a: jax.Array, b: jax.Array) -> jax.Array:
    """sum_h a_gh b_eh of (G, H, B) and (E, H, B): (G, E, B).

    Parts of the hidden units are added to each other, then what is left is summed up:
    so XLA sees no reduction, for which it would write all products down.
    """
    product = lambda part: a[:, None, part] * b[None, :, part]
    hidden = a.shape[1]
    starts = range(0, hidden - hidden % PART, PART)
    terms = [product(h) for h in range(hidden - hidden % PART, hidden)]
    if starts:
        part = added(product(slice(h, h + PART)) for h in starts)
        terms += [part[:, :, h] for h in range(PART)]
    return added(terms)


def added(terms: Iterable[jax.Array]) -> jax.Array:
    """Their sum, in pairs: rounding errors grow with the logarithm of their number."""
    terms = list(terms)
    while len(terms) > 1:
        pairs = zip(terms[::2], terms[1::2], strict=False)
        left = terms[len(terms) // 2 * 2 :]
        terms = [a + b for a, b in pairs] + left
    return terms[0]


def _wide(*arrays):
    """In float32 at least, as products sum up."""
    return tuple(x.astype(jnp.promote_types(x.dtype, jnp.float32)) for x in arrays)
