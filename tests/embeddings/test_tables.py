"""The input of the model against loops."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import random_array
from lib.batches import make_batch

from ple_jax.config.experiment import Inputs
from ple_jax.embeddings.tables import Tables
from ple_jax.layout import Bag, IdColumn, Layout, NumberColumn
from ple_jax.schema import Task

B = 11
LAYOUT = Layout(
    ids=(
        IdColumn("user", "user", 13),
        IdColumn("item", "item", 7, dim=5),
        IdColumn("shop", "shop", 3),
    ),
    bags=(Bag("tags", "tags", 17, length=4), Bag("history", "item", 7, 2, dim=5)),
    numbers=(NumberColumn("price"), NumberColumn("age", bins=3), NumberColumn("size")),
    tasks=(Task("click"),),
    domains=("all",),
)
TABLES = Tables(LAYOUT, Inputs(embedding_dim=2))


def draw_batch(seed=0):
    rng = np.random.default_rng(seed)
    ids = np.stack([rng.integers(0, c.rows, B) for c in LAYOUT.ids], 1)
    bags = {}
    for bag in LAYOUT.bags:
        values = rng.integers(0, bag.rows, (B, bag.length))
        length = rng.integers(0, bag.length + 1, B)
        there = np.arange(bag.length)[None] < length[:, None]
        bags[bag.name] = np.where(there, values, -1)
    numbers = random_array(B, 3)
    numbers[:, 1] = rng.uniform(0, 3, B)
    return make_batch(ids, bags, numbers)


def input_of_one_example(tables, batch, b):
    """The documented order, one field at a time."""
    two, five = np.asarray(tables["dim_2"]), np.asarray(tables["dim_5"])
    user, shop, tags = two[:13], two[13:16], two[16:33]
    mean = lambda table, ids: (
        np.mean([table[i] for i in ids if i >= 0], axis=0)
        if (ids >= 0).any()
        else np.zeros(table.shape[1])
    )
    parts = [user[batch.ids[b, 0]], shop[batch.ids[b, 2]]]
    parts.append(mean(tags, batch.bags["tags"][b]))
    parts += [five[batch.ids[b, 1]], mean(five, batch.bags["history"][b])]
    parts.append([batch.numbers[b, 0], batch.numbers[b, 2]])
    p = batch.numbers[b, 1]
    parts.append([min(max(p - k, 0), 1) for k in range(3)])
    return np.concatenate(parts)


def test_the_input_holds_every_field_in_order():
    tables, batch = TABLES.init(jax.random.key(0)), draw_batch()
    x = TABLES.assemble(TABLES.lookup(tables, batch), batch)
    want = np.stack([input_of_one_example(tables, batch, b) for b in range(B)])
    assert x.shape == (B, TABLES.width) == want.shape
    np.testing.assert_allclose(x, want, rtol=1e-6, atol=1e-7)


def test_columns_of_one_table_share_their_rows():
    batch = draw_batch()
    grads = jax.grad(
        lambda tables: TABLES.assemble(TABLES.lookup(tables, batch), batch).sum()
    )(TABLES.init(jax.random.key(0)))
    assert grads["dim_5"].shape == (7, 5)
    touched = set(batch.ids[:, 1]) | {
        i for i in batch.bags["history"].ravel() if i >= 0
    }
    np.testing.assert_array_equal(
        np.flatnonzero(np.abs(grads["dim_5"]).sum(1)), sorted(touched)
    )


def test_dropout_removes_whole_fields_and_keeps_the_mean():
    tables = Tables(LAYOUT, Inputs(embedding_dim=2, embedding_dropout_rate=0.5))
    batch = draw_batch()
    embedded = jax.tree.map(
        jnp.ones_like, tables.lookup(tables.init(jax.random.key(0)), batch)
    )
    keys = jax.random.split(jax.random.key(1), 400)
    x = jax.vmap(lambda key: tables.assemble(embedded, batch, key)[:, :4])(keys)
    assert set(np.unique(x)) == {0.0, 2.0}
    np.testing.assert_array_equal(x[..., 0], x[..., 1])
    np.testing.assert_allclose(x.mean(), 1, atol=0.05)


def test_a_table_of_more_rows_than_int32_counts_is_refused():
    columns = tuple(IdColumn(n, n, 2**30) for n in "abc")
    layout = Layout(columns, (), (), (Task("click"),), ("all",))
    with pytest.raises(ValueError, match="rows together"):
        _ = Tables(layout, Inputs()).offsets


@pytest.mark.parametrize("p", [0, 2])
def test_each_domain_may_have_embeddings_of_its_own(p):
    layout = dataclasses.replace(LAYOUT, domains=("a", "b", "c"))
    shared = Tables(layout, Inputs(embedding_dim=2))
    own = Tables(layout, Inputs(embedding_dim=2, per_domain=True))
    tables, batch = own.init(jax.random.key(0)), draw_batch()
    rows = {c.table: c.rows for c in (*LAYOUT.ids, *LAYOUT.bags)}
    of_domain = {
        name: np.concatenate(
            [
                tables[name][first + p * rows[t] : first + (p + 1) * rows[t]]
                for t, first in own.offsets[name].items()
                if t
            ]
        )
        for name in tables
    }
    mine = batch.replace(domain=np.full(B, p, np.int32))
    of_domain = jax.tree.map(jnp.asarray, of_domain)
    got = own.assemble(own.lookup(tables, mine), mine)
    want = shared.assemble(shared.lookup(of_domain, batch), batch)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("domain", [0, 2])
def test_each_task_may_have_embeddings_of_its_own(domain):
    layout = dataclasses.replace(
        LAYOUT, tasks=tuple(map(Task, "abc")), domains=("x", "y", "z")
    )
    inputs = Inputs(embedding_dim=2, per_domain=True)
    shared = Tables(layout, inputs)
    own = Tables(layout, dataclasses.replace(inputs, per_task=True))
    batch = draw_batch().replace(domain=np.full(B, domain, np.int32))
    tables = own.init(jax.random.key(0))
    x = own.assemble(own.lookup(tables, batch), batch)
    assert x.shape == (B, *own.input_shape) == (B, 3, shared.width)
    for t in range(3):
        of_task = {
            name: table[:, t * width : (t + 1) * width]
            for (name, table), (width, _) in zip(
                tables.items(), own.fused.values(), strict=True
            )
        }
        want = shared.assemble(shared.lookup(of_task, batch), batch)
        np.testing.assert_array_equal(x[:, t], want)
    assert abs(np.std(tables["dim_2"]) - inputs.embedding_scale) < 0.01


def lines_of_input(fields=3, bags=2, numbers=2):
    """Lines of the program that makes a model's input, and its gradient."""
    names = lambda what, count: [f"{what}_{i}" for i in range(count)]
    layout = Layout(
        tuple(IdColumn(n, n, 5) for n in names("id", fields)),
        tuple(Bag(n, n, 7, 3) for n in names("bag", bags)),
        tuple(NumberColumn(n, 4) for n in names("number", numbers)),
        (Task("click"),),
        ("all",),
    )
    tables = Tables(layout, Inputs())
    read = lambda t, b: (tables.assemble(tables.lookup(t, b), b) ** 2).sum()
    bags = {bag.name: np.zeros((B, 3)) for bag in layout.bags}
    batch = make_batch(np.zeros((B, fields)), bags, np.zeros((B, numbers)))
    start = jax.eval_shape(tables.init, jax.random.key(0))
    lowered = jax.jit(jax.grad(read)).lower(start, batch)
    return lowered.as_text().count("\n")


@pytest.mark.parametrize("what", ["fields", "bags", "numbers"])
def test_a_program_is_as_long_whatever_the_number_of_inputs(what):
    assert lines_of_input(**{what: 200}) < 1.1 * lines_of_input(**{what: 20})
