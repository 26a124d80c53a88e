"""Steps of a star network, and of the plain network that it is compared with."""

import types
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ple_jax.layers.star import StarNetwork
from ple_jax.train import one_domain

from .measure import in_turn, medians, queued
from .report import Record

WIDTH, DIMS = 256, (256, 128, 64, 1)
TX = optax.adam(1e-3)


def plain(batch_size: int) -> Callable:
    """Steps of one plain network: the shared part alone."""

    def apply(variables, x, domain):
        for i in range(len(DIMS)):
            w = variables["params"]["shared"][f"layer_{i}"]
            x = x @ w["kernel"] + w["bias"]
            x = jax.nn.relu(x) if i < len(DIMS) - 1 else x
        return x

    return training(batch_size, 1, updating(types.SimpleNamespace(apply=apply)))


def star(batch_size: int, num_domains: int) -> dict[str, Callable]:
    """Steps of a star network on mixed batches, and on batches of one domain."""
    mixed = updating(StarNetwork(num_domains, DIMS))
    return {
        "mixed": training(batch_size, num_domains, mixed),
        "one domain": training(batch_size, num_domains, one_domain_step, mixed=False),
    }


def all_domains(batch_size: int, num_domains: int) -> Callable:
    """Steps of every domain's network on every example; its own logits are kept."""

    def apply(variables, x, domain):
        shared, own = (variables["params"][name] for name in ("shared", "private"))
        h = jnp.broadcast_to(x[:, None], (len(x), num_domains, WIDTH))
        for i in range(len(DIMS)):
            w, p = shared[f"layer_{i}"], own[f"layer_{i}"]
            h = jnp.einsum("bnd,ndh->bnh", h, w["kernel"] * p["factor"])
            h = h + w["bias"] + p["term"]
            h = jax.nn.relu(h) if i < len(DIMS) - 1 else h
        return jnp.take_along_axis(h[..., 0], domain[:, None], 1)

    update = updating(types.SimpleNamespace(apply=apply))
    return training(batch_size, num_domains, update)


def updating(model) -> Callable:
    """One update of all parameters."""

    def update(params, opt_state, x, domain, y):
        def loss(params):
            logits = model.apply({"params": params}, x, domain)[:, 0]
            return optax.sigmoid_binary_cross_entropy(logits, y).mean()

        grads = jax.grad(loss)(params)
        updates, opt_state = TX.update(grads, opt_state)
        return optax.apply_updates(params, updates), opt_state

    return update


def one_domain_step(params, opt_state, x, domain, y):
    """One update of the shared part and of one domain's."""
    state, update = (params, opt_state), updating(StarNetwork(1, DIMS))
    share = one_domain.own(state, domain[0])
    share = update(*share, x, jnp.zeros_like(domain), y)
    return one_domain.put(state, share, domain[0])


def training(
    batch_size: int, num_domains: int, update: Callable, mixed: bool = True
) -> Callable:
    """A function that takes one step from where its last call stopped."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(batch_size, WIDTH)), jnp.float32)
    drawn = rng.integers(0, num_domains, batch_size if mixed else 1)
    domain = jnp.asarray(np.resize(drawn, batch_size), jnp.int32)
    y = (x[:, 0] > 0).astype(jnp.float32)
    init = StarNetwork(num_domains, DIMS).init
    params = jax.jit(init)(jax.random.key(0), x, domain)["params"]
    state = params, TX.init(params)
    jitted = jax.jit(update, donate_argnums=(0, 1))

    def run():
        nonlocal state
        state = jitted(*state, x, domain, y)
        return state

    return run


def beside_plain(num_domains: int, batch: int, calls: int, rounds: int) -> list[Record]:
    """Measure steps on mixed batches and on one domain beside a plain network's."""
    ways = {"plain": plain(batch)} | star(batch, num_domains)
    ways = {name: queued(way, calls) for name, way in ways.items()}
    taken = medians(in_turn(ways, rounds, warm_up=2))
    shown = {name: 1e3 * t / calls for name, t in taken.items()}
    ratio = {"mixed / plain": shown["mixed"] / shown["plain"]}
    return [{"domains": num_domains, "batch": batch, **shown, **ratio}]
