"""SparseCores fetch and move the rows that devices exchange without them.

No TPU is needed: NumPy loops read what the host sorts, and stand in for the operations.
The program is lowered for TPU too, but not run there.
"""

import importlib.util
import re
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from lib.arrays import assert_close
from lib.training import tiny

from ple_jax.embeddings import sparsecore, tables
from ple_jax.embeddings.sharded import Exchange
from ple_jax.embeddings.sparsecore import NAME, SparseCores
from ple_jax.layout import Bag, IdColumn, Layout
from ple_jax.optim import rows as rules
from ple_jax.parallel.mesh import DATA, batch_shardings, make_mesh, state_shardings
from ple_jax.schema import Task
from ple_jax.train.trainer import jitted, step_of
from ple_jax.types import Batch

OWN, W, EACH = 72, 8, 37  # rows of a SparseCore, width, examples of a device
THERE = importlib.util.find_spec("jax_tpu_embedding")
needs_library = pytest.mark.skipif(not THERE, reason="needs the extra tpu-embedding")


def entries(pointers, ids, samples, gains, rounds, cores, owners, own):
    """(place in what a device fetches, place in the table) of all its entries."""
    lanes, rounds, end, found = max(owners, 8), int(rounds[0]), 0, []
    used = np.asarray(pointers)[: cores * rounds * lanes].reshape(cores, -1, lanes)
    for core, turn, owner in np.ndindex(cores, rounds, owners):
        start, end = -(-end // 8) * 8, int(used[core, turn, owner])
        assert (np.asarray(gains)[start:end] == 1).all()
        places = owner * own + np.asarray(ids)[start:end]
        found += zip([core] * len(places), samples[start:end], places, strict=True)
    return found


def emulate(monkeypatch):
    """Puts NumPy in the place of both operations."""
    library = sparsecore._library()

    def each(given):
        sparse = (part[NAME] for part in given.sparse_dense_matmul_input)
        return *sparse, given.num_minibatches

    def fetch(given, variables, features, *, num_sc_per_device, **_):
        cores, (table, _) = num_sc_per_device, variables[NAME]
        whole = jax.lax.all_gather(table, DATA, tiled=True)
        count = features[0].output_shape[0] // (len(whole) // len(table))

        def read(table, *buffers):
            found = np.zeros((cores, count // cores, table.shape[1]), np.float32)
            for core, sample, place in entries(*buffers, cores, len(table) // own, own):
                found[core, sample] += np.asarray(table)[place]
            return found.reshape(count, -1)

        own = len(table) // cores
        out = jax.ShapeDtypeStruct((count, table.shape[1]), table.dtype)
        return [jax.pure_callback(read, out, whole, *each(given))]

    def move(grads, given, variables, features, *, num_sc_per_device, **_):
        cores, (table, slots) = num_sc_per_device, variables[NAME]
        optimizer, own = features[0].table_spec.optimizer, len(table) // cores
        of_all = jax.lax.all_gather((grads[0], *each(given)), DATA)
        devices = len(of_all[0])

        def add(grads, *buffers):
            sums = np.zeros((devices * len(table), table.shape[1]), np.float32)
            seen = np.zeros((len(sums), 1), bool)
            for device, grad in enumerate(np.asarray(grads)):
                apart = grad.reshape(cores, -1, grad.shape[-1])
                mine = (np.asarray(part)[device] for part in buffers)
                for core, sample, place in entries(*mine, cores, devices * cores, own):
                    sums[place] += apart[core, sample]
                    seen[place] = True
            return sums, seen

        shape = jax.ShapeDtypeStruct((devices * len(table), table.shape[1]), np.float32)
        out = shape, jax.ShapeDtypeStruct((shape.shape[0], 1), bool)
        first = jax.lax.axis_index(DATA) * len(table)
        mine = lambda whole: jax.lax.dynamic_slice_in_dim(whole, first, len(table))
        sums, seen = map(mine, jax.pure_callback(add, out, *of_all))
        numbers = optimizer.get_hyperparameters(None)
        old = table, *slots
        moved = optimizer.custom_computation_fn(sums, *old, *numbers)
        table, *slots = (
            jnp.where(seen, new, of) for new, of in zip(moved, old, strict=True)
        )
        return {NAME: library.EmbeddingVariables(table, tuple(slots))}

    fake = SimpleNamespace(**vars(library) | {"fetch": fetch, "move": move})
    monkeypatch.setattr(sparsecore, "_library", lambda: fake)


def asked(devices, cores, share):
    """How SparseCores exchange rows, a table, and rows (B, S) with a bag's padding."""
    mesh, rng = make_mesh(devices), np.random.default_rng(3)
    table = rng.normal(size=(devices * cores * OWN, W)).astype(np.float32)
    end = len(table) - 3
    rows = rng.integers(0, 2 * OWN - 5, (devices * EACH, 7)).astype(np.int32)
    rows[:, 0] = rng.integers(0, end, len(rows))
    rows[1, -2:] = rows[2, -3:] = end
    return SparseCores(mesh, len(table), end, share, cores=cores), table, rows


def split(mesh, tree):
    return jax.device_put(tree, NamedSharding(mesh, P(DATA)))


@needs_library
@pytest.mark.parametrize(("devices", "cores"), [(4, 2), (1, 4)])
@pytest.mark.parametrize("share", [1.0, 0.001])
def test_the_host_sorts_each_row_once(devices, cores, share):
    exchange, _, rows = asked(devices, cores, share)
    found = exchange.find_on_host(np.stack([rows, rows[::-1]]))
    for batch in range(2):
        touched = jax.tree.map(lambda leaf: leaf[batch], found)  # noqa: B023
        parts = [np.reshape(part, (devices, -1)) for part in touched.buffers]
        assert (touched.buffers.rounds > 1).all() == (share < 1)
        for device in range(devices):
            mine = [part[device] for part in parts]
            got = entries(*mine, cores, exchange.owners, OWN)
            wanted = touched.rows[device][touched.rows[device] < exchange.end]
            # Row k of a slice is asked for by SparseCore k mod cores, in its turn.
            deal = [(k % cores, k // cores, place) for k, place in enumerate(wanted)]
            assert sorted(got) == sorted(deal)


@needs_library
@pytest.mark.parametrize("share", [1.0, 0.001])
@pytest.mark.parametrize("name", ["sgd", "adagrad", "adam"])
def test_rows_are_read_and_moved_as_by_all_to_all(monkeypatch, name, share):
    emulate(monkeypatch)
    exchange, table, rows = asked(2, 2, share)
    rule = getattr(rules, name)(0.01)
    state = rule.init(jnp.array(table))
    plain = Exchange(exchange.mesh, len(table), exchange.end, 1.0)

    @jax.jit(static_argnums=0)
    def both(exchange, table, state, touched, grads):
        slots = jnp.where(rows < exchange.end, touched.slots, grads.shape[1])
        real = (touched.rows < exchange.end)[..., None]
        read = exchange.read(table, touched, slots, (3,))
        moved = exchange.update(
            rule.update, table, state, touched, grads * real, 0.1, 3
        )
        return read, moved, exchange.overflows(touched)

    placed = split(exchange.mesh, (table, state))
    touched = plain.with_part(plain.find_on_host(rows))
    shape = *touched.rows.shape, W
    grads = np.random.default_rng(4).normal(size=shape).astype(np.float32)
    given = split(exchange.mesh, grads)
    read, wanted, _ = both(plain, *placed, touched, given)
    found, moved, overflows = both(
        exchange, *placed, exchange.find_on_host(rows), given
    )
    assert np.array_equal(found, read)
    assert_close(moved, wanted, rtol=1e-5, atol=1e-6)
    assert bool(overflows) == (share < 1)


LAYOUT = Layout(
    ids=(IdColumn("a", "a", 71), IdColumn("b", "b", 13)),
    bags=(Bag("bag", "a", 71, 3),),
    numbers=(),
    tasks=(Task("click"), Task("like")),
    domains=("",),
)
BATCH, STEPS = 16, 3


def batches():
    """Some steps of LAYOUT, with empty bags."""
    rng = np.random.default_rng(5)
    draw = lambda kinds, *shape: rng.integers(0, kinds, shape).astype(np.int32)
    items = draw(71, STEPS, BATCH, 3)
    items[draw(3, STEPS, BATCH) == 0] = -1
    return Batch(
        ids=np.stack([draw(71, STEPS, BATCH), draw(13, STEPS, BATCH)], axis=-1),
        bags={"bag": items},
        numbers=np.zeros((STEPS, BATCH, 0), np.float32),
        domain=np.zeros((STEPS, BATCH), np.int32),
        labels=draw(2, STEPS, BATCH, 2).astype(np.float32),
        observed=np.ones((STEPS, BATCH, 2), bool),
        weights=np.ones((STEPS, BATCH), np.float32),
    )


def small(exchange, mesh, train=(), **inputs):
    """A small model's step."""
    knobs = {"embedding_dim": W, "update": "rows", "row_order": "spread"} | inputs
    experiment = tiny(
        inputs=knobs | {"exchange": exchange},
        model={"kind": "shared_bottom", "expert_dims": [5], "tower_dims": [3]},
        train={"batch_size": BATCH, "optimizer": "adagrad", "clip_norm": 0.1}
        | dict(train),
    )
    exchanged = {f"dim_{knobs['embedding_dim']}": 1.0}
    return step_of(experiment, LAYOUT, STEPS, mesh, exchanged)


def trainer(exchange, train=(), **inputs):
    """Its jitted functions, on two devices, and their mesh."""
    mesh = make_mesh(2)
    return jitted(small(exchange, mesh, train, **inputs)), mesh


def given(of, mesh):
    """A state and batches for its steps, in their places."""
    prepared = of.prepare(batches())
    state = jax.device_put(of.init(), state_shardings(mesh, of.shapes()))
    return state, jax.device_put(prepared, batch_shardings(mesh, prepared))


@needs_library
def test_steps_train_and_score_as_by_all_to_all(monkeypatch):
    emulate(monkeypatch)
    monkeypatch.setattr(tables, "cores_of", lambda mesh: 2)
    monkeypatch.setattr(sparsecore, "cores_of", lambda mesh: 2)
    results = []
    for exchange in ("all_to_all", "sparsecore"):
        of, mesh = trainer(exchange)
        state, sent = given(of, mesh)
        assert (sent.touched["dim_8"].buffers is None) == (exchange == "all_to_all")
        state, _ = of.steps(state, sent, STEPS)
        variables = {**state.trained, "batch_stats": state.batch_stats}
        logits = of.score(variables, sent.at(0))
        results.append((logits, state.trained["tables"]["dim_8"][:84]))
    assert_close(results[1], results[0], rtol=1e-5, atol=1e-6)


@needs_library
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
def test_steps_are_lowered_to_both_operations(monkeypatch, optimizer):
    monkeypatch.setattr(tables, "cores_of", lambda mesh: 4)
    monkeypatch.setattr(sparsecore, "cores_of", lambda mesh: 4)
    of, mesh = trainer("sparsecore", {"optimizer": optimizer, "clip_norm": 0.0})
    traced = jax.jit(of.steps).trace(*given(of, mesh), 1)
    text = traced.lower(lowering_platforms=("tpu",)).as_text()
    called = re.findall(r"custom_call @(SparseDense\w+)", text)
    assert called == [
        "SparseDenseMatmulWithMinibatchingOp",
        "SparseDenseMatmulGradOptimizerUpdateWithMinibatchingOp",
    ]
    slots = {"sgd": 0, "adagrad": 1, "adam": 2}[optimizer]
    # Of a gradient, a row, its state, the rate and the step: the compiler counts them.
    (moves,) = re.findall(r'func private @"?custom-table\S*"?\((.*?)\) ->', text)
    assert moves.count("tensor<1x8xf32>") == 4 + slots
    assert f"\\22num_slot_variables\\22: {slots}" in text
    assert "all_to_all" not in text


@needs_library
@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="needs libtpu")
@pytest.mark.parametrize("topology", ["v5:2x2x1", "v6e:2x2"])
def test_steps_compile_for_tpus_and_copy_no_table(monkeypatch, topology):
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")  # no machine of a cloud to ask
    described = topologies.get_topology_desc(topology, "tpu")
    axes = {"axis_types": (AxisType.Auto,)}
    mesh = Mesh(np.array(described.devices), (DATA,), **axes)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    step = small("sparsecore", mesh)
    state, sent = jax.eval_shape(step.init), step.rows.prepare_on_host(batches())
    places = sparsecore.formats(step.tables, state)
    put = lambda leaf, place: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=place
    )
    args = jax.tree.map(put, (state, sent), (places, batch_shardings(mesh, sent)))
    steps = jax.jit(step.steps, donate_argnums=0, out_shardings=(places, None))
    text = steps.lower(*args, 1).compile().as_text()
    own = state.trained["tables"]["dim_8"].shape[0] // mesh.size
    assert "SparseMapRow" in text
    assert not re.search(rf"= f32\[{own},8\]\S* copy", text)


def test_without_tpu_or_library_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax_tpu_embedding.sparsecore.lib.nn", None)
    with pytest.raises(ValueError, match=r"pip install 'ple-jax\[tpu-embedding\]'"):
        trainer("sparsecore")


@needs_library
def test_other_devices_are_refused():
    with pytest.raises(ValueError, match=r"SparseCores \(TPU v5.*got cpu: leave"):
        trainer("sparsecore")


@pytest.mark.parametrize(
    ("train", "inputs", "message"),
    [
        ({}, {"embedding_dim": 12}, r"multiples of 8, got \[12\]"),
        ({}, {"wire": "bfloat16"}, "wire = 'float32'"),
        ({}, {"row_optimizer": "rowwise_adagrad"}, "got 'rowwise_adagrad'"),
        ({"data_on": "device"}, {}, "data_on = 'host'"),
    ],
)
def test_what_it_cannot_do_is_refused(monkeypatch, train, inputs, message):
    monkeypatch.setattr(sparsecore, "cores_of", lambda mesh: 2)
    monkeypatch.setattr(tables, "cores_of", lambda mesh: 2)
    with pytest.raises(ValueError, match=message):
        trainer("sparsecore", train, **inputs)
