"""Updates by rows against Optax on whole tables, alone and in the step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from lib.arrays import random_array
from lib.training import (
    StopAfter,
    assert_same,
    final_state,
    new_run,
    tiny,
)

from ple_jax import config, weightings
from ple_jax.config.experiment import Inputs, Train
from ple_jax.data.loader import Loader
from ple_jax.embeddings import choose, touched_rows
from ple_jax.embeddings.choose import auto_rows
from ple_jax.embeddings.tables import Tables
from ple_jax.embeddings.updates import row_updates
from ple_jax.models.shared_bottom import SharedBottom
from ple_jax.optim import dense as optimizers
from ple_jax.optim import rows as row_optimizers
from ple_jax.optim.rules import RULES
from ple_jax.parallel.mesh import batch_shardings, make_mesh, state_shardings
from ple_jax.runs.directory import open_run
from ple_jax.schema import Bag, IdColumn, Layout, Task
from ple_jax.train import loop
from ple_jax.train.step import jitted, make_step, trainer_of
from ple_jax.types import Batch

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


# Which rows a batch touches.


@pytest.mark.parametrize("end", [3, 50, 10_000])
def test_host_and_device_find_the_same_rows(end):
    rows = np.random.default_rng(0).integers(0, end + 1, (2, 17, 5)).astype(np.int32)
    host = touched_rows.find_on_host(rows, end)
    for i in range(2):
        device = touched_rows.find_on_device(jnp.array(rows[i]), end)
        assert_same(device, jax.tree.map(lambda leaf, i=i: leaf[i], host))
        unique = np.unique(rows[i])
        np.testing.assert_array_equal(host.rows[i][: len(unique)], unique)
        assert (host.rows[i][len(unique) :] == end).all()
        np.testing.assert_array_equal(host.rows[i][host.slots[i]], rows[i])


LAYOUT = Layout(
    ids=(IdColumn("user", "user", 9), IdColumn("item", "item", 7)),
    bags=(Bag("history", "item", 7, 4), Bag("tags", "tags", 5, 3)),
    numbers=(),
    tasks=(Task("click"),),
    domains=("all",),
)


def make_batch(size=6, seed=0):
    """Repeated ids, and bags with padding, one of them empty."""
    rng = np.random.default_rng(seed)
    ones = np.ones((size, 1), np.float32)
    bags = {b.name: rng.integers(-1, 3, (size, b.length)) for b in LAYOUT.bags}
    bags["history"][0] = -1
    return Batch(
        ids=rng.integers(0, 3, (size, 2)).astype(np.int32),
        bags={name: bag.astype(np.int32) for name, bag in bags.items()},
        numbers=np.zeros((size, 0), np.float32),
        domain=np.zeros(size, np.int32),
        labels=ones,
        observed=ones > 0,
        weights=ones[:, 0],
    )


def chosen(tables, **of_train):
    rate = optax.constant_schedule(RATE)
    return row_updates(tables, Train(**of_train), rate)


def parts(**inputs):
    tables = Tables(LAYOUT, Inputs(embedding_dim=W, **inputs))
    return tables, chosen(tables, optimizer="sgd")


def test_gradients_are_summed_per_row_and_padding_touches_none():
    tables, rows = parts(update="rows")
    batch, whole = make_batch(), {"tables": tables.init(jax.random.key(0))}
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
        found = rows.with_touched_rows(make_batch())
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
    (lookups,) = (rows.shape[-1] for rows in tables.rows(make_batch()).values())
    assert asked == [(Train().batch_size * lookups, 3)]
    monkeypatch.undo()
    if jax.default_backend() == "cpu":
        assert auto_rows(700, 8) == 700 * (3 + 5)


@pytest.mark.parametrize("only", ["tables", "towers"])
def test_only_what_train_only_names_is_moved(data, only):
    trainer, state = trained(data, "rows", only=[only])
    before, after = (s.trained["tables"]["dim_3"] for s in (trainer.init(), state))
    assert (np.array(before) != after).any() == (only == "tables")


def test_what_does_not_go_together_is_refused():
    tables, _ = parts(update="rows")
    with pytest.raises(ValueError, match="moving average"):
        chosen(tables, average_decay=0.9)
    with pytest.raises(ValueError, match=r"inputs\.row_optimizer"):
        Inputs(update="dense", row_optimizer="adagrad")


class Faster(SharedBottom):
    """A model that asks for a table to learn at another rate."""

    rate_multipliers = {"dim_3": 2.0}  # noqa: RUF012 (not a field)


@pytest.mark.parametrize("update", ["dense", "rows"])
def test_a_table_has_a_rate_of_its_own_only_where_it_is_dense(data, update):
    tables = Tables(data.layout, Inputs(embedding_dim=3, update=update))
    weighting = weightings.build("fixed")
    trainer = jitted(make_step(Faster(2), tables, weighting, Train(), 1))
    if update == "dense":
        trainer.init()
    else:
        with pytest.raises(
            ValueError, match=r"'dim_3' is not a known .* Known: .*bias"
        ):
            trainer.init()


# In the step and the loop.


@pytest.fixture(scope="module")
def data(prepared):
    return prepared("synthetic", examples=1500)


def trained(data, update, steps=8, mesh=None, host=True, rule="same", **of_train):
    """A trainer, and its state after some steps."""
    section = {"optimizer": "adagrad", **of_train}
    inputs = {"update": update, "row_optimizer": rule}
    experiment = tiny(train=section, inputs=inputs)
    loader = Loader(data.split("train"), 64, 0)
    trainer = trainer_of(experiment, data.layout, loader.steps_per_epoch)
    batches, state = loader.batches(0, 0, steps), trainer.init()
    batches = trainer.prepare(batches) if host else batches
    if mesh:
        state = jax.device_put(state, state_shardings(mesh, state))
        batches = jax.device_put(batches, batch_shardings(mesh, batches))
    return trainer, trainer.steps(state, batches, steps)[0]


def assert_close(a, b, tolerance):
    for (path, x), y in zip(
        jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True
    ):
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("name", ["data", "everything"])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_rows_and_dense_train_alike(name, optimizer, clip, request):
    data = request.getfixturevalue(name)
    options = {"optimizer": optimizer, "clip_norm": clip, "schedule": "cosine"}
    _, dense = trained(data, "dense", **options)
    _, rows = trained(data, "rows", **options)
    assert not dense.row_state
    assert rows.row_state
    assert_close(rows.trained, dense.trained, 1e-6)


@pytest.mark.parametrize("rule", ["adam", "rowwise_adagrad"])
def test_host_and_device_rows_train_to_the_same_bits(everything, rule):
    _, host = trained(everything, "rows", rule=rule)
    _, device = trained(everything, "rows", rule=rule, host=False)
    assert_same(host, device)


def test_four_devices_update_rows_as_one(data):
    _, wanted = trained(data, "rows", rule="rowwise_adagrad", weight_decay=0.01)
    mesh = make_mesh(4)
    for host in (True, False):
        _, got = trained(
            data, "rows", 8, mesh, host, rule="rowwise_adagrad", weight_decay=0.01
        )
        assert_close(got.trained, wanted.trained, 1e-5)


def test_weight_decay_spares_rows_that_no_batch_touches(data):
    trainer, state = trained(data, "rows", steps=1, rule="adam", weight_decay=0.5)
    before, after = (s.trained["tables"]["dim_3"] for s in (trainer.init(), state))
    batch = trainer.prepare(Loader(data.split("train"), 64, 0).batches(0, 0, 1))
    rows = np.unique(batch.touched["dim_3"].rows)
    others = np.setdiff1d(np.arange(len(before)), rows)
    assert len(others)
    np.testing.assert_array_equal(after[others], before[others])
    assert (after != before).any(1).sum() == (rows < len(before)).sum()


def test_no_step_copies_a_table(monkeypatch):
    """What a dispatch needs beside its state is far smaller than the table."""
    columns = tuple(IdColumn(n, n, 200_000) for n in "abc")
    layout = Layout(columns, (), (), (Task("click"),), ("all",))
    inputs = {"update": "rows", "row_optimizer": "adam"}
    trainer = trainer_of(tiny(inputs=inputs), layout)
    state, one = jax.eval_shape(trainer.init), make_batch(8)
    batches = jax.tree.map(
        lambda leaf: leaf[None], one.replace(ids=np.zeros((8, 3), np.int32), bags={})
    )
    with monkeypatch.context():
        jax.config.update("jax_disable_most_optimizations", False)
        compiled = trainer.steps.lower(state, batches, 1).compile()
        jax.config.update("jax_disable_most_optimizations", True)
    table = state.trained["tables"]["dim_3"]
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * table.size / 4


@pytest.mark.parametrize(
    ("rule", "frozen"), [("adam", []), ("rowwise_adagrad", ["category_0"])]
)
def test_a_stopped_run_resumes_to_the_same_bits(
    data, tmp_path, monkeypatch, rule, frozen
):
    inputs = {"update": "rows", "row_optimizer": rule, "frozen": frozen}
    options = {"inputs": inputs}
    whole = new_run(data, tmp_path / "whole", **options)
    wanted = loop.fit(whole)
    broken = new_run(data, tmp_path / "broken", **options)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "ahead", lambda items: items)
        StopAfter(patch, 5)
        with pytest.raises(loop.Stopped, match="SIGTERM"):
            loop.fit(broken)
    again = open_run(broken.directory)
    assert loop.fit(again, resume=True) == wanted
    assert_same(final_state(whole), final_state(again))


def test_the_options_are_knobs_of_an_experiment():
    inputs = {"update": "rows", "row_optimizer": "adam", "frozen": ["user"]}
    experiment = config.from_dict({"inputs": inputs})
    assert experiment.inputs.frozen == ("user",)
    with pytest.raises(ValueError, match="Did you mean 'rowwise_adagrad'"):
        config.from_dict({"inputs": {"row_optimizer": "rowwise_adagrd"}})


@pytest.mark.parametrize("only", [(), ("model",), ("tables",), ("kernel",)])
def test_the_norm_is_of_what_is_trained(only):
    model = {"kernel": random_array(3, 5, seed=1), "bias": random_array(5, seed=2)}
    grads = {"model": model, "tables": {"dim_3": random_array(7, 3, seed=3)}}
    leaves = {(a, b): leaf for a, part in grads.items() for b, leaf in part.items()}
    moved = [names for names in leaves if not only or set(names) & set(only)]
    norm = np.sqrt(sum(value**2 for n in moved for value in leaves[n].ravel()))
    got = optimizers.clip(grads, 0.1, only)
    for (a, b), leaf in leaves.items():
        want = leaf * 0.1 / norm if (a, b) in moved else leaf
        np.testing.assert_allclose(got[a][b], want, rtol=1e-6)


@pytest.mark.parametrize("update", ["dense", "rows"])
def test_what_is_not_trained_does_not_hold_back_what_is(data, update):
    of_train = {"optimizer": "sgd", "learning_rate": 1.0, "only": ["towers"]}
    trainer, state = trained(data, update, steps=1, clip_norm=0.01, **of_train)
    steps = jax.tree.map(np.subtract, state.trained, trainer.init().trained)
    square = sum(np.sum(np.square(step)) for step in jax.tree.leaves(steps))
    np.testing.assert_allclose(np.sqrt(square), 0.01, rtol=1e-4)
