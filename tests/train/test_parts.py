"""A batch in parts: the model's logits, losses and gradients are those of the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import assert_close
from lib.training import tiny

from ple_jax import models, weightings
from ple_jax.data.loader import Loader
from ple_jax.embeddings.tables import Tables
from ple_jax.layers.members import Members
from ple_jax.train.parts import in_parts
from ple_jax.train.trainer import jitted, make_step

DOMAINS = 3


def stepped(data, kind, knobs, options, steps=2):
    """The state after two steps of a batch of 60, of which tasks see few examples."""
    batches = Loader(data.split("train"), 60, 0).batches(0, 0, steps)
    rng = np.random.default_rng(0)
    seen = batches.observed & (rng.random(batches.observed.shape) < [1, 0.3])
    domain = rng.integers(0, DOMAINS, batches.domain.shape, np.int32)
    weights = rng.random(domain.shape, np.float32)
    batches = batches.replace(observed=seen, domain=domain, weights=weights)
    model = models.build(kind, num_tasks=2, num_domains=DOMAINS, **options)
    knobs = {"optimizer": "sgd", "batch_size": 60} | knobs
    train, tables = tiny(train=knobs).train, Tables(data.layout, tiny().inputs)
    taken = jitted(make_step(model, tables, weightings.build("fixed"), train, 3))
    return taken.steps(taken.init(), batches, steps)[0]


WIDTHS = {"expert_dims": (7,), "tower_dims": (5,)}
MODELS = {
    "ple": ("ple", WIDTHS),
    "by domain": ("cgc", WIDTHS | {"groups": "tasks_domains"}),
    "with a penalty": ("mulann", {}),
}


@pytest.mark.parametrize(("kind", "options"), MODELS.values(), ids=MODELS)
def test_a_step_in_parts_is_the_step(data, kind, options):
    whole, parts = (stepped(data, kind, {"parts": n}, options) for n in (1, 5))
    assert_close(parts.trained, whole.trained, rtol=1e-5, atol=1e-6)
    assert_close(parts.stream, whole.stream, rtol=1e-5, atol=1e-6)


def test_gradients_of_parts_add_up_in_float32():
    """In bfloat16, 256 and one more are 256."""
    model, x, domain, variables = made(B := 600, jnp.bfloat16)
    rngs = {"dropout": jax.random.key(1)}

    def total(params):
        apply = in_parts(model, B, B).apply
        return apply({"params": params}, x, domain, True, rngs=rngs, mutable=[])[
            0
        ].sum()

    slope = jax.grad(total)(variables["params"])["towers"]["heads"]["bias"]
    assert float(slope[0, 0]) == B


def test_each_part_drops_units_of_its_own():
    model, x, domain, variables = made(6, jnp.float32, dropout_rate=0.5)
    apply = in_parts(model, 6, 6).apply
    rngs = {"dropout": jax.random.key(1)}
    logits, _ = apply(variables, x, domain, True, rngs=rngs, mutable=[])
    assert len(np.unique(logits)) == 6


def test_logits_of_members_are_those_of_the_whole():
    model, x, domain, _ = made(6, jnp.float32)
    model = Members(model, 2)
    x = x * jnp.arange(6)[:, None]
    variables = model.init(jax.random.key(0), x, domain)
    more = {"rngs": {"dropout": jax.random.key(1)}, "mutable": []}
    whole, parts = (
        in_parts(model, n, 6).apply(variables, x, domain, True, **more)[0]
        for n in (1, 3)
    )
    assert whole.shape == (2, 6, 1)
    assert_close(parts, whole)


def made(batch, dtype, **options):
    model = models.build("shared_bottom", num_tasks=1, expert_dims=(7,), **options)
    x, domain = jnp.ones((batch, 5), dtype), np.zeros(batch, np.int32)
    variables = model.init(jax.random.key(0), x, domain)
    return model, x, domain, jax.tree.map(lambda leaf: leaf.astype(dtype), variables)


def test_parts_must_be_equal(data):
    with pytest.raises(
        ValueError, match=r"must divide train.batch_size.* 7 parts of 60"
    ):
        stepped(data, "ple", {"parts": 7}, WIDTHS)


def test_parts_need_a_model_without_batch_statistics(data):
    with pytest.raises(ValueError, match=r"without batch statistics.*batch_norm"):
        stepped(data, "ple", {"parts": 2}, WIDTHS | {"batch_norm": True})
