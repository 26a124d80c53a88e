"""Updates by rows against Optax on whole tables."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from lib.arrays import random_array

from ple_jax.optim import rows as row_optimizers
from ple_jax.optim.rules import RULES
from ple_jax.types import path_names

V, W, STEPS, RATE = 23, 3, 6, 0.1


OPTAX = {
    "sgd": optax.identity(),
    "adagrad": optax.scale_by_rss(),
    "adam": optax.scale_by_adam(),
}


def dense_steps(rule, table, gradients, decay=0.0):
    """Whole tables, by Optax."""
    tx = optax.chain(rule, optax.add_decayed_weights(decay), optax.scale(-RATE))
    state = tx.init(table)
    for gradient in gradients:
        updates, state = tx.update(gradient, state, table)
        table = optax.apply_updates(table, updates)
    return table


def row_steps(rule, table, gradients, chosen):
    """The chosen rows only; the others have no gradient."""
    state = rule.init(table)
    for step, (gradient, rows) in enumerate(zip(gradients, chosen, strict=True)):
        padded = jnp.append(rows, jnp.array([V, V, V], jnp.int32))
        values = jnp.concatenate([gradient[rows], jnp.ones((3, W))])
        now = jnp.int32(step)
        table, state = rule.update(table, state, padded, values, RATE, now)
    return table


def draw(every, seed=0):
    """A table, and gradients that are zero but for some rows; the rows of each."""
    rng = np.random.default_rng(seed)
    chosen = [
        np.arange(V) if every else np.sort(rng.choice(V, 5, replace=False))
        for _ in range(STEPS)
    ]
    gradients = np.zeros((STEPS, V, W), np.float32)
    for gradient, rows in zip(gradients, chosen, strict=True):
        gradient[rows] = rng.normal(size=(len(rows), W))
    rows = [jnp.array(r, jnp.int32) for r in chosen]
    return jnp.array(random_array(V, W)), jnp.array(gradients), rows


@pytest.mark.parametrize(
    ("name", "every"),
    [("sgd", False), ("adagrad", False), ("adam", True), ("adagrad", True)],
)
def test_a_row_optimizer_is_optax_bit_for_bit(name, every):
    table, gradients, rows = draw(every)
    want = dense_steps(OPTAX[name], table, gradients)
    got = row_steps(RULES[name].rows(0.0), table, gradients, rows)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", OPTAX)
def test_weight_decay_is_that_of_optax_where_every_row_is_touched(name):
    table, gradients, rows = draw(every=True)
    want = dense_steps(OPTAX[name], table, gradients, 0.2)
    rule = RULES[name].rows(0.2)
    np.testing.assert_array_equal(row_steps(rule, table, gradients, rows), want)


def test_rowwise_adagrad_is_its_formula():
    table, gradients, rows = draw(every=False)
    want, squares = np.array(table), np.full(V, 0.1, np.float32)
    for g, chosen in zip(np.array(gradients), rows, strict=True):
        for row in np.array(chosen):
            squares[row] += (g[row] ** 2).mean()
            want[row] -= RATE * g[row] / np.sqrt(squares[row] + 1e-7)
    got = row_steps(row_optimizers.rowwise_adagrad(), table, gradients, rows)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)
    assert row_optimizers.rowwise_adagrad().init(table).shape == (V,)


@pytest.mark.parametrize("name", RULES)
def test_other_rows_keep_their_bits(name):
    table, gradients, rows = draw(every=False)
    got = row_steps(RULES[name].rows(0.3), table, gradients, rows)
    others = np.setdiff1d(np.arange(V), np.concatenate(rows))
    assert len(others)
    np.testing.assert_array_equal(got[others], table[others])
    moved = np.abs(got - table)[np.unique(np.concatenate(rows))]
    assert (moved > 0).all()


def test_adams_moments_keep_their_places_in_checkpoints():
    """Orbax saves a pair by position but a NamedTuple by field: old runs have 0, 1."""
    state = RULES["adam"].rows(0.0).init(jnp.zeros((V, W)))
    assert [path_names(path) for path, _ in jax.tree.leaves_with_path(state)] == [
        ["[0]"],
        ["[1]"],
    ]
