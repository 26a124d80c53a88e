"""Products of stacked kernels with the batch last; networks of one input share one."""

import itertools
import math

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from ple_jax.types import Array

NARROW = 128  # inputs whose transpose costs little


class OfOwners(flax.struct.PyTreeNode):
    """Inputs of groups, of which each network of a stack reads its owner's.

    Attributes:
        inputs: (groups, D, B).
        owner: For each network, the group whose input it reads.
    """

    inputs: jax.Array
    owner: tuple[int, ...] = flax.struct.field(pytree_node=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """(D, B), of the one input that a network reads."""
        return self.inputs.shape[1:]


@custom_vmap
def product(
    kernel: jax.Array,  # (D, H)
    x: Array | OfOwners,  # (D, B)
) -> jax.Array:  # (H, B)
    """W x; networks side by side that read one input share one product.

    Differentiable under vmap only, as `experts.stack` calls it.
    """
    return kernel.T @ (x.inputs[x.owner[0]] if isinstance(x, OfOwners) else x)


@product.def_vmap
def _product_of_networks(size, batched, kernel, x):
    if isinstance(x, OfOwners):
        return product_of_groups(kernel, x.inputs, x.owner), True
    if batched == [True, False]:
        return product_of_one_input(kernel, x), True
    axes = [0 if mapped else None for mapped in batched]
    return jax.vmap(lambda kernel, x: kernel.T @ x, axes)(kernel, x), True


def product_of_groups(
    kernel: Array,  # (E, D, H)
    inputs: jax.Array,  # (groups, D, B)
    owner: tuple[int, ...],  # (E,)
) -> jax.Array:  # (E, H, B)
    """W_e x_owner(e); neighbours of one owner read its input in place."""
    each = math.gcd(*(len(list(run)) for _, run in itertools.groupby(owner)))
    owners = owner[::each]
    x = inputs if owners == tuple(range(len(inputs))) else inputs[np.array(owners)]
    kernels = jnp.asarray(kernel).reshape(len(owners), each, *kernel.shape[1:])
    y = jax.vmap(product_of_one_input)(kernels, x)
    return y.reshape(len(kernel), *y.shape[2:])


@jax.custom_vjp
def product_of_one_input(kernel: jax.Array, x: jax.Array) -> jax.Array:
    """W_e x (E, H, B) of kernels (E, D, H) and one input (D, B).

    On CPU, what a product's operands are copied to first, and the order of its result,
    cost as much as a tenth of the product. Narrow networks transpose their kernels,
    wide ones lay them side by side, row by row.
    """
    networks, _, hidden = kernel.shape
    if 2 * networks * hidden <= x.shape[1]:
        return jnp.einsum("edh,db->ehb", kernel, x)
    return (_side_by_side(kernel).T @ x).reshape(networks, hidden, -1)


def _forward(kernel, x):
    return product_of_one_input(kernel, x), (kernel, x)


def _backward(kept, grads):
    """dW_e = dy_e x^T;  dx = sum_e W_e^T dy_e.

    Of x, with dx, and dy the smaller is transposed, unless x is narrow: that costs
    little, and two transposes hold more memory. Each barrier keeps the compiler from
    moving a transpose to the other operand or result.
    """
    kernel, x = kept
    networks, inputs, hidden = kernel.shape
    dy = grads.reshape(networks * hidden, -1)
    kernels, barrier = _side_by_side(kernel), jax.lax.optimization_barrier
    if inputs > max(networks * hidden, NARROW):
        of_kernel = (dy @ x.T).reshape(networks, hidden, inputs)
        return of_kernel.swapaxes(1, 2), barrier(barrier(dy.T) @ kernels.T).T
    of_kernel = (barrier(x) @ dy.T).reshape(inputs, networks, hidden)
    return of_kernel.swapaxes(0, 1), barrier(kernels @ dy)


product_of_one_input.defvjp(_forward, _backward)


def _side_by_side(kernel: jax.Array) -> jax.Array:  # (E, D, H) -> (D, E H)
    return kernel.swapaxes(0, 1).reshape(kernel.shape[1], -1)
