"""Where the train split lies: the batches are the same to the bit."""

import jax
import numpy as np
import pytest
from lib.training import assert_same, check_resume, final_state, new_run, tiny

from ple_jax.parallel.mesh import make_mesh
from ple_jax.train import feed, loop
from ple_jax.train.setup import Setup

DISPATCH = 4


def feed_on(data, data_on, devices=1, **sections):
    of_train = {"data_on": data_on, "devices": devices, **sections.pop("train", {})}
    return Setup([tiny(train=of_train, **sections)], data).feed


@pytest.mark.parametrize("name", ["data", "everything"])
@pytest.mark.parametrize("sampling", ["natural", "one_domain", "balanced"])
@pytest.mark.parametrize("devices", [1, 4])
def test_both_ways_give_the_loaders_batches(name, sampling, devices, request):
    chosen = request.getfixturevalue(name)
    options = {"train": {"sampling": sampling, "checkpoint_every": 7}}
    one = feed_on(chosen, "host", devices, **options)
    two = feed_on(chosen, "device", devices, **options)
    assert one.split is None
    assert two.split is not None
    step, counts = 2, []
    for (sent, count), (picks, same) in zip(
        one.chunks(1, step), two.chunks(1, step), strict=True
    ):
        assert count == same <= DISPATCH
        assert len(sent.domain) == len(picks.rows) == DISPATCH
        wanted = one.loader.batches(1, step, count)
        for i in range(count):
            assert_same(sent.at(i), picks.at(i))
            assert_same(sent.at(i), wanted.at(i))
        step, counts = step + count, [*counts, count]
    assert step == one.loader.steps_per_epoch
    assert counts[:2] == [4, 1]  # up to the checkpoint at step 7


@pytest.mark.parametrize("train", [{}, {"sampling": "one_domain"}])
def test_large_batches_go_together_in_smaller_numbers(everything, train, monkeypatch):
    whole = feed_on(everything, "host", train=train | {"steps_per_dispatch": 9})
    row = sum(a[:1].nbytes for a in everything.split("train").arrays().values())
    assert whole.most == 9
    assert whole.loader.batch_bytes == 64 * row
    for room, most in ((64 * row * 5, 5), (64 * row * 5 - 1, 4), (1, 2)):
        monkeypatch.setattr(feed, "SENT", room)
        parts = feed_on(everything, "host", train=train | {"steps_per_dispatch": 9})
        assert parts.most == most
        rows = [b.labels[:n] for b, n in parts.chunks(0, 0)]
        wanted = [b.labels[:n] for b, n in whole.chunks(0, 0)]
        assert {len(b.labels) for b, _ in parts.chunks(0, 0)} == {most}
        assert max(map(len, rows)) == most
        np.testing.assert_array_equal(np.concatenate(rows), np.concatenate(wanted))
    alone = feed_on(everything, "host", train={"steps_per_dispatch": 1})
    assert alone.most == 1
    assert feed_on(everything, "device").most == DISPATCH


def test_a_run_is_the_same_however_many_batches_go_together(
    data, tmp_path, monkeypatch
):
    runs = []
    for room in (2**30, 1):
        monkeypatch.setattr(feed, "SENT", room)
        on_host = {"data_on": "host", "epochs": 2}
        runs.append(new_run(data, tmp_path / str(room), train=on_host))
    assert loop.fit(runs[0]) == loop.fit(runs[1])
    assert_same(*map(final_state, runs))


@pytest.mark.parametrize(
    "sections",
    [
        {"model": {"dropout_rate": 0.2}, "inputs": {"embedding_dropout_rate": 0.1}},
        {"train": {"average_decay": 0.9, "weight_decay": 0.1}},
        {"inputs": {"update": "rows"}},
    ],
    ids=["dropout", "average", "rows"],
)
def test_a_run_is_the_same_wherever_its_data_lies(data, tmp_path, sections):
    runs = []
    for place in ("host", "device"):
        of_train = sections.get("train", {}) | {"data_on": place}
        runs.append(new_run(data, tmp_path / place, **{**sections, "train": of_train}))
    assert loop.fit(runs[0]) == loop.fit(runs[1])
    assert_same(*map(final_state, runs))


@pytest.mark.parametrize("place", ["host", "device"])
def test_a_stopped_run_resumes_to_the_same_bits(data, tmp_path, monkeypatch, place):
    experiment = tiny(train={"data_on": place})
    check_resume(experiment, data, tmp_path, monkeypatch, dispatches=5)


def test_the_device_holds_what_fits_it(data, monkeypatch):
    assert feed_on(data, "auto").split is not None
    size = sum(a.nbytes for a in data.split("train").arrays().values())
    for memory, there in ((4 * size, True), (4 * size - 1, False)):
        monkeypatch.setattr(feed, "memory_of", lambda device, m=memory: m)
        assert (feed_on(data, "auto").split is not None) is there
        assert feed_on(data, "device").split is not None
        assert feed_on(data, "host").split is None


def test_rows_are_found_on_the_host_while_it_sends_batches(data):
    by_rows = {"inputs": {"update": "rows"}}
    sent = feed_on(data, "auto", **by_rows)
    assert sent.split is None
    batches, _ = next(sent.chunks(0, 0))
    assert batches.touched
    picked = feed_on(data, "device", **by_rows)
    assert picked.split is not None


def test_memory_is_that_of_the_machine_where_a_device_has_none():
    device = jax.devices("cpu")[0]
    assert device.memory_stats() is None
    assert 2**28 < feed.memory_of(device) < 2**50


def test_the_split_on_the_device_is_the_split(everything):
    split = everything.split("train")
    batch = feed.whole(split, make_mesh(4))
    np.testing.assert_array_equal(batch.ids, split.ids)
    np.testing.assert_array_equal(batch.labels, split.labels)
    assert batch.ids.sharding.is_fully_replicated
