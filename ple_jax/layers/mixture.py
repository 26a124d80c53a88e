"""Mixtures of experts' outputs by gate weights."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp

from ple_jax.layers.batch_last import Axis

PART = 16  # hidden units that are added side by side
MOST_PAIRS = 200  # pairs of gate and expert that are added one by one


def mixture(weights: jax.Array, outputs: jax.Array, axis: Axis) -> jax.Array:
    """Each gate's weighted sum of the experts.

        y_g = sum_e w_ge f_e

    With the batch last and few pairs of gate and expert, this adds vectors of the
    length of the batch. Otherwise it is a product of small matrices an example, which
    takes three times as long on CPU, gradients included, but whose cost a pair does not
    grow with the number of pairs.

    Args:
        weights: (B, G, E), or (G, E, B) with the batch last.
        outputs: (B, E, H), or (E, H, B) with the batch last.
        axis: Where examples lie, here and in the result.
    """
    if axis.batch_last and len(outputs) * len(weights) <= MOST_PAIRS:
        return weighted_sum(weights, outputs)
    return axis.einsum("bge,beh->bgh", weights, outputs)


@jax.custom_vjp
def weighted_sum(weights: jax.Array, outputs: jax.Array) -> jax.Array:
    """The mixture (G, H, B) of (G, E, B) and (E, H, B) as sums of vectors."""
    w, f = _widen(weights, outputs)
    y = pairwise_sum(w[:, e, None] * f[None, e] for e in range(len(f)))
    return y.astype(outputs.dtype)


def _forward(weights, outputs):
    return weighted_sum(weights, outputs), (weights, outputs)


def _backward(kept, grads):
    """dw_ge = sum_h dy_gh f_eh;  df_e = sum_g w_ge dy_g."""
    weights, outputs = kept
    w, f, dy = _widen(weights, outputs, grads)
    of_outputs = pairwise_sum(w[g, :, None] * dy[None, g] for g in range(len(dy)))
    of_weights = sum_over_hidden(dy, f)
    return of_weights.astype(weights.dtype), of_outputs.astype(outputs.dtype)


weighted_sum.defvjp(_forward, _backward)


def sum_over_hidden(a: jax.Array, b: jax.Array) -> jax.Array:
    """sum_h a_gh b_eh of (G, H, B) and (E, H, B): (G, E, B).

    Adds parts of the hidden units to each other, then what is left. XLA sees no
    reduction this way; for one it would write all products to memory.
    """
    product = lambda part: a[:, None, part] * b[None, :, part]
    hidden = a.shape[1]
    starts = range(0, hidden - hidden % PART, PART)
    terms = [product(h) for h in range(hidden - hidden % PART, hidden)]
    if starts:
        part = pairwise_sum(product(slice(h, h + PART)) for h in starts)
        terms += [part[:, :, h] for h in range(PART)]
    return pairwise_sum(terms)


def pairwise_sum(terms: Iterable[jax.Array]) -> jax.Array:
    """Adds terms in pairs: rounding errors grow with the logarithm of their number."""
    terms = list(terms)
    while len(terms) > 1:
        pairs = zip(terms[::2], terms[1::2], strict=False)
        left = terms[len(terms) // 2 * 2 :]
        terms = [a + b for a, b in pairs] + left
    return terms[0]


def _widen(*arrays):
    """Casts to float32 at least, the precision that matrix products add up in."""
    return tuple(x.astype(jnp.promote_types(x.dtype, jnp.float32)) for x in arrays)
