"""Which tables are updated by rows, and what a step differentiates of them."""

import dataclasses

import jax
import numpy as np
import optax
import pytest
from lib.arrays import random_array
from lib.batches import make_batch

from ple_jax import config
from ple_jax.config.experiment import Inputs, Train
from ple_jax.embeddings import choose
from ple_jax.embeddings.choose import auto_rows
from ple_jax.embeddings.tables import Tables
from ple_jax.embeddings.updates import row_updates
from ple_jax.layout import Bag, IdColumn, Layout
from ple_jax.parallel.mesh import make_mesh
from ple_jax.schema import Task

W, RATE = 3, 0.1
LAYOUT = Layout(
    ids=(IdColumn("user", "user", 9), IdColumn("item", "item", 7)),
    bags=(Bag("history", "item", 7, 4), Bag("tags", "tags", 5, 3)),
    numbers=(),
    tasks=(Task("click"),),
    domains=("all",),
)


def draw_batch(size=6, seed=0):
    """Repeated ids, and bags with padding, one of them empty."""
    rng = np.random.default_rng(seed)
    bags = {b.name: rng.integers(-1, 3, (size, b.length)) for b in LAYOUT.bags}
    bags["history"][0] = -1
    return make_batch(rng.integers(0, 3, (size, 2)), bags)


def chosen(tables, **of_train):
    rate = optax.constant_schedule(RATE)
    return row_updates(tables, Train(**of_train), rate)


def parts(**inputs):
    tables = Tables(LAYOUT, Inputs(embedding_dim=W, **inputs))
    return tables, chosen(tables, optimizer="sgd")


def test_gradients_are_summed_per_row_and_padding_touches_none():
    tables, rows = parts(update="rows")
    batch, whole = draw_batch(), {"tables": tables.init(jax.random.key(0))}
    mixed = random_array(len(batch.ids), tables.width)

    def loss(trained, batch):
        x = tables.assemble(tables.lookup(trained["tables"], batch), batch)
        return (mixed * x**2).sum()

    want = jax.grad(loss)(whole, batch)["tables"]["dim_3"]
    found = rows.with_touched_rows(batch)
    got = jax.grad(loss)(*rows.with_row_deltas(whole, found))["tables"]["dim_3"]
    places = found.touched["dim_3"].rows
    spread = np.zeros_like(want)
    there = places < len(want)
    spread[places[there]] = got[there]
    np.testing.assert_array_equal(spread, want)
    assert not got[~there].any()
    # The shared item rows; then 9 + 7 on, those of tags.
    items = {*batch.ids[:, 1], *batch.bags["history"].ravel()} - {-1}
    tags = {*batch.bags["tags"].ravel()} - {-1}
    users = {*batch.ids[:, 0]}
    known = users | {9 + i for i in items} | {16 + i for i in tags}
    assert set(places[there].tolist()) == known


def test_frozen_tables_keep_their_bits_on_every_path():
    for update in ("dense", "rows"):
        tables, rows = parts(update=update, frozen=("item",))
        assert list(tables.fused) == ["dim_3", "dim_3_frozen"]
        assert tables.offsets["dim_3_frozen"] == {"item": 0, "": 7}
        whole = {"tables": tables.init(jax.random.key(0))}
        found = rows.with_touched_rows(draw_batch())
        read, found = rows.with_row_deltas(whole, found)
        lookup = lambda trained, tables=tables, found=found: sum(
            e.sum() for e in tables.lookup(trained["tables"], found).values()
        )
        grads = jax.grad(lookup)(read)["tables"]
        assert grads["dim_3"].any()
        assert not grads["dim_3_frozen"].any()
        states = rows.init(whole["tables"])
        moved, _ = rows.update(whole["tables"], states, grads, found, 0)
        assert ("dim_3" in moved) == (update == "rows")
        assert moved["dim_3_frozen"] is whole["tables"]["dim_3_frozen"]
    with pytest.raises(ValueError, match=r"Did you mean 'item'"):
        Tables(LAYOUT, Inputs(frozen=("itme",)))


def test_auto_looks_at_the_rows(monkeypatch):
    tables, rows = parts()
    assert rows.optimizers == {}
    monkeypatch.setattr(choose, "auto_rows", lambda ids, width: 21)
    assert list(chosen(tables).optimizers) == ["dim_3"]
    # A moving average walks over whole tables anyway.
    assert chosen(tables, average_decay=0.9).optimizers == {}
    monkeypatch.setattr(choose, "auto_rows", lambda ids, width: 22)
    assert chosen(tables).optimizers == {}


def test_auto_weighs_rows_against_ids(monkeypatch):
    tables, _ = parts()
    asked = []
    monkeypatch.setattr(choose, "auto_rows", lambda *of: asked.append(of) or 22)
    chosen(tables)
    lookups = tables.rows_or_end(draw_batch(), "dim_3").shape[-1]
    assert asked == [(Train().batch_size * lookups, 3)]
    monkeypatch.undo()
    if jax.default_backend() == "cpu":
        assert auto_rows(700, 8) == 700 * (3 + 5)


@pytest.mark.parametrize(("rows", "copied"), [(22, True), (24, True), (25, False)])
def test_tables_of_as_many_rows_as_ids_are_copied(rows, copied):
    """Of 24 ids in a batch: rows are padded until three devices can share them."""
    layout = dataclasses.replace(LAYOUT, ids=(IdColumn("a", "a", rows),), bags=())
    tables = Tables(layout, Inputs(embedding_dim=W), make_mesh(3))
    found = choose.replicated(tables, Train(batch_size=24))
    assert found == ({"dim_3"} if copied else set())


def test_only_tables_that_are_updated_whole_are_copied():
    of = lambda devices=2, size=64, **inputs: choose.replicated(
        Tables(LAYOUT, Inputs(embedding_dim=W, **inputs), make_mesh(devices)),
        Train(batch_size=size),
    )
    assert of() == {"dim_3"}
    assert of(update="rows") == of(devices=1) == of(size=63) == frozenset()
    assert of(frozen=("tags",)) == {"dim_3"}
    assert of(frozen=("tags", "user", "item")) == frozenset()


def test_what_does_not_go_together_is_refused():
    tables, _ = parts(update="rows")
    with pytest.raises(ValueError, match="moving average"):
        chosen(tables, average_decay=0.9)
    with pytest.raises(ValueError, match=r"inputs\.row_optimizer"):
        Inputs(update="dense", row_optimizer="adagrad")


def test_the_options_are_knobs_of_an_experiment():
    inputs = {"update": "rows", "row_optimizer": "adam", "frozen": ["user"]}
    experiment = config.from_dict({"inputs": inputs})
    assert experiment.inputs.frozen == ("user",)
    with pytest.raises(ValueError, match="Did you mean 'rowwise_adagrad'"):
        config.from_dict({"inputs": {"row_optimizer": "rowwise_adagrd"}})
