"""Where arrays live: batches and table rows are split over devices, the rest copied."""

import math

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from ple_jax.types import PyTree, path_names

DATA = "data"


def make_mesh(devices: int | None = None) -> Mesh:
    """Makes a mesh with one axis over the first `devices` devices, or over all.

    With several processes it has as many of each, one process after another, so that
    each holds one slice of a batch.

    Raises:
        ValueError: There are fewer, or processes would have more or fewer than others.
    """
    if jax.process_count() > 1:
        return _mesh_of_processes(devices or jax.device_count())
    there = jax.device_count()
    count = devices or there
    if count > there:
        raise ValueError(
            f"train.devices must be at most {there}, the devices that JAX finds here "
            f"({jax.default_backend()}), got {count}."
        )
    return jax.make_mesh(
        (count,), (DATA,), axis_types=(AxisType.Auto,), devices=jax.devices()[:count]
    )


def _mesh_of_processes(count: int) -> Mesh:
    """A mesh of as many devices of each process; at most all."""
    of = jax.process_count()
    each = [jax.local_devices(i)[: count // of] for i in range(of)]
    chosen = [device for devices in each for device in devices]
    if len(chosen) != count or len({len(devices) for devices in each}) > 1:
        there = ", ".join(str(len(jax.local_devices(i))) for i in range(of))
        raise ValueError(
            f"train.devices must give each of the {of} processes as many, got {count}; "
            f"they have {there}."
        )
    return Mesh(np.array(chosen), (DATA,), axis_types=(AxisType.Auto,))


def put(tree: PyTree, places: PyTree) -> PyTree:
    """Places arrays that each process has whole."""

    def one(leaf, place):
        if place.is_fully_addressable:
            return jax.device_put(leaf, place)
        whole = np.asarray(leaf)
        return jax.make_array_from_callback(whole.shape, place, whole.__getitem__)

    return jax.tree.map(one, tree, places)


def put_parts(tree: PyTree, places: PyTree) -> PyTree:
    """Places arrays of which each process has its slice of the axis of examples."""
    if all(place.is_fully_addressable for place in jax.tree.leaves(places)):
        return jax.device_put(tree, places)
    return jax.tree.map(
        lambda leaf, place: jax.make_array_from_process_local_data(place, leaf),
        tree,
        places,
    )


def fetched(array: jax.Array) -> np.ndarray:
    """The whole array on the host, whichever processes hold it."""
    if array.is_fully_addressable:
        return np.asarray(array)
    return multihost_utils.process_allgather(array, tiled=True)


def replicated_sharding(mesh: Mesh) -> NamedSharding:
    """Places a copy of the whole array on every device."""
    return NamedSharding(mesh, P())


def batch_shardings(mesh: Mesh, batches: PyTree, steps: int = 1) -> PyTree:
    """Splits the axis of examples over the devices.

    Args:
        mesh: The devices.
        batches: What to place.
        steps: How many axes come before that of examples: of steps, and of trials.
    """
    spec = P(*[None] * steps, DATA)

    def place(path, leaf):
        # Every device needs the touched rows of a batch that is not in slices.
        rows = path_names(path)[:1] == ["touched"] and path_names(path)[-1] == "rows"
        whole = rows and leaf.ndim == steps + 1
        return NamedSharding(mesh, P() if whole else spec)

    return jax.tree_util.tree_map_with_path(place, batches)


def state_shardings(mesh: Mesh, state: PyTree, vmapped: bool = False) -> PyTree:
    """Each array's place, by its path.

    Tables and what optimizers keep of them are split by rows; all else lies on every
    device. The leading axis of `vmapped` trials is not split. On one device every place
    is P(): steps return that, and would compile anew for another.
    """
    before = int(vmapped)

    def place(path, leaf):
        of_table = {"tables", "row_state"} & set(path_names(path))
        rows = leaf.shape[before] if leaf.ndim > before else math.inf
        split = of_table and mesh.size > 1 and rows % mesh.size == 0
        return NamedSharding(mesh, P(*[None] * before, DATA) if split else P())

    return jax.tree_util.tree_map_with_path(place, state)


def check_batch_size(mesh: Mesh, batch_size: int) -> None:
    """Raises a ValueError if a batch does not split evenly over the devices."""
    if batch_size % mesh.size:
        raise ValueError(
            f"train.batch_size must be a multiple of the {mesh.size} devices, "
            f"got {batch_size}."
        )
