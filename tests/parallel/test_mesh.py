"""Meshes of data and experts: what they split, and what they refuse."""

import tomllib
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from lib.training import tiny

from ple_jax import config
from ple_jax.parallel import mesh as meshes
from ple_jax.parallel.mesh import MODEL, batch_shardings, make_mesh
from ple_jax.train.setup import Setup, placed

EXPERTS = {"kind": "ple", "expert_dims": [7], "tower_dims": [5], "num_levels": 2}


def setup_of(data, shape, model=EXPERTS, **section):
    section = {"optimizer": "adagrad", "devices": 0, "mesh": shape, **section}
    inputs = {"update": "rows", "row_order": "spread"}
    experiment = tiny(train=section, model=model, inputs=inputs)
    return Setup([experiment], data, trains=True)


def trained(setup):
    batches = setup.trainer.prepare(setup.loader.batches(0, 0, 20))
    batches = jax.device_put(batches, batch_shardings(setup.mesh, batches))
    state = placed(setup.trainer, setup.mesh)
    return setup.trainer.steps(state, batches, 20)[0]


@pytest.mark.parametrize("kind", ["ple", "adatt"])
def test_experts_are_split_and_train_as_on_one_device(kind, data):
    model = EXPERTS | {"kind": kind}
    found = trained(setup_of(data, {"data": 2, "model": 2}, model))
    split = {"experts"}
    for path, leaf in jax.tree.leaves_with_path(found):
        of_experts = split & {getattr(p, "key", "") for p in path}
        assert (MODEL in leaf.sharding.spec) == bool(of_experts), path
    kernel = found.trained["model"]["level_0"]["experts"]["Dense_0"]["kernel"]
    assert kernel.sharding.spec == P(MODEL)
    assert kernel.addressable_shards[0].data.shape[0] == kernel.shape[0] / 2
    wanted = trained(setup_of(data, {"data": 1}, model))
    for a, b in zip(
        jax.tree.leaves(found.trained), jax.tree.leaves(wanted.trained), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "model", "told"),
    [
        ({"data": 8, "model": 4}, EXPERTS, "at most 4, the devices that JAX finds"),
        ({"model": 3}, EXPERTS, "divide the 4 devices.*got 3; the nearest .* is 2"),
        ({"model": 4}, EXPERTS | {"shared_experts": 1}, "experts of each level"),
        ({"model": 2}, {"kind": "shared_bottom"}, "must be 1 for a model without"),
    ],
)
def test_what_cannot_be_divided_is_refused(data, shape, model, told):
    with pytest.raises(ValueError, match=told):
        setup_of(data, shape, model).check()


def test_a_mesh_is_written_and_read_back():
    experiment = tiny(train={"devices": 0, "mesh": {"data": 2, "model": 2}})
    text = config.to_toml(experiment)
    assert "mesh = {data = 2, model = 2}" in text
    assert config.from_dict(tomllib.loads(text)) == experiment
    with pytest.raises(ValueError, match=r"the 4 of train\.mesh, or 0, got 3"):
        tiny(train={"devices": 3, "mesh": {"data": 2, "model": 2}})


def test_one_axis_where_experts_are_whole():
    assert make_mesh(2).axis_names == ("data",)
    assert make_mesh(data=2, model=2).shape == {"data": 2, "model": 2}


@pytest.mark.parametrize("process", [0, 1])
def test_the_first_process_alone_has_what_all_score(process, monkeypatch):
    """Of an array in several processes; of its own, each has all."""
    scores = np.arange(6.0).reshape(3, 2)
    gathered = SimpleNamespace(is_fully_addressable=False)
    monkeypatch.setattr(meshes, "fetched", lambda array: scores)
    monkeypatch.setattr(jax, "process_index", lambda: process)
    found = meshes.fetched_by_first(gathered)
    np.testing.assert_array_equal(found, scores[: 0 if process else 3])
    assert found.base is None or not process  # nothing keeps the rest in memory
    own = meshes.fetched_by_first(SimpleNamespace(is_fully_addressable=True))
    np.testing.assert_array_equal(own, scores)
