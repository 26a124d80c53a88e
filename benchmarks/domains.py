"""What do more domains cost a training step of a star network?

    python benchmarks/domains.py [--domains N ...] [--json]

Four ways, each a forward and backward pass and an Adam step on a batch of 4096 examples
of width 256, through layers of 256, 128 and 64: the plain network of one domain; mixed
batches, each example through its own domain's weights (`layers/grouped.py`); batches of
one domain, which move that domain's weights alone; and, for comparison, all domains'
networks on every example, of which one result is kept. The ways take turns, the last
one apart from the others; the table shows the median step.
"""

import functools
import types
from collections.abc import Callable

import _measure
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ple_jax.layers.star import StarNetwork
from ple_jax.train import one_domain

WIDTH, DIMS = 256, (256, 128, 64, 1)
TX = optax.adam(1e-3)


def main() -> None:
    """Prints one line for each number of domains."""
    parser = _measure.command(__doc__)
    parser.add_argument("--domains", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=4096)
    asked = parser.parse_args()
    if asked.quick:
        asked.domains, asked.steps, asked.batch_size = [3], 1, 64
    case = functools.partial(training, asked.batch_size)
    ways, all_ways = {(0, "plain"): case(1, plain_step)}, {}
    for n in asked.domains:
        ways |= {(n, way): run for way, run in star(n, asked.batch_size).items()}
        every = functools.partial(step, all_domains(n))
        all_ways[n, "all, then select"] = case(n, every)
    # Apart: after gigabytes of activations, whoever is next pays for them.
    taken = {}
    for each in (ways, all_ways):
        taken |= _measure.medians(_measure.in_turn(each, asked.steps, warm_up=2))
    results = [
        {"domains": n, "plain": taken[0, "plain"]}
        | {w: taken[n, w] for w in ("mixed", "one domain", "all, then select")}
        for n in asked.domains
    ]
    for record in results:
        record |= {k: 1e3 * v for k, v in record.items() if k != "domains"}
    _measure.show(f"ms a step, batch {asked.batch_size}", results, asked.json)


def star(num_domains: int, batch_size: int) -> dict[str, Callable]:
    """A star network's steps on mixed batches, and on those of one domain."""
    mixed = functools.partial(step, StarNetwork(num_domains, DIMS))
    return {
        "mixed": training(batch_size, num_domains, mixed),
        "one domain": training(batch_size, num_domains, one_domain_step, mixed=False),
    }


def all_domains(num_domains: int) -> types.SimpleNamespace:
    """Every domain's network on every example; the logits of its own are kept."""

    def apply(variables, x, domain):
        shared, own = (variables["params"][name] for name in ("shared", "private"))
        h = jnp.broadcast_to(x[:, None], (len(x), num_domains, WIDTH))
        for i in range(len(DIMS)):
            w, p = shared[f"layer_{i}"], own[f"layer_{i}"]
            h = jnp.einsum("bnd,ndh->bnh", h, w["kernel"] * p["factor"])
            h = h + w["bias"] + p["term"]
            h = jax.nn.relu(h) if i < len(DIMS) - 1 else h
        return jnp.take_along_axis(h[..., 0], domain[:, None], 1)

    return types.SimpleNamespace(apply=apply)


def plain_step(params, opt_state, x, domain, y):
    """One update of the shared network alone, as a plain network."""

    def apply(variables, x, domain):
        for i in range(len(DIMS)):
            w = variables["params"]["shared"][f"layer_{i}"]
            x = x @ w["kernel"] + w["bias"]
            x = jax.nn.relu(x) if i < len(DIMS) - 1 else x
        return x

    plain = types.SimpleNamespace(apply=apply)
    return step(plain, params, opt_state, x, domain, y)


def step(model, params, opt_state, x, domain, y):
    """One update of everything."""

    def loss(params):
        logits = model.apply({"params": params}, x, domain)[:, 0]
        return optax.sigmoid_binary_cross_entropy(logits, y).mean()

    grads = jax.grad(loss)(params)
    updates, opt_state = TX.update(grads, opt_state)
    return optax.apply_updates(params, updates), opt_state


def one_domain_step(params, opt_state, x, domain, y):
    """One update of the shared part, and of one domain's."""
    state, alone = (params, opt_state), StarNetwork(1, DIMS)
    share = one_domain.own(state, domain[0])
    share = step(alone, *share, x, jnp.zeros_like(domain), y)
    return one_domain.put(state, share, domain[0])


def training(
    batch_size: int, num_domains: int, update: Callable, mixed: bool = True
) -> Callable:
    """A function that takes one step from where it stopped before."""
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


def beside_plain(
    num_domains: int, batch: int, queued: int, rounds: int
) -> list[_measure.Record]:
    """A star network's step on a mixed batch, on one of one domain, and a plain one."""
    ways = {"plain": training(batch, 1, plain_step)} | star(num_domains, batch)
    ways = {name: _measure.queued(way, queued) for name, way in ways.items()}
    taken = _measure.medians(_measure.in_turn(ways, rounds, warm_up=2))
    shown = {name: 1e3 * t / queued for name, t in taken.items()}
    ratio = {"mixed / plain": shown["mixed"] / shown["plain"]}
    return [{"domains": num_domains, "batch": batch, **shown, **ratio}]


if __name__ == "__main__":
    main()
