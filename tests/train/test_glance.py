"""What is shown of an epoch while it lasts: right, asked for without waiting."""

import jax.numpy as jnp
import numpy as np
import pytest
from lib.training import assert_same, final_state, new_run

from ple_jax.metrics.streaming import Stream
from ple_jax.show import console
from ple_jax.train import glance, loop
from ple_jax.train.glance import Glance, mean_loss


def by_loops(sums):
    """Over trials the mean, over tasks the sum, of all losses by all weights."""
    each = []
    for trial in sums:
        total = 0.0
        for t in range(trial.shape[1]):
            weight = sum(domain[t, 0] for domain in trial)
            loss = sum(domain[t, 1] for domain in trial)
            total += loss / weight if weight else 0.0
        each.append(total)
    return np.mean(each)


@pytest.mark.parametrize("trials", [1, 3])
def test_the_loss_so_far_is_that_of_all_rows_so_far(trials):
    sums = np.random.default_rng(0).gamma(2, size=(trials, 5, 2, 4)).astype(np.float32)
    sums[:, :, 1, 0] = 0  # a task without a label yet
    given = jnp.asarray(sums if trials > 1 else sums[0])
    assert mean_loss(given) == pytest.approx(by_loops(sums), rel=1e-5)


class Later:
    """A number that the device does not have until it is told."""

    ready = False

    def is_ready(self):
        return self.ready

    def __float__(self):
        assert self.ready, "waited"
        return 0.25


def test_it_asks_now_and_then_and_never_waits(monkeypatch):
    clock, asked = [0.0], []
    monkeypatch.setattr(glance.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(
        glance, "mean_loss", lambda sums: asked.append(Later()) or asked[-1]
    )
    seen, stream = Glance(64), Stream(None, jnp.zeros((1, 1, 4)), None)
    assert seen.text(stream, 1) == ""
    assert asked == []
    clock[0] = 4.0
    assert seen.text(stream, 7) == seen.text(stream, 8) == ""
    assert len(asked) == 1  # one at a time
    asked[0].ready = True
    assert seen.text(stream, 0) == "loss 0.2500  240 examples/s"
    clock[0] = 5.0
    seen.text(stream, 1)
    assert len(asked) == 1
    clock[0] = 6.5
    seen.text(stream, 1)
    assert len(asked) == 2


def test_looking_changes_no_bit(prepared, tmp_path, monkeypatch):
    data, ends, lines = prepared("synthetic", examples=1500), [], []
    monkeypatch.setattr(console, "LINE_SECONDS", 0)
    monkeypatch.setattr(console, "say", lines.append)
    for name, seconds in (("seen", 0), ("unseen", 1e9)):
        monkeypatch.setattr(glance, "SECONDS", seconds)
        small = {"model": {"kind": "shared_bottom"}, "train": {"epochs": 1}}
        run = new_run(data, tmp_path / name, **small)
        loop.fit(run)
        ends.append(final_state(run))
    assert_same(*(state for state, _ in ends))
    assert any("loss" in line and "examples/s  0 min left" in line for line in lines)
    assert any(line.startswith("epoch 1  ") for line in lines)
