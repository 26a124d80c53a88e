"""Mixtures of experts' outputs by gate weights.

With the batch last, these are sums of vectors of the length of the batch, pattern by
pattern, with gradients of their own: XLA would write the terms of a `reduce` to memory
first. With the batch first, they are a product of small matrices for each example, of
all gates and experts: small products for each pattern take up to twice as long.
"""

import functools
import itertools
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp

from ple_jax.layers.batch_last import Axis
from ple_jax.layers.patterns import Block, Pattern, numbers

PART = 8  # hidden units that are added side by side
Patterns = tuple[Pattern, ...]


def mixture(
    patterns: Patterns, weights: Sequence[jax.Array], outputs: jax.Array, axis: Axis
) -> jax.Array:
    """Each gate's weighted sum of the experts that it sees.

        y_g = sum_e w_ge f_e

    Args:
        patterns: Which experts each gate sees.
        weights: Of each pattern (B, gates, each), or (gates, each, B) with the batch
            last.
        outputs: (B, E, H), or (E, H, B) with the batch last.
        axis: Where examples lie, here and in the result.
    """
    if axis.batch_last:
        return weighted_sum(patterns, list(weights), outputs)
    experts = outputs.shape[axis.networks]
    return jnp.einsum("bge,beh->bgh", dense(patterns, weights, experts, axis), outputs)


def dense(
    patterns: Patterns, weights: Sequence[jax.Array], experts: int, axis: Axis
) -> jax.Array:  # (B, G, E), or (G, E, B)
    """The weights of all pairs; 0 where a gate does not see an expert."""
    flat = [axis.fold(w) for w in weights]
    unseen = jnp.zeros_like(axis.take(flat[0], slice(1)))
    pairs = jnp.concatenate([*flat, unseen], axis.networks)
    return axis.take(pairs, numbers(patterns, experts))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def weighted_sum(
    patterns: Patterns, weights: list[jax.Array], outputs: jax.Array
) -> jax.Array:
    """The mixtures (G, H, B) as sums of vectors."""
    *ws, f = _widen(*weights, outputs)
    mixed = []
    for pattern, w in zip(patterns, ws, strict=True):
        seen = [_seen(pattern, block, f) for block in pattern.blocks]
        experts = [some[:, i] for some in seen for i in range(some.shape[1])]
        mixed.append(pairwise_sum(w[:, e, None] * x for e, x in enumerate(experts)))
    return jnp.concatenate(mixed).astype(outputs.dtype)


def _forward(patterns, weights, outputs):
    return weighted_sum(patterns, weights, outputs), (weights, outputs)


def _backward(patterns, kept, grads):
    """dw_ge = sum_h dy_gh f_eh;  df_e = sum_g w_ge dy_g."""
    weights, outputs = kept
    *ws, f, grads = _widen(*weights, outputs, grads)
    of_weights, of_blocks = [], []
    for pattern, w in zip(patterns, ws, strict=True):
        dy = grads[pattern.first : pattern.first + pattern.gates]
        dw = [
            sum_over_hidden(dy[:, None], _seen(pattern, b, f)) for b in pattern.blocks
        ]
        of_weights.append(jnp.concatenate(dw, axis=1).astype(weights[0].dtype))
        of_blocks += [(b.first, _of_outputs(b, w, dy)) for b in pattern.blocks]
    return of_weights, _add_up(of_blocks, len(f)).astype(outputs.dtype)


weighted_sum.defvjp(_forward, _backward)


def _seen(pattern: Pattern, block: Block, f: jax.Array) -> jax.Array:
    """A block's outputs (gates, each, H, B), or (1, each, H, B) if all see the same."""
    seen = f[block.first : block.stop(pattern.gates)]
    return seen.reshape(-1, block.each, *f.shape[1:])


def _of_outputs(block: Block, weights: jax.Array, grads: jax.Array) -> jax.Array:
    """The gradient of a block's experts (experts, H, B) by that of its gates."""
    w = weights[:, block.column : block.column + block.each, None]
    if block.own:
        return (w * grads[:, None]).reshape(-1, *grads.shape[1:])
    return pairwise_sum(w[g] * grads[g, None] for g in range(len(grads)))


def _add_up(parts: Sequence[tuple[int, jax.Array]], experts: int) -> jax.Array:
    """The sum (E, H, B) of parts that begin at an expert each, as few pieces."""
    ends = {0, experts} | {n for first, x in parts for n in (first, first + len(x))}
    pieces = []
    for start, stop in itertools.pairwise(sorted(ends)):
        terms = [
            x[start - first : stop - first]
            for first, x in parts
            if first <= start and stop <= first + len(x)
        ]
        unseen = jnp.zeros((stop - start, *parts[0][1].shape[1:]), parts[0][1].dtype)
        pieces.append(pairwise_sum(terms or [unseen]))
    return jnp.concatenate(pieces)


def sum_over_hidden(a: jax.Array, b: jax.Array) -> jax.Array:
    """sum_h a_h b_h, of (..., H, B) and (..., H, B): (..., B).

    Adds parts of the hidden units to each other, then what is left. XLA sees no
    reduction this way; for one it would write all products to memory.
    """
    product = lambda part: a[..., part, :] * b[..., part, :]
    hidden = a.shape[-2]
    whole = hidden - hidden % PART
    terms = [product(h) for h in range(whole, hidden)]
    if whole:
        part = pairwise_sum(product(slice(h, h + PART)) for h in range(0, whole, PART))
        terms += [part[..., h, :] for h in range(PART)]
    return pairwise_sum(terms)


def softmax(logits: jax.Array, axis: Axis) -> jax.Array:
    """The softmax over the experts of (B, gates, each), or (gates, each, B)."""
    return softmax_last(logits) if axis.batch_last else jax.nn.softmax(logits)


@jax.custom_vjp
def softmax_last(logits: jax.Array) -> jax.Array:
    """The softmax over the experts of (gates, each, B), as sums of vectors."""
    columns = range(logits.shape[1])
    largest = functools.reduce(jnp.maximum, (logits[:, e] for e in columns))
    chances = jnp.exp(logits - largest[:, None])
    return chances / pairwise_sum(chances[:, e] for e in columns)[:, None]


def _softmax_forward(logits):
    weights = softmax_last(logits)
    return weights, weights


def _softmax_backward(w, grads):
    """dl_e = w_e (dw_e - sum_i w_i dw_i)."""
    mean = pairwise_sum(w[:, e] * grads[:, e] for e in range(w.shape[1]))
    return (w * (grads - mean[:, None]),)


softmax_last.defvjp(_softmax_forward, _softmax_backward)


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
