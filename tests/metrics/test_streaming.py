"""Streaming metrics against the exact ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.scored import DOMAINS, TASKS, many

from ple_jax.metrics import exact as metrics
from ple_jax.metrics import streaming
from ple_jax.metrics.curves import auc_roc
from ple_jax.types import Batch


def batches_of(arrays, size):
    logits, labels, observed, weights, domain = arrays
    for i in range(0, len(logits), size):
        part = slice(i, i + size)
        empty = np.zeros((len(logits[part]), 0), np.int32)
        batch = Batch(
            empty,
            {},
            np.float32(empty),
            domain[part],
            labels[part],
            observed[part],
            weights[part],
        )
        yield jnp.asarray(logits[part]), batch


@pytest.mark.parametrize("size", [977, 5003])
def test_streaming_agrees_with_exact(size):
    arrays = many()
    stream = streaming.init(2, TASKS)
    update = jax.jit(lambda s, z, b: streaming.update(s, z, b, TASKS))
    for logits, batch in batches_of(arrays, size):
        stream = update(stream, logits, batch)
    got = streaming.compute(stream, TASKS, DOMAINS)
    want = metrics.report(*arrays, TASKS, DOMAINS)
    for part in ("shop", "home", None):
        mine = got["tasks"] if part is None else got["domains"][part]
        exact = want["tasks"] if part is None else want["domains"][part]
        for task, values in mine.items():
            for name, value in values.items():
                tolerance = 1e-4 if name == "auc_roc" else 1e-5
                assert value == pytest.approx(exact[task][name], rel=tolerance), (
                    task,
                    name,
                )


def test_one_domain_agrees_with_exact():
    logits, labels, observed, weights, domain = many()
    arrays, stream = (
        (logits, labels, observed, weights, 0 * domain),
        streaming.init(1, TASKS),
    )
    for z, batch in batches_of(arrays, 977):
        stream = streaming.update(stream, z, batch, TASKS)
    got = streaming.compute(stream, TASKS, ("all",))
    want = metrics.report(*arrays, TASKS, ("all",))["tasks"]
    assert got["domains"]["all"] == got["tasks"]
    for task, values in got["tasks"].items():
        wanted = {name: want[task][name] for name in values}
        assert values == pytest.approx(wanted, rel=1e-4)
        loss = "mse" if task == "time" else "log_loss"
        assert streaming.loss_of(values) == values[loss]


def test_streams_of_parts_add_up():
    arrays, stream = many(), streaming.init(2, TASKS)
    update = lambda s, z, b: streaming.update(s, z, b, TASKS)
    parts = [update(stream, z, b) for z, b in batches_of(arrays, 2500)]
    whole = stream
    for z, b in batches_of(arrays, 2500):
        whole = update(whole, z, b)
    added = jax.tree.map(lambda *leaves: sum(leaves), *parts)
    np.testing.assert_array_equal(added.histogram, whole.histogram)
    np.testing.assert_allclose(added.sums, whole.sums, rtol=1e-6)


def test_sums_of_many_small_numbers_keep_their_digits():
    add = lambda _, carried: streaming.add_exactly(
        carried[0], jnp.full((), 0.1), carried[1]
    )
    zero = jnp.zeros(())
    total, _ = jax.jit(lambda: jax.lax.fori_loop(0, 1_000_000, add, (zero, zero)))()
    assert float(total) == pytest.approx(1_000_000 * float(np.float32(0.1)), rel=1e-6)


def test_what_sums_are_too_large_by_is_taken_off():
    """In numbers that float32 holds exactly."""
    stream = streaming.init(1, TASKS)
    sums = np.broadcast_to(np.float32([8, 9, 10, 11]), stream.sums.shape)
    carry = np.broadcast_to(np.float32([0.5, 0.25, 1.5, 2]), stream.sums.shape)
    apart = stream.replace(sums=sums, carry=carry)
    together = stream.replace(sums=sums - carry)
    measured = streaming.compute(apart, TASKS, ("all",))
    assert measured == streaming.compute(together, TASKS, ("all",))
    assert measured != streaming.compute(stream.replace(sums=sums), TASKS, ("all",))


def one_score(logit):
    zero, seen = np.zeros((1, 1), np.float32), np.ones((1, 1), bool)
    arrays = zero, zero, seen, np.ones(1, np.float32), np.zeros(1, np.int32)
    [(_, batch)] = batches_of(arrays, 1)
    update = jax.jit(lambda s, z: streaming.update(s, z, batch, TASKS[:1]))
    return update(streaming.init(1, TASKS[:1]), jnp.full((1, 1), logit, jnp.float32))


@pytest.mark.parametrize(
    ("logit", "bin_"),
    [(-1e30, 0), (1e30, streaming.BINS - 1), (np.inf, streaming.BINS - 1), (np.nan, 0)],
)
def test_no_score_falls_outside_the_histogram(logit, bin_):
    assert one_score(logit).histogram[0, 0, 0, bin_] == 1


@pytest.mark.parametrize("logit", [-15.999, -1 / 256, 0, 0.0039, 1 / 256, 3.3, 15.99])
def test_bins_are_a_256th_wide_and_begin_at_minus_16(logit):
    bin_ = int(np.floor((logit + 16) * 256))
    assert 0 < bin_ + 1 < streaming.BINS
    assert one_score(logit).histogram[0, 0, 0, bin_] == 1


def test_counts_beyond_the_limit_are_an_error_and_not_wrong():
    stream = streaming.init(1, TASKS)
    full = stream.replace(histogram=stream.histogram + np.iinfo(np.int32).max)
    assert streaming.compute(full, TASKS, ("all",))["tasks"]["buy"]["auc_roc"] == 0.5
    beyond = full.replace(histogram=full.histogram + 1)
    with pytest.raises(OverflowError, match="2\\^31"):
        streaming.compute(beyond, TASKS, ("all",))


def test_an_empty_stream_has_only_undefined_metrics():
    measured = streaming.compute(streaming.init(1, TASKS), TASKS, ("all",))
    for task in measured["tasks"].values():
        counts = {task.pop(name) for name in ("examples", "positives") if name in task}
        assert counts == {0}
        assert set(task.values()) == {None}


@pytest.mark.parametrize("spread", [0.25, 1.0, 3.0])
def test_the_area_is_within_its_stated_error(spread):
    logits, labels, observed, weights, domain = many(20_000)
    arrays = np.float32(spread * logits), labels, observed, weights, domain
    stream = streaming.init(2, TASKS)
    for z, batch in batches_of(arrays, 20_000):
        stream = streaming.update(stream, z, batch, TASKS)
    got = streaming.compute(stream, TASKS, DOMAINS)["tasks"]
    for i, task in enumerate(("click", "buy")):
        seen = observed[:, i]
        exact = auc_roc(arrays[0][seen, i], labels[seen, i])
        assert abs(got[task]["auc_roc"] - exact) < 1e-4
