"""Where arrays live: batches, table rows and experts are split, the rest copied."""

import math
from collections.abc import Callable, Sequence, Set
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from ple_jax.types import PyTree, path_names

DATA, MODEL = "data", "model"


def make_mesh(devices: int | None = None, data: int = 0, model: int = 1) -> Mesh:
    """Makes a mesh over the first `devices` devices, or over all.

    It has an axis of `data` parts of a batch, and where experts are split one of
    `model` parts of these. With several processes it has as many devices of each, one
    process after another, so that each holds one slice of a batch.

    Raises:
        ValueError: There are fewer, or they cannot be divided so, or processes would
            have more or fewer than others.
    """
    several = jax.process_count() > 1
    there = jax.device_count()
    count = devices or data * model or there
    if count > there and not several:
        raise ValueError(
            f"train.devices must be at most {there}, the devices that JAX finds here "
            f"({jax.default_backend()}), got {count}."
        )
    if model > 1:
        each = count // jax.process_count()
        check_divides("train.mesh.model", model, each, f"{each} devices of a process")
    shape = (count // model, model) if model > 1 else (count,)
    axes = (DATA, MODEL)[: len(shape)]
    types = (AxisType.Auto,) * len(shape)
    if several:
        chosen = np.array(_of_processes(count)).reshape(shape)
        return Mesh(chosen, axes, axis_types=types)
    return jax.make_mesh(shape, axes, axis_types=types, devices=jax.devices()[:count])


def check_divides(name: str, value: int, whole: int, what: str) -> None:
    """Raises a ValueError, with the nearest value, if one does not divide `whole`.

    Example:
        >>> check_divides("train.mesh.model", 4, 6, "6 experts")
        Traceback (most recent call last):
        ValueError: train.mesh.model must divide the 6 experts, got 4; ... is 3.
    """
    if whole % value:
        divisors = [n for n in range(1, whole + 1) if whole % n == 0]
        nearest = min(divisors, key=lambda n: abs(n - value))
        raise ValueError(
            f"{name} must divide the {what}, got {value}; the nearest that does is "
            f"{nearest}."
        )


def _of_processes(count: int) -> list[jax.Device]:
    """As many devices of each process; at most all."""
    of = jax.process_count()
    each = [jax.local_devices(i)[: count // of] for i in range(of)]
    chosen = [device for devices in each for device in devices]
    if len(chosen) != count or len({len(devices) for devices in each}) > 1:
        there = ", ".join(str(len(jax.local_devices(i))) for i in range(of))
        raise ValueError(
            f"train.devices must give each of the {of} processes as many, got {count}; "
            f"they have {there}."
        )
    return chosen


def mapped(mesh: Mesh, local: Callable, places: Any, out: Any) -> Callable:
    """`jax.shard_map` of what each device does with its parts.

    It does not check which values may differ between devices (`check_vma`): loops begin
    with zeros, alike on all, and end with each one's own. To be checked they would need
    a cast at their start, also where the same code runs on one device.
    """
    return jax.shard_map(
        local, mesh=mesh, in_specs=places, out_specs=out, check_vma=False
    )


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


def fetched_by_first(array: jax.Array) -> np.ndarray:
    """The same on the host of the first process; elsewhere no row of it.

    So no other host needs memory for what is fetched piece by piece.
    """
    whole = fetched(array)
    alone = array.is_fully_addressable or jax.process_index() == 0
    return whole if alone else np.array(whole[:0])


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


def state_shardings(
    mesh: Mesh,
    state: PyTree,
    vmapped: bool = False,
    replicated: Set[str] = frozenset(),
) -> PyTree:
    """Each array's place, by its path.

    Tables and what optimizers keep of them are split by rows, but `replicated` ones;
    experts, on a mesh that splits them, by experts; all else lies on every device. The
    leading axis of `vmapped` trials is not split. On one device every place is P():
    steps return that, and would compile anew for another.
    """
    before, parts = int(vmapped), mesh.shape[DATA]

    def place(path, leaf):
        names = path_names(path)
        axis = experts_axis(names, leaf) if MODEL in mesh.shape else None
        if axis is not None:
            return NamedSharding(mesh, P(*[None] * axis, MODEL))
        of_table = {"tables", "row_state"} & set(names)
        rows = leaf.shape[before] if leaf.ndim > before else math.inf
        split = of_table and parts > 1 and rows % parts == 0
        split = split and replicated.isdisjoint(names)
        return NamedSharding(mesh, P(*[None] * before, DATA) if split else P())

    return jax.tree_util.tree_map_with_path(place, state)


def in_place(
    mesh: Mesh | None, state: PyTree, replicated: Set[str] = frozenset()
) -> PyTree:
    """Keeps a state where it lies, where XLA might split more of it."""
    if mesh is None or not (MODEL in mesh.shape or replicated):
        return state
    places = state_shardings(mesh, state, replicated=replicated)
    return jax.lax.with_sharding_constraint(state, places)


def experts_axis(names: Sequence[str], leaf: Any) -> int | None:
    """The axis of experts of a parameter, or of what an optimizer keeps of it."""
    if "experts" not in names:
        return None
    return leaf.ndim - (3 if names[-1] == "kernel" else 2)


def check_experts(mesh: Mesh, state: PyTree) -> None:
    """Raises a ValueError if a mesh cannot split the experts of each level evenly."""
    of = [(path_names(path), leaf) for path, leaf in jax.tree.leaves_with_path(state)]
    axes = [(leaf, experts_axis(names, leaf)) for names, leaf in of]
    counts = sorted({leaf.shape[axis] for leaf, axis in axes if axis is not None})
    if not counts:
        raise ValueError(
            "train.mesh.model must be 1 for a model without levels of experts, got "
            f"{mesh.shape[MODEL]}."
        )
    what = f"experts of each level ({', '.join(map(str, counts))})"
    check_divides("train.mesh.model", mesh.shape[MODEL], math.gcd(*counts), what)


def check_batch_size(mesh: Mesh, batch_size: int) -> None:
    """Raises a ValueError if a batch does not split evenly over the devices."""
    parts = mesh.shape[DATA]
    if batch_size % parts:
        raise ValueError(
            f"train.batch_size must be a multiple of the {parts} devices, "
            f"got {batch_size}."
        )
