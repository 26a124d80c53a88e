"""Small models of every kind, random variables for them, and their scores."""

import functools

import jax
import numpy as np
from lib.arrays import random_array, random_like

from ple_jax import models

# Primes: a swapped axis or a wrong count cannot go unnoticed.
B, T, N, D, H, TOWER = 11, 3, 3, 7, 5, 2
SMALL = {
    "expert_dims": (13, H),
    "tower_dims": (TOWER,),
    "dims": (13, H),
    "auxiliary_dims": (TOWER,),
    "domain_dim": 5,
    "discriminator_dims": (TOWER,),
    "width": 2 * H,
    "num_features": 5,
}


def having(kind, options):
    """Those of the options that this kind of model has, and does not leave empty."""
    known = models.describe(kind)["options"]
    default = lambda name: known.get(name, {"default": ()})["default"]
    return {name: value for name, value in options.items() if default(name) != ()}


def mixed(size, domains=N):
    return np.arange(size, dtype=np.int32) % domains


def start(kind, tasks=T, domains=N, x=None, **options):
    """A small model, random parameters, and an input."""
    options = having(kind, SMALL) | options
    model = models.build(kind, num_tasks=tasks, num_domains=domains, **options)
    x = random_array(B, D) if x is None else x
    return model, random_like(shapes(model, x.shape[1])["params"]), x


@functools.cache
def shapes(model, width):
    x = np.zeros((1, width), np.float32)
    return jax.eval_shape(model.init, jax.random.key(0), x, mixed(1))


def statistics(model, width=D):
    """Batch statistics as if trained; nothing for a model that keeps none."""
    rng = np.random.default_rng(2)
    draw = lambda leaf: np.float32(rng.uniform(0.5, 2, leaf.shape))
    kept = jax.tree.map(draw, shapes(model, width).get("batch_stats", {}))
    return {"batch_stats": kept} if kept else {}


@functools.partial(jax.jit, static_argnums=0)
def intermediates(model, params, x):
    domain = mixed(len(x), model.num_domains)
    sown = model.apply({"params": params}, x, domain, mutable=["intermediates"])[1]
    return sown["intermediates"]


@functools.partial(jax.jit, static_argnums=0)
def apply(model, variables, x, domain):
    """Logits, and what is sown as a penalty."""
    return model.apply(variables, x, domain, mutable=["penalties"])


def scores(model, params, x, domain=None):
    domain = mixed(len(x), model.num_domains) if domain is None else domain
    variables = {"params": params} | statistics(model, x.shape[1])
    logits, sown = apply(model, variables, x, domain)
    return logits, sum(jax.tree.leaves(sown))


def logits(model, params, x, domain=None):
    return np.asarray(scores(model, params, x, domain)[0])
