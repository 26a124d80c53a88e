"""Runs what belongs to one domain on that domain's examples only.

Parameters and batch statistics that each domain has for itself live under the name
`private`, with a leading axis N.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.layers.remat import recompute, recompute_in_loop
from ple_jax.types import Array, PyTree

PRIVATE = "private"
ROWS, MOST_ROWS = 8, 1088  # per block: a multiple, and the most
# (shared, one domain's private, rows (n, ...), ints (n, ...)) -> results (n, ...)
Function = Callable[[PyTree, PyTree, PyTree, PyTree], PyTree]


def by_domain(
    function: Function,
    shared: PyTree,
    private: PyTree,  # leaves (N, ...)
    rows: PyTree,  # leaves (B, ...), float
    ints: PyTree,  # leaves (B, ...), of any type; no gradient
    domain: Array,  # (B,) int32
    on_accelerator: bool | None = None,
    remat: bool = False,
) -> PyTree:  # leaves (B, ...)
    """Applies a function to each example with its own domain's parameters.

        y_i = function(shared, private[domain_i], rows_i, ints_i)

    Examples are sorted by domain into blocks of one domain each. Whatever N is, this
    costs what B examples cost, and at most a part of a block more for each domain. On
    CPU, blocks run one at a time, read their domain's parameters in place, and add
    their gradients in place; the backward pass keeps the results of products and
    recomputes all else. On accelerators all blocks run as one batched product, with
    parameters gathered by block.

    Args:
        function: Maps n examples to n results, each from its own example alone.
        shared: Parameters of all domains.
        private: Each domain's own parameters.
        rows: The examples' inputs that need gradients.
        ints: The examples' inputs that need none.
        domain: Each example's domain.
        on_accelerator: Whether to run blocks as one product; None asks the device.
        remat: Whether the backward pass recomputes products too.
    """
    # A traced index cannot index a NumPy array.
    private, rows, ints = jax.tree.map(jnp.asarray, (private, rows, ints))
    domain = jnp.asarray(domain)
    num_domains = jax.tree.leaves(private)[0].shape[0]
    if num_domains == 1:
        only = jax.tree.map(lambda leaf: jnp.squeeze(leaf, 0), private)
        return _run_all(function, remat)((shared, only), rows, ints)
    if on_accelerator is None:
        on_accelerator = jax.default_backend() != "cpu"
    blocks = Blocks.of(domain, num_domains)
    rows, ints = blocks.split(rows), blocks.split(ints)
    if on_accelerator:
        each = jax.tree.map(lambda leaf: leaf[blocks.domain], private)
        run = jax.vmap(function, (None, 0, 0, 0))
        out = _run_all(run, remat)((shared, each), rows, ints)
    else:
        out = _run_in_turn(
            function, remat, shared, private, rows, ints, blocks.domain, blocks.used
        )
    return blocks.join(out)


def _run_all(function: Callable[..., PyTree], remat: bool) -> Callable[..., PyTree]:
    """The function of (shared, private), rows and ints."""
    run = lambda params, rows, ints: function(*params, rows, ints)
    return recompute(run) if remat else run


class Blocks(NamedTuple):
    """Examples sorted by domain into M blocks of R places, one domain each.

    Empty places repeat an example of the block's own domain. Their gradients are zero
    times that example, whose NaN must not reach another domain's parameters.
    """

    example: jax.Array  # (M, R) int32, the example in each place
    domain: jax.Array  # (M,) int32
    used: jax.Array  # () int32, number of blocks with examples; these come first
    place: jax.Array  # (B,) int32, each example's place among all M * R

    @classmethod
    def of(cls, domain: jax.Array, num_domains: int) -> "Blocks":
        """Sorts a batch by its domains (B,)."""
        batch = domain.shape[0]
        size = block_rows(batch, num_domains)
        most = min(batch // size + num_domains, batch)
        counts = jnp.zeros((num_domains,), jnp.int32).at[domain].add(1)
        blocks = -(-counts // size)
        last = jnp.cumsum(blocks)
        order = jnp.argsort(domain).astype(jnp.int32)  # stable
        sorted_domain = domain[order]
        start = jnp.cumsum(counts) - counts
        within = jnp.arange(batch) - start[sorted_domain]
        to = ((last - blocks)[sorted_domain] * size + within).astype(jnp.int32)
        number = jnp.searchsorted(last, jnp.arange(most), side="right")
        number = jnp.minimum(number, jnp.max(domain, initial=0))  # of unused blocks
        first = jnp.repeat(order[start[number]], size)
        return cls(
            first.at[to].set(order).reshape(most, size),
            number,
            last[-1],
            jnp.zeros((batch,), jnp.int32).at[order].set(to),
        )

    def split(self, rows: PyTree) -> PyTree:
        """(B, ...) -> (M, R, ...)."""
        return jax.tree.map(lambda leaf: leaf[self.example], rows)

    def join(self, blocks: PyTree) -> PyTree:
        """(M, R, ...) -> (B, ...)."""
        flat = lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[self.place]
        return jax.tree.map(flat, blocks)


def block_rows(batch: int, num_domains: int) -> int:
    """Size of a block: an even share of the batch plus two deviations, within bounds.

    So most of several equal domains fit one block. Each block costs a read of its
    domain's parameters.
    """
    share = batch / num_domains
    multiple = round((share + 2 * math.sqrt(share)) / ROWS)
    return min(MOST_ROWS, ROWS * max(1, multiple))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _run_in_turn(function, remat, shared, private, rows, ints, domain, used):
    """Runs the blocks one at a time: (M, R, ...) -> (M, R, ...)."""

    def block(i):
        own = _at(private, domain[i])
        return function(shared, own, _at(rows, i), _at(ints, i))

    return _collect(block, used, len(domain))


def _forward(function, remat, *args):
    *_, domain, used = args

    def block(i):
        out, pull_back, given = _linearise(function, remat, args, i)
        return out, _new_leaves(pull_back, given)

    out, kept = _collect(block, used, len(domain))
    return out, (args, kept)


def _backward(function, remat, residuals, cotangent):
    args, kept = residuals
    shared, private, rows, _, domain, used = args

    def body(i, sums):
        linear = _linearise(function, remat, args, i)
        pull_back = _restore(*linear[1:], _at(kept, i))
        of_shared, of_own, of_rows = pull_back(_at(cotangent, i))
        before = _at(sums[1], domain[i])
        return (
            jax.tree.map(jnp.add, sums[0], of_shared),
            _put(sums[1], jax.tree.map(jnp.add, before, of_own), domain[i]),
            _put(sums[2], of_rows, i),
        )

    zeros = jax.tree.map(jnp.zeros_like, (shared, private, rows))
    return *jax.lax.fori_loop(0, used, body, zeros), None, None, None


def _collect(block: Callable[[jax.Array], PyTree], used, number: int) -> PyTree:
    """Stacks the results of all used blocks, (M, ...); zeros for the others."""
    zeros = lambda leaf: jnp.zeros((number, *leaf.shape), leaf.dtype)
    empty = jax.tree.map(zeros, jax.eval_shape(block, 0))
    return jax.lax.fori_loop(0, used, lambda i, all: _put(all, block(i), i), empty)


def _linearise(function, remat, args, i):
    """Gives block i's results, its backward pass, and the leaves given to both."""
    shared, private, rows, ints, domain, _ = args
    own, its_rows, its_ints = _at(private, domain[i]), _at(rows, i), _at(ints, i)
    call = recompute_in_loop(lambda *floats: function(*floats, its_ints), remat)
    out, pull_back = jax.vjp(call, shared, own, its_rows)
    return out, pull_back, jax.tree.leaves((shared, own, its_rows, its_ints))


def _new_leaves(pull_back, given) -> list[jax.Array]:
    """The leaves that a backward pass holds but was not given: results of products."""
    return [x for x in jax.tree.leaves(pull_back) if _is_new(x, given)]


def _restore(pull_back, given, kept):
    """Puts kept leaves into a backward pass, so that its forward pass is not run."""
    left = iter(kept)
    pick = lambda leaf: next(left) if _is_new(leaf, given) else leaf
    return jax.tree.map(pick, pull_back)


def _is_new(leaf, given) -> bool:
    return all(leaf is not other for other in given)


_run_in_turn.defvjp(_forward, _backward)


def _at(tree: PyTree, i) -> PyTree:
    pick = functools.partial(jax.lax.dynamic_index_in_dim, index=i, keepdims=False)
    return jax.tree.map(pick, tree)


def _put(tree: PyTree, values: PyTree, i) -> PyTree:
    put = functools.partial(jax.lax.dynamic_update_index_in_dim, index=i, axis=0)
    return jax.tree.map(put, tree, values)


def dropout_keys(
    module: nn.Module, rows: int | tuple[int, ...]
) -> jax.Array | tuple[()]:  # (*rows, 2)
    """Key data for each row, or () if the module was given no key for dropout."""
    if not module.has_rng("dropout"):
        return ()
    return jax.random.key_data(jax.random.split(module.make_rng("dropout"), rows))


def dropout_key(keys: jax.Array) -> jax.Array:  # (R, 2) -> ()
    """The key that a block drops units by: that of its first example."""
    return jax.random.wrap_key_data(keys[0])


class PerDomain(nn.Module):
    """A copy of a module for each domain, run on the domain's own examples.

        y_i = module_{domain_i}(inputs_i)

    Attributes:
        module: The module to copy; called as module(*inputs, train).
        num_domains: N.
        remat: Whether the backward pass recomputes products too.
    """

    module: nn.Module
    num_domains: int
    remat: bool = False

    @nn.compact
    def __call__(self, domain: Array, *inputs: Array, train: bool = False):
        """Each example's result; sows what the module sows."""
        module = self.module.clone(parent=None, name=None)
        private = self.param(PRIVATE, self._init, module, inputs)
        remat = self.remat
        return run_copies(self, module, private, domain, inputs, train, remat)

    def _init(self, key, module, inputs):
        rows = [jnp.zeros((1, *leaf.shape[1:]), leaf.dtype) for leaf in inputs]
        one = lambda key: module.init(key, *rows)["params"]
        return jax.vmap(one)(jax.random.split(key, self.num_domains))


def run_copies(
    parent: nn.Module,
    module: nn.Module,
    private: PyTree,  # leaves (N, ...)
    domain: Array,  # (B,)
    inputs: tuple[Array, ...],
    train: bool,
    remat: bool = False,
) -> PyTree:
    """Runs an unbound module with each domain's own parameters on its own examples.

    `parent` gives keys for dropout, and sows what the module sows.
    """
    watched = parent.is_mutable_collection("intermediates")
    keys = dropout_keys(parent, len(domain)) if train else ()

    def function(_, own, rows, keys):
        rngs = {"dropout": dropout_key(keys)} if len(keys) else {}
        mutable = ["intermediates"] if watched else []
        return module.apply({"params": own}, *rows, train, rngs=rngs, mutable=mutable)

    out, sown = by_domain(function, (), private, inputs, keys, domain, remat=remat)
    for path, value in jax.tree.leaves_with_path(sown.get("intermediates", {})):
        names = [key.key for key in path if hasattr(key, "key")]
        parent.sow("intermediates", "/".join(names), value)
    return out
