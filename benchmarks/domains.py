"""What do more domains cost a training step of a star network?

    python benchmarks/domains.py

Four ways, each a forward and backward pass and an Adam step on a batch of 4096 examples
of width 256, through layers of 256, 128 and 64: the plain network of one domain; mixed
batches, each example through its own domain's weights (`layers/grouped.py`); batches of
one domain, which move that domain's weights alone; and, for comparison, all domains'
networks on every example, of which one result is kept. The ways take turns; the table
shows the median step.
"""

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ple_jax import domains, writers
from ple_jax.layers.star import StarNetwork

BATCH, WIDTH, DIMS = 4096, 256, (256, 128, 64, 1)
TX = optax.adam(1e-3)


def main() -> None:
    """Prints one line for each number of domains."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--domains", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    ways = {(0, "plain"): case(1, plain_step)}
    for n in asked.domains:
        ways[n, "mixed"] = case(n, functools.partial(step, StarNetwork(n, DIMS)))
        ways[n, "one domain"] = case(n, one_domain_step, mixed=False)
        ways[n, "all, then select"] = case(n, functools.partial(step, All(n)))
    medians = in_turn(ways, asked.steps)
    rows = [
        {"domains": n}
        | {w: medians[n, w] for w in ("mixed", "one domain", "all, then select")}
        for n in asked.domains
    ]
    result = {"batch": BATCH, "plain": medians[0, "plain"], "milliseconds": rows}
    if asked.json:
        print(json.dumps(result, indent=2))
        return
    columns = list(rows[0])
    lines = [[str(r["domains"]), *(f"{r[c]:.1f}" for c in columns[1:])] for r in rows]
    title = f"ms a step; the plain network: {result['plain']:.1f}"
    writers.show(writers.grid(title, columns, lines))


class All:
    """Every domain's network on every example."""

    def __init__(self, num_domains: int):
        self.star = StarNetwork(num_domains, DIMS)
        self.num_domains = num_domains

    def apply(self, variables, x, domain):
        """The logits of each example's own domain."""
        shared, own = (variables["params"][name] for name in ("shared", "private"))
        h = jnp.broadcast_to(x[:, None], (len(x), self.num_domains, WIDTH))
        for i in range(len(DIMS)):
            w, p = shared[f"layer_{i}"], own[f"layer_{i}"]
            h = jnp.einsum("bnd,ndh->bnh", h, w["kernel"] * p["factor"])
            h = h + w["bias"] + p["term"]
            h = jax.nn.relu(h) if i < len(DIMS) - 1 else h
        return jnp.take_along_axis(h[..., 0], domain[:, None], 1)


def plain_step(params, opt_state, x, domain, y):
    """One update of the shared network alone, as a plain network."""

    def apply(variables, x, domain):
        for i in range(len(DIMS)):
            w = variables["params"]["shared"][f"layer_{i}"]
            x = x @ w["kernel"] + w["bias"]
            x = jax.nn.relu(x) if i < len(DIMS) - 1 else x
        return x

    plain = argparse.Namespace(apply=apply)
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
    share = domains.own(state, domain[0])
    share = step(alone, *share, x, jnp.zeros_like(domain), y)
    return domains.put(state, share, domain[0])


def case(num_domains: int, update: Callable, mixed: bool = True) -> Callable[[], float]:
    """A function that takes one step and says how many milliseconds it took."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(BATCH, WIDTH)), jnp.float32)
    drawn = rng.integers(0, num_domains, BATCH if mixed else 1)
    domain = jnp.asarray(np.resize(drawn, BATCH), jnp.int32)
    y = (x[:, 0] > 0).astype(jnp.float32)
    init = StarNetwork(num_domains, DIMS).init
    params = jax.jit(init)(jax.random.key(0), x, domain)["params"]
    state = [params, TX.init(params)]
    jitted = jax.jit(update, donate_argnums=(0, 1))

    def run() -> float:
        start = time.perf_counter()
        state[:] = jax.block_until_ready(jitted(*state, x, domain, y))
        return 1e3 * (time.perf_counter() - start)

    return run


def in_turn(ways: dict, steps: int) -> dict:
    """The median of each way's steps, after two to warm up."""
    taken = {name: [] for name in ways}
    for turn in range(steps + 2):
        for name, run in ways.items():
            ms = run()
            if turn > 1:
                taken[name].append(ms)
    return {name: statistics.median(each) for name, each in taken.items()}


if __name__ == "__main__":
    main()
