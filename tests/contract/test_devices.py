"""Every model trains on four devices, which exchange rows of tables, as on one."""

import numpy as np
import pytest
from lib.arrays import assert_close
from lib.exchanging import step_on, trained
from lib.small_models import having

from ple_jax import models

COLUMNS, SIZE = ((43, 3), (11, 3)), 24  # 54 rows: two more, for them to divide
SMALL = {
    "expert_dims": [5],
    "tower_dims": [3],
    "dims": [5],
    "auxiliary_dims": [3],
    "domain_dim": 2,
    "discriminator_dims": [3],
    "width": 6,
    "num_features": len(COLUMNS),
}


@pytest.mark.parametrize("kind", models.available())
def test_four_devices_train_as_one(kind):
    model = {"kind": kind} | having(kind, SMALL)
    of = lambda devices: step_on(devices, model, COLUMNS, SIZE, rate=0.1)
    wanted, found = (trained(of(devices), SIZE, steps=4) for devices in (1, 4))
    assert_close(found, wanted, rtol=0, atol=1e-6)
    assert np.abs(wanted[0][-1]).max() > 1e-3
