"""Tables that devices share: the same rows, of which none draws or holds all."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from ple_jax.embeddings import draw
from ple_jax.parallel.mesh import make_mesh


@pytest.mark.parametrize("devices", [3, 4])
@pytest.mark.parametrize(("rows", "block"), [(3, 7), (29, 29), (29, 7), (100, 7)])
def test_devices_draw_the_rows_of_one(monkeypatch, rows, block, devices):
    monkeypatch.setattr(draw, "BLOCK", block)
    mesh, key = make_mesh(devices), jax.random.key(5)
    end = -(-rows // devices) * devices
    found = jax.jit(lambda key: draw.draw_split(mesh, key, rows, end, 5, 0.3))(key)
    shapes = {shard.data.shape for shard in found.addressable_shards}
    assert shapes == {(end // devices, 5)}
    wanted = jax.jit(lambda key: 0.3 * draw.draw_normal(key, rows, 5))(key)
    assert np.array_equal(found[:rows], wanted)
    assert not np.any(found[rows:])


def test_trials_may_have_scales_of_their_own():
    mesh, key, scales = make_mesh(4), jax.random.key(5), np.float32([0.3, 0.7])
    of = lambda scale: draw.draw_split(mesh, key, 29, 32, 5, scale)
    found = jax.jit(jax.vmap(of))(scales)
    wanted = scales[:, None, None] * np.asarray(draw.draw_normal(key, 29, 5))
    np.testing.assert_allclose(found[:, :29], wanted, rtol=1e-6)


def test_blocks_are_drawn_as_they_always_were(monkeypatch):
    monkeypatch.setattr(draw, "BLOCK", 7)
    key, wanted = jax.random.key(5), np.zeros((17, 3), np.float32)
    for i, first in enumerate([0, 7, 10]):  # the last is moved back
        block = jax.random.normal(jax.random.fold_in(key, i), (7, 3))
        wanted[first : first + 7] = block
    assert np.array_equal(draw.draw_normal(key, 17, 3), wanted)


# In a process of its own, which has eight devices.
MEMORY = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", 8)
import numpy as np
from lib.batches import make_batch
from ple_jax import config
from ple_jax.layout import IdColumn, Layout
from ple_jax.parallel.mesh import batch_shardings, make_mesh, state_shardings
from ple_jax.schema import Task
from ple_jax.train.trainer import step_of

rows, mesh = int(sys.argv[1]), make_mesh(8)
columns = (IdColumn("user", "user", rows, 16),)
layout = Layout(columns, (), (), (Task("click"),), ("all",))
experiment = config.from_dict({
    "model": {"kind": "shared_bottom"},
    "inputs": {"update": sys.argv[2], "row_order": sys.argv[3]},
    "train": {"optimizer": "adagrad", "average_decay": 0.0, "members": 1},
})
step = step_of(experiment, layout, 7, mesh)
shapes = jax.eval_shape(step.init)
places = state_shardings(mesh, shapes)
put = lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)
batch = jax.tree.map(lambda x: np.stack([x, x]), make_batch(np.zeros((64, 1))))
batches = jax.tree.map(put, batch, batch_shardings(mesh, batch))
state = jax.tree.map(put, shapes, places)
for program in (
    jax.jit(step.init, out_shardings=places).lower(),
    jax.jit(step.steps, donate_argnums=0).lower(state, batches, 2),
):
    used = program.compile().memory_analysis()
    print(used.temp_size_in_bytes + used.output_size_in_bytes)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("update", "order"), [("dense", "frequency"), ("rows", "spread")]
)
def test_no_device_of_eight_ever_holds_a_table(update, order):
    rows = 2**24 + 13
    command = [sys.executable, "-c", MEMORY, str(rows), update, order]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(command, capture_output=True, text=True, env=path)
    assert ran.returncode == 0, ran.stderr
    table = 4 * 16 * rows  # bytes; Adagrad keeps as many
    # Its share of both, and a few blocks to draw, or for dense updates its gradient's.
    for used in map(int, ran.stdout.split()):
        assert 2 * table / 8 <= used < table / 2, used / table
