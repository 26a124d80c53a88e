"""Devices that exchange rows read and train as one device does."""

import dataclasses
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from lib.arrays import assert_close
from lib.training import tiny

from ple_jax import weightings
from ple_jax.embeddings.gather import read_fields
from ple_jax.embeddings.sharded import Exchange
from ple_jax.optim import rows as rules
from ple_jax.parallel.mesh import DATA, batch_shardings, make_mesh
from ple_jax.train.setup import Setup, placed
from ple_jax.weightings import Weighting

OWN, W, EACH, STEPS = 37, 3, 5, 20


def split(mesh, tree):
    return jax.device_put(tree, NamedSharding(mesh, P(DATA)))


def asked(devices, share):
    """An exchange, a table, and rows (B, S) with the padding of a bag."""
    mesh, rng = make_mesh(devices), np.random.default_rng(3)
    table = rng.normal(size=(devices * OWN, W)).astype(np.float32)
    rows = rng.zipf(1.3, size=(devices * EACH, 7)) % len(table)
    rows[1, -2:] = rows[2, -3:] = len(table)
    return Exchange(mesh, len(table), len(table), share), table, rows.astype(np.int32)


@pytest.mark.parametrize(("devices", "share"), [(2, 1.0), (4, 0.1), (3, 0.02)])
def test_devices_read_what_one_reads_to_the_bit(devices, share):
    exchange, table, rows = asked(devices, share)

    @jax.jit
    def read(table, rows):
        touched = exchange.with_part(exchange.find(rows))
        slots = jnp.where(rows < exchange.end, touched.slots, touched.rows.shape[-1])
        rounds = exchange.rounds(touched.part)
        return touched, rounds, exchange.read(table, touched, slots, (3,))

    touched, rounds, found = read(*split(exchange.mesh, (table, rows)))
    alone = jax.jit(lambda table, rows: read_fields(table, rows, (3,)))
    assert np.array_equal(found, alone(jnp.array(table), rows))
    assert (rounds > 1) == (share < 1)
    host = exchange.find_on_host(rows)
    assert np.array_equal(host.rows, touched.rows)
    assert np.array_equal(host.slots, touched.slots)


@pytest.mark.parametrize("share", [1.0, 0.02])
@pytest.mark.parametrize("name", ["sgd", "adagrad", "rowwise_adagrad", "adam"])
def test_owners_add_up_what_devices_have_of_a_row(name, share):
    exchange, table, rows = asked(4, share)
    rule, end = getattr(rules, name)(0.01), exchange.end
    touched = exchange.with_part(exchange.find_on_host(rows))
    real = np.asarray(touched.rows) < end
    grads = np.random.default_rng(4).normal(size=(*real.shape, W)) * real[..., None]
    whole = np.zeros((end + 1, W))
    np.add.at(whole, np.asarray(touched.rows), grads)
    once = np.r_[np.flatnonzero(np.bincount(rows.ravel(), minlength=end)[:end]), end]
    wanted = rule.update(
        jnp.array(table), rule.init(table), once, np.float32(whole[once]), 0.1, 3
    )
    table, state, grads = split(
        exchange.mesh, (table, rule.init(jnp.array(table)), np.float32(grads))
    )
    move = jax.jit(lambda *now: exchange.update(rule.update, *now, 0.1, 3))
    assert_close(move(table, state, touched, grads), wanted, rtol=1e-5, atol=1e-6)
    gram = jax.jit(exchange.gram)(touched, grads[None])
    np.testing.assert_allclose(gram, [[(whole[:end] ** 2).sum()]], rtol=1e-5)


def setup_of(data, devices, rule, share=None, seeds=(0,), weighting="fixed", **section):
    """What trains; `share` is the room of an exchange in the place of its own."""
    optimizer = "adagrad" if rule == "rowwise_adagrad" else rule
    section = {"optimizer": optimizer, "batch_size": 24, **section}
    order = "spread" if devices > 1 else "frequency"
    sections = {
        "inputs": {"update": "rows", "row_optimizer": rule, "row_order": order},
        "weighting": {"kind": weighting},
        "model": {"kind": "shared_bottom", "expert_dims": [5], "tower_dims": [3]},
    }
    each = [
        tiny(train={**section, "devices": devices, "seed": seed}, **sections)
        for seed in seeds
    ]
    setup = Setup(each, data, vmapped=len(seeds) > 1, trains=True)
    if share:
        setup.__dict__["exchanged"] = dict.fromkeys(setup.exchanged, share)
    return setup


def trained(setup, on_host=True):
    """What some steps train, tables row by row; and how many exchanges overflowed."""
    batches, axes = setup.loader.batches(0, 0, STEPS), setup.loader.axes
    batches = setup.trainer.prepare(batches) if on_host else batches
    batches = jax.device_put(batches, batch_shardings(setup.mesh, batches, axes))
    state = placed(setup.trainer, setup.mesh, setup.vmapped)
    state, counts = setup.trainer.steps(state, batches, STEPS)
    found, tables = dict(state.trained), setup.tables
    for name, table in found["tables"].items():
        places = tables.places(name, np.arange(tables.rows(name), dtype=np.int32))
        found["tables"][name] = np.asarray(table)[..., places, :]
    return found, np.max(counts)


def test_devices_train_on_batches_with_bags_as_one(everything):
    """Their rows found on the devices, and an exchange with room for few of them."""
    wanted, _ = trained(setup_of(everything, 1, "sgd"))
    found, overflows = trained(setup_of(everything, 4, "sgd", 0.05), on_host=False)
    assert_close(found, wanted, rtol=0, atol=1e-6)
    assert overflows == STEPS


def test_any_number_of_devices_trains_as_one():
    """Twenty steps of SGD, Adagrad and row-wise Adagrad, a table each, on up to 16."""
    command, path = [sys.executable, "-m", "lib.exchanging"], os.pathsep.join(sys.path)
    ran = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert list(found["apart"]) == ["2", "3", "4", "8", "16"]
    assert max(found["apart"].values()) <= 1e-6
    assert list(found["moved"]) == ["dim_2", "dim_3", "dim_5"]
    assert min(found["moved"].values()) > 5e-4


def test_norms_and_products_are_those_of_whole_gradients(everything):
    """Of a clipped norm, and of a weighting that compares gradients, for two trials."""
    options = {"weighting": "mgda", "clip_norm": 0.05, "seeds": (0, 3)}
    wanted, _ = trained(setup_of(everything, 1, "sgd", **options))
    found, overflows = trained(setup_of(everything, 4, "sgd", 0.1, **options))
    assert_close(found, wanted, rtol=0, atol=1e-6)
    assert overflows


def test_rows_on_the_wire_may_be_rounded():
    exchange, table, rows = asked(2, 1.0)
    exchange = dataclasses.replace(exchange, wire=jnp.bfloat16)
    read = lambda table, touched: exchange.read(table, touched, touched.slots, ())
    touched = exchange.with_part(exchange.find_on_host(rows % len(table)))
    found = jax.jit(read)(split(exchange.mesh, table), touched)
    rounded = jnp.array(table).astype(jnp.bfloat16).astype(jnp.float32)
    assert np.array_equal(found, rounded[rows % len(table)])


def test_a_weighting_that_needs_whole_gradients_is_refused(data, monkeypatch):
    merge = lambda memory, losses, grads: (grads, memory)
    whole = Weighting(lambda tasks: ((), ()), merge=merge)
    monkeypatch.setattr(weightings, "build", lambda kind, **options: whole)
    with pytest.raises(ValueError, match="train on one device"):
        _ = setup_of(data, 2, "sgd").trainer
