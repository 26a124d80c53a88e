"""Every model trains on four devices, which exchange rows of tables, as on one."""

import jax
import numpy as np
import pytest
from lib.arrays import assert_close, random_like
from lib.small_models import having

from ple_jax import config, models
from ple_jax.layout import IdColumn, Layout
from ple_jax.parallel.mesh import batch_shardings, make_mesh, state_shardings
from ple_jax.schema import Task
from ple_jax.train.trainer import step_of
from ple_jax.types import Batch

ROWS, DOMAINS, B, STEPS = (43, 11), 3, 24, 4  # 54 rows: two more, for them to divide
# Half the time to compile, where XLA still knows it.
QUICK = {"xla_cpu_use_fusion_emitters": False} if "0.10." in jax.__version__ else {}
SMALL = {
    "expert_dims": [5],
    "tower_dims": [3],
    "dims": [5],
    "auxiliary_dims": [3],
    "domain_dim": 2,
    "discriminator_dims": [3],
    "width": 6,
    "num_features": len(ROWS),
}


def batch(seed):
    rng = np.random.default_rng(seed)
    draw = lambda kinds, *shape: rng.integers(0, kinds, shape).astype(np.int32)
    return Batch(
        ids=np.stack([draw(rows, B) for rows in ROWS], axis=1),
        bags={},
        numbers=np.zeros((B, 0), np.float32),
        domain=draw(DOMAINS, B),
        labels=draw(2, B, 2).astype(np.float32),
        observed=draw(4, B, 2) > 0,
        weights=rng.random(B, np.float32),
    )


def step_on(kind, devices):
    ids = tuple(IdColumn(str(i), str(i), rows) for i, rows in enumerate(ROWS))
    domains = tuple(map(str, range(DOMAINS)))
    layout = Layout(ids, (), (), (Task("click"), Task("buy")), domains)
    experiment = config.from_dict(
        {
            "model": {"kind": kind} | having(kind, SMALL),
            "inputs": {"embedding_dim": 3, "update": "rows", "row_order": "spread"},
            "train": {"optimizer": "adagrad", "learning_rate": 0.1, "batch_size": B},
        }
    )
    room = {"dim_3": 0.5} if devices > 1 else {}
    return step_of(experiment, layout, STEPS, make_mesh(devices), room)


def start(step):
    """A state of random parameters; programs that draw them take long to compile."""
    shapes = jax.eval_shape(step.init)
    kept = jax.tree.map(
        lambda s: np.full(s.shape, 0.1 if s.dtype == np.float32 else 0, s.dtype), shapes
    )
    rows, padded = sum(ROWS), shapes.trained["tables"]["dim_3"].shape[0]
    table = np.random.default_rng(0).normal(0, 0.3, (rows, 3)).astype(np.float32)
    tables = {"dim_3": np.pad(table, [(0, padded - rows), (0, 0)])}
    model = random_like(shapes.trained["model"])
    return kept.replace(trained=kept.trained | {"model": model, "tables": tables})


def trained(kind, devices):
    """The logits of some steps, and what they train."""
    step, logits = step_on(kind, devices), []
    state, mesh = start(step), step.tables.mesh
    state = jax.device_put(state, state_shardings(mesh, state))
    update = jax.jit(step.update, donate_argnums=0, compiler_options=QUICK)
    for seed in range(STEPS):
        given = step.rows.prepare_on_host(batch(seed))
        given = jax.device_put(given, batch_shardings(mesh, given, steps=0))
        state, now = update(state, given)
        logits.append(np.asarray(now))
    tables = {n: np.asarray(t)[: sum(ROWS)] for n, t in state.trained["tables"].items()}
    return logits, state.trained | {"tables": tables}


@pytest.mark.parametrize("kind", models.available())
def test_four_devices_train_as_one(kind):
    wanted, found = trained(kind, 1), trained(kind, 4)
    assert_close(found, wanted, rtol=0, atol=1e-6)
    assert np.abs(wanted[0][-1]).max() > 1e-3
