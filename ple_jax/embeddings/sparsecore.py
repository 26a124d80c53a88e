"""Rows of tables that the SparseCores of TPUs fetch and move, by `jax-tpu-embedding`.

A batch is what it is for `Exchange`: each device has the distinct rows of its slice,
and the sum of their gradients. Two operations of XLA then take the place of
`all_to_all`: one fetches rows from their owners, the other adds up what devices have
for one row, and moves it by the row optimizer. Both read buffers of fixed size in which
the host has sorted a batch's rows by owner. Where these ask one for more than there is
room, the operations take several rounds ("minibatches"), each for other rows.

The library gives an id i, of S = D cores SparseCores in all, to SparseCore i mod S. For
a table to lie as it does without them, each owning n = V / S rows one after another,
the row at place p goes by the id

    i(p) = (p mod n) S + floor(p / n)
"""

import dataclasses
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike

from ple_jax.config.experiment import Train
from ple_jax.embeddings.gather import read_fields
from ple_jax.embeddings.sharded import Exchange
from ple_jax.optim.rows import RowUpdate
from ple_jax.parallel.mesh import DATA, MODEL, state_shardings
from ple_jax.types import Array, PyTree, Touched, path_names

KNOB = "inputs.exchange = 'sparsecore'"
NEEDED = (
    f"{KNOB} needs Python 3.12 and jax-tpu-embedding 0.2 or newer: pip install "
    "'ple-jax[tpu-embedding]'."
)
NAME = "table"  # of the only one that the library is told of at a time
LANES = 8  # numbers of a word; widths, rows and room come in multiples of it
ROUNDS = 8  # that buffers have room for
MULTIPLE = 4 * LANES  # of rows on a device, with as many SparseCores as any has


class Buffers(NamedTuple):
    """The rows of a batch on d devices, sorted by the SparseCores that own them."""

    pointers: Array  # (d n1,) int32: where the rows of each owner end
    ids: Array  # (d n2,) int32: rows, as their owner counts them
    samples: Array  # (d n2,) int32: their places in what is fetched
    gains: Array  # (d n2,) float32: 1
    rounds: Array  # (d,) int32: how many are needed, the same for all devices


@dataclasses.dataclass(frozen=True)
class SparseCores(Exchange):
    """How the SparseCores of a mesh of TPUs exchange rows of one table (V, W).

    Attributes:
        cores: SparseCores of a device.
    """

    cores: int = 4

    @property
    def owners(self) -> int:
        """S."""
        return self.devices * self.cores

    def capacity(self, most: int) -> int:
        """As an exchange's, which asks all SparseCores of a device at once."""
        return min(most, self.cores * super().capacity(most))

    def find_on_host(self, rows: Array) -> Touched:  # (..., B, S), of this process
        """Finds the distinct rows of each slice, and sorts them by owner."""
        found = super().find_on_host(rows)
        lead = found.rows.shape[:-2]
        each = [self._sorted(found.rows[i]) for i in np.ndindex(lead)]
        whole = [
            np.stack(parts).reshape(*lead, -1) for parts in zip(*each, strict=True)
        ]
        return found.replace(buffers=Buffers(*whole))

    def with_part(self, touched: Touched) -> Touched:
        """What the host has sorted already is as it is."""
        return touched if touched.buffers is not None else super().with_part(touched)

    def gram(self, touched: Touched, grads: jax.Array) -> jax.Array:
        """As an exchange's, by which devices send each other gradients once more."""
        return super().gram(super().with_part(touched), grads)

    def overflows(self, touched: Touched) -> jax.Array:  # () bool
        """Whether a batch needs several rounds."""
        if touched.buffers is None:
            return super().overflows(touched)
        return touched.buffers.rounds[0] > 1

    def read(
        self,
        table: jax.Array,  # (V, W)
        touched: Touched,
        slots: jax.Array,  # (B, S)
        lengths: tuple[int, ...],
    ) -> jax.Array:  # (B, fields, W)
        """`read_fields` of the table."""
        if touched.buffers is None:
            return super().read(table, touched, slots, lengths)

        most = touched.rows.shape[-1]

        def local(table, buffers, slots):
            return read_fields(self._by_cores(table, buffers, most), slots, lengths)

        read = self._mapped(local, (P(DATA), P(DATA), P(DATA)), P(DATA))
        return read(table, touched.buffers, slots)

    def update(
        self,
        rule: RowUpdate,
        table: jax.Array,  # (V, W)
        state: PyTree,
        touched: Touched,
        grads: jax.Array,  # (D, U, W)
        rate: ArrayLike,
        step: ArrayLike,
    ) -> tuple[jax.Array, PyTree]:
        """Each owner moves its rows by the sum of all devices' gradients."""
        if touched.buffers is None:
            return super().update(rule, table, state, touched, grads, rate, step)

        def local(table, state, grads, buffers, *now):
            return self._moved_by_cores(rule, table, state, buffers, grads[0], *now)

        split = P(DATA), P(DATA)
        move = self._mapped(local, (*split, *split, P(), P()), split)
        return move(table, state, grads, touched.buffers, rate, step)

    def _sorted(self, rows):  # (d, U) -> Buffers
        library, most = _library(), rows.shape[1]
        dealt = self._dealt(rows.T, self.end).T.ravel().astype(np.int64)
        there = np.flatnonzero(dealt < self.end)
        owner, own = np.divmod(dealt[there], self.length // self.owners)
        given, counts = library.preprocess(
            [np.stack([there, np.zeros_like(there)], axis=1)],
            [(own * self.owners + owner).astype(np.int32)],
            [np.array([len(dealt), 1])],
            [self._feature(most)],
            len(rows),
            self.devices,
            num_sc_per_device=self.cores,
            enable_minibatching=True,
        )
        if counts.id_drop_counters[NAME]:
            raise ValueError(
                f"{KNOB} had no room for the rows that a batch reads: leave it out, or "
                "take smaller batches."
            )
        parts = (part[NAME] for part in given.sparse_dense_matmul_input)
        return Buffers(*parts, given.num_minibatches.astype(np.int32))

    def _feature(self, most, width=LANES, optimizer=None):
        """What the library is told of a table, and of the rows U of a slice."""
        library, each = _library(), self._each(most)
        room = _rounded(math.ceil(self.share * most / self.cores))
        size = _rounded(each) + ROUNDS * LANES * self.owners
        table = library.TableSpec(
            name=NAME,
            vocabulary_size=self.length,
            embedding_dim=width,
            initializer=jax.nn.initializers.zeros,
            optimizer=optimizer or library.SGDOptimizerSpec(),
            combiner="sum",
            max_ids_per_partition=room,
            max_unique_ids_per_partition=room,
            suggested_coo_buffer_size_per_device=self.cores * size,
        )
        count = self.owners * each
        feature = library.FeatureSpec(
            name=NAME,
            table_spec=table,
            input_shape=(count, 1),
            output_shape=(count, width),
        )
        library.prepare([feature], self.devices, self.cores)
        return feature

    @property
    def _devices(self):
        """What both operations are told of devices and of rounds."""
        return {
            "global_device_count": self.devices,
            "num_sc_per_device": self.cores,
            "enable_minibatching": True,
        }

    def _by_cores(self, table, buffers, most):  # (V / D, W) -> (U, W)
        library, width = _library(), table.shape[1]
        (found,) = library.fetch(
            _given(buffers),
            {NAME: library.EmbeddingVariables(table, ())},
            [self._feature(most, width)],
            **self._devices,
        )
        apart = found.reshape(self.cores, -1, width)
        return apart.swapaxes(0, 1).reshape(found.shape)[:most]

    def _moved_by_cores(self, rule, table, state, buffers, grads, rate, step):
        library, (leaves, tree) = _library(), jax.tree.flatten(state)
        optimizer = _optimizer(rule, tree, rate, step)
        moved = library.move(
            [self._dealt(grads, 0)],
            _given(buffers),
            {NAME: library.EmbeddingVariables(table, tuple(leaves))},
            [self._feature(*grads.shape, optimizer)],
            **self._devices,
        )[NAME]
        return moved.table, tree.unflatten(moved.slot)

    def _each(self, most):
        """How many rows of a slice each SparseCore of a device asks for, at most."""
        return -(-most // self.cores)

    def _dealt(self, rows, fill):  # (U, ...) -> (cores _each(U), ...)
        """The rows by the SparseCore that asks for them: in turns, to be even."""
        xp = np if isinstance(rows, np.ndarray) else jnp
        each = self._each(len(rows))
        more = [(0, each * self.cores - len(rows))] + [(0, 0)] * (rows.ndim - 1)
        whole = xp.pad(rows, more, constant_values=fill)
        apart = whole.reshape(each, self.cores, *rows.shape[1:])
        return apart.swapaxes(0, 1).reshape(whole.shape)


def check(tables: Any, train: Train) -> None:
    """Raises a ValueError if SparseCores cannot exchange rows of `Tables`."""
    inputs, mesh = tables.inputs, tables.mesh
    cores_of(mesh)
    widths = {tables.row_width(name) for name in tables.exchanged}
    odd = sorted(width for width in widths if width % LANES)
    needs = [
        (not odd, f"embeddings in widths that are multiples of {LANES}, got {odd}"),
        (inputs.wire == "float32", "inputs.wire = 'float32'"),
        (
            inputs.row_optimizer != "rowwise_adagrad",
            "an inputs.row_optimizer that keeps as many numbers as a row has, got "
            "'rowwise_adagrad'",
        ),
        (train.data_on != "device", "train.data_on = 'host': it sorts each batch"),
        (MODEL not in mesh.shape, "train.mesh.model = 1"),
        (jax.process_count() == 1, "one process"),
    ]
    for holds, what in needs:
        if not holds:
            raise ValueError(f"{KNOB} needs {what}.")


def formats(tables: Any, state: PyTree) -> PyTree:
    """Each array's place, and of what SparseCores move also how it lies there.

    XLA would else rewrite whole tables before and after the steps of each dispatch.
    """

    def place(path, leaf, place):
        is_moved = not tables.exchanged.keys().isdisjoint(path_names(path))
        in_rows = is_moved and leaf.ndim == 2
        return _library().format(tables.mesh, P(DATA)) if in_rows else place

    usual = state_shardings(tables.mesh, state, replicated=tables.replicated)
    return jax.tree_util.tree_map_with_path(place, state, usual)


def in_format(steps: Callable, tables: Any, state: PyTree) -> Callable:
    """Jits steps of a state whose arrays lie as `formats` says."""
    places = formats(tables, state)
    run = jax.jit(steps, donate_argnums=0, out_shardings=(places, None))
    return lambda state, *rest: run(jax.device_put(state, places), *rest)


def cores_of(mesh: Mesh) -> int:
    """SparseCores of each device of a mesh.

    Raises:
        ValueError: The library is not there or too old, or the devices have none.
    """
    known = _library().kinds
    kind = mesh.devices.flat[0].device_kind
    if kind not in known:
        raise ValueError(
            f"{KNOB} needs TPUs with SparseCores ({', '.join(known)}), got {kind}: "
            "leave it out, and devices exchange rows by all_to_all."
        )
    return known[kind]


def _library() -> Any:
    """The parts of `jax-tpu-embedding` that are used."""
    try:
        from jax_tpu_embedding.sparsecore import __version__ as version
        from jax_tpu_embedding.sparsecore.lib.nn import embedding, embedding_spec
        from jax_tpu_embedding.sparsecore.utils import utils
    except ImportError as error:
        raise ValueError(NEEDED) from error
    # Before 0.2 its operation for any optimizer ignored all rounds but the first.
    if tuple(map(int, version.split(".")[:2])) < (0, 2):
        raise ValueError(f"{NEEDED} Got {version}.")
    return SimpleNamespace(
        **vars(embedding_spec),
        EmbeddingVariables=embedding.EmbeddingVariables,
        PreprocessedInput=embedding.PreprocessedInput,
        SparseDenseMatmulInput=embedding.SparseDenseMatmulInput,
        prepare=embedding.prepare_feature_specs_for_training,
        preprocess=embedding.preprocess_sparse_dense_matmul_input_from_sparse_tensor,
        fetch=embedding.tpu_sparse_dense_matmul,
        move=embedding.tpu_sparse_dense_matmul_grad,
        format=utils.embedding_table_format,
        kinds=utils.NUM_SC_PER_DEVICE_MAP,
    )


def _given(buffers: Buffers) -> Any:
    """A device's buffers, as the library takes them."""
    library, (*parts, rounds) = _library(), buffers
    sparse = library.SparseDenseMatmulInput(*({NAME: part} for part in parts))
    return library.PreprocessedInput(sparse, rounds)


def _optimizer(rule: RowUpdate, tree: Any, rate: ArrayLike, step: ArrayLike) -> Any:
    """The row optimizer, for one row at a time: of its gradient, it and its state."""

    def move(grad, table, *rest):  # (1, W) each
        *state, rate, step = rest
        rate += 0 * step  # the library loses a number that no rule reads
        table, moved = rule(table, tree.unflatten(state), None, grad, rate, step)
        return table, *jax.tree.leaves(moved)

    numbers = tuple(jnp.asarray(number, jnp.float32) for number in (rate, step))
    slots = (jax.nn.initializers.zeros,) * tree.num_leaves
    spec = _library().CustomOptimizerSpec(
        0.0, move, slot_variable_initializers_tuple=slots
    )
    spec.get_hyperparameters = lambda step: numbers
    return spec


def _rounded(count: int) -> int:
    return -(-count // LANES) * LANES
