"""Work that belongs to one domain, done on that domain's examples only.

Parameters that each domain has for itself live under a module named `private`, with a
leading axis N, in the batch statistics too.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.types import PyTree

PRIVATE = "private"
LEAST_ROWS, MOST_ROWS = 16, 1088  # of a block
# (shared, one domain's private, rows (n, ...), ints (n, ...)) -> results (n, ...)
Function = Callable[[PyTree, PyTree, PyTree, PyTree], PyTree]


def by_domain(
    function: Function,
    shared: PyTree,
    private: PyTree,  # leaves (N, ...)
    rows: PyTree,  # leaves (B, ...), float
    ints: PyTree,  # leaves (B, ...), of any type; no gradient
    domain: jax.Array,  # (B,) int32
    on_accelerator: bool | None = None,
) -> PyTree:  # leaves (B, ...)
    """A function with each example's own domain's parameters.

        y_i = function(shared, private[domain_i], rows_i, ints_i)

    The examples are sorted by domain into blocks of one domain each, so the cost is
    that of B examples and at most a part of a block for each domain, whatever N is. On
    CPU the blocks are worked off one after another, straight from each domain's
    parameters, and gradients are added in place; what products give is kept for the
    backward pass, all else it computes anew. On accelerators all blocks go as one
    batched product, with the parameters gathered by block.

    Args:
        function: Maps n examples to n results, each from its own example alone.
        shared: What all domains use.
        private: What each domain has for itself.
        rows: What the function reads of each example.
        ints: The same, for what needs no gradient.
        domain: Each example's domain.
        on_accelerator: Which way; None looks at the device.
    """
    # A traced index cannot pick from a NumPy array.
    args = private, rows, ints, domain
    private, rows, ints, domain = jax.tree.map(jnp.asarray, args)
    num_domains = jax.tree.leaves(private)[0].shape[0]
    if num_domains == 1:
        only = jax.tree.map(lambda leaf: jnp.squeeze(leaf, 0), private)
        return function(shared, only, rows, ints)
    if on_accelerator is None:
        on_accelerator = jax.default_backend() != "cpu"
    blocks = Blocks.of(domain, num_domains)
    rows, ints = blocks.split(rows), blocks.split(ints)
    if on_accelerator:
        each = jax.tree.map(lambda leaf: leaf[blocks.domain], private)
        out = jax.vmap(function, (None, 0, 0, 0))(shared, each, rows, ints)
    else:
        out = _in_turn(
            function, shared, private, rows, ints, blocks.domain, blocks.used
        )
    return blocks.join(out)


class Blocks(NamedTuple):
    """Examples sorted by domain into M blocks of R places; a block has one domain.

    Empty places repeat an example of the block's own domain: their gradients are zero
    times what it holds, and not even its NaN may reach another domain's parameters.
    """

    example: jax.Array  # (M, R) int32, which example
    domain: jax.Array  # (M,) int32
    used: jax.Array  # () int32, blocks that hold examples; they come first
    place: jax.Array  # (B,) int32, each example's place among all M * R

    @classmethod
    def of(cls, domain: jax.Array, num_domains: int) -> "Blocks":
        """The blocks of a batch's domains (B,)."""
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
        number = jnp.minimum(number, jnp.max(domain, initial=0))  # where not used
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
    """A domain's even share of the batch and two deviations of it, within bounds.

    So where domains are even, most of them fill one block: each block has the price of
    its domain's parameters.
    """
    share = batch / num_domains
    rows = LEAST_ROWS * math.ceil((share + 2 * math.sqrt(share)) / LEAST_ROWS)
    return min(MOST_ROWS, rows)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _in_turn(function, shared, private, rows, ints, domain, used):
    """The blocks one by one: (M, R, ...) -> (M, R, ...)."""

    def block(i):
        own = _at(private, domain[i])
        return function(shared, own, _at(rows, i), _at(ints, i))

    return _collected(block, used, len(domain))


def _forward(function, *args):
    *_, domain, used = args

    def block(i):
        out, pull_back, given = _pull_back(function, args, i)
        return out, _computed(pull_back, given)

    out, kept = _collected(block, used, len(domain))
    return out, (args, kept)


def _backward(function, residuals, cotangent):
    args, kept = residuals
    shared, private, rows, _, domain, used = args

    def body(i, sums):
        pull_back = _with_kept(*_pull_back(function, args, i)[1:], _at(kept, i))
        of_shared, of_own, of_rows = pull_back(_at(cotangent, i))
        before = _at(sums[1], domain[i])
        return (
            jax.tree.map(jnp.add, sums[0], of_shared),
            _put(sums[1], jax.tree.map(jnp.add, before, of_own), domain[i]),
            _put(sums[2], of_rows, i),
        )

    zeros = jax.tree.map(jnp.zeros_like, (shared, private, rows))
    return *jax.lax.fori_loop(0, used, body, zeros), None, None, None


def _collected(block: Callable[[jax.Array], PyTree], used, number: int) -> PyTree:
    """What each used block gives, (M, ...); zeros for the others."""
    zeros = lambda leaf: jnp.zeros((number, *leaf.shape), leaf.dtype)
    empty = jax.tree.map(zeros, jax.eval_shape(block, 0))
    return jax.lax.fori_loop(0, used, lambda i, all: _put(all, block(i), i), empty)


def _pull_back(function, args, i):
    """Block i's results, its backward pass, and the leaves that both were given."""
    shared, private, rows, ints, domain, _ = args
    own, its_rows, its_ints = _at(private, domain[i]), _at(rows, i), _at(ints, i)
    call = jax.checkpoint(
        lambda *floats: function(*floats, its_ints),
        policy=jax.checkpoint_policies.dots_saveable,
        prevent_cse=False,  # forward and backward are two loops
    )
    out, pull_back = jax.vjp(call, shared, own, its_rows)
    return out, pull_back, jax.tree.leaves((shared, own, its_rows, its_ints))


def _computed(pull_back, given) -> list[jax.Array]:
    """What a backward pass holds beside what it was given: the products' results."""
    return [x for x in jax.tree.leaves(pull_back) if _is_new(x, given)]


def _with_kept(pull_back, given, kept):
    """The backward pass with what was kept; the forward pass behind it is not run."""
    left = iter(kept)
    pick = lambda leaf: next(left) if _is_new(leaf, given) else leaf
    return jax.tree.map(pick, pull_back)


def _is_new(leaf, given) -> bool:
    return all(leaf is not other for other in given)


_in_turn.defvjp(_forward, _backward)


def _at(tree: PyTree, i) -> PyTree:
    pick = functools.partial(jax.lax.dynamic_index_in_dim, index=i, keepdims=False)
    return jax.tree.map(pick, tree)


def _put(tree: PyTree, values: PyTree, i) -> PyTree:
    put = functools.partial(jax.lax.dynamic_update_index_in_dim, index=i, axis=0)
    return jax.tree.map(put, tree, values)


def dropout_keys(module: nn.Module, rows: int) -> jax.Array | tuple[()]:  # (B, 2)
    """Data of a key for each row; nothing where the module was given no key."""
    if not module.has_rng("dropout"):
        return ()
    return jax.random.key_data(jax.random.split(module.make_rng("dropout"), rows))


def dropout_key(keys: jax.Array) -> jax.Array:  # (R, 2) -> ()
    """A block drops by the key of its first example."""
    return jax.random.wrap_key_data(keys[0])


class PerDomain(nn.Module):
    """A copy of a module for each domain, on the domain's own examples.

        y_i = module_{domain_i}(inputs_i)

    Attributes:
        module: What each domain has; called as module(*inputs, train).
        num_domains: N.
    """

    module: nn.Module
    num_domains: int

    @nn.compact
    def __call__(self, domain: jax.Array, *inputs: jax.Array, train: bool = False):
        """Each example's result; what the module sows is sown here."""
        module = self.module.clone(parent=None, name=None)
        private = self.param(PRIVATE, self._init, module, inputs)
        watched = self.is_mutable_collection("intermediates")
        keys = dropout_keys(self, len(domain)) if train else ()

        def function(_, own, rows, keys):
            rngs = {"dropout": dropout_key(keys)} if len(keys) else {}
            mutable = ["intermediates"] if watched else []
            return module.apply(
                {"params": own}, *rows, train, rngs=rngs, mutable=mutable
            )

        out, sown = by_domain(function, (), private, inputs, keys, domain)
        self._sow(sown.get("intermediates", {}))
        return out

    def _sow(self, sown):
        for path, value in jax.tree.leaves_with_path(sown):
            names = [key.key for key in path if hasattr(key, "key")]
            self.sow("intermediates", "/".join(names), value)

    def _init(self, key, module, inputs):
        rows = [jnp.zeros((1, *leaf.shape[1:]), leaf.dtype) for leaf in inputs]
        one = lambda key: module.init(key, *rows)["params"]
        return jax.vmap(one)(jax.random.split(key, self.num_domains))
