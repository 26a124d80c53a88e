"""Training from disk by blocks: the batches and the bits of training from memory."""

import fsspec
import jax
import numpy as np
import pytest
from lib.blocks import in_blocks
from lib.damage import rewrite
from lib.tables import built
from lib.training import assert_same, check_resume, final_state, new_run, tiny

from ple_jax import config, datasets
from ple_jax.config.experiment import AUTO
from ple_jax.data.blocks import Blocks
from ple_jax.data.stream import StreamLoader
from ple_jax.datasets import prepared
from ple_jax.parallel import memory, processes
from ple_jax.runs.defaults import recorded
from ple_jax.runs.directory import open_run
from ple_jax.train import loop
from ple_jax.train.setup import Setup

ON_DISK = {"order": "blocks", "data_on": "disk", "window": 5}


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    source = built(datasets.find("synthetic"), examples=1000)
    return in_blocks(source, tmp_path_factory.mktemp("blocks") / "prepared")


def loader(data, **train):
    return Setup([tiny(train={**ON_DISK, **train})], data).loader


@pytest.mark.parametrize("part", [(0, 1), (0, 2), (1, 2)])
def test_batches_are_rows_of_the_split(blocks, part, monkeypatch):
    monkeypatch.setattr(processes, "part", lambda: part)
    streamed, split = loader(blocks), blocks.split("train")
    assert isinstance(streamed, StreamLoader)
    resident = loader(blocks, data_on="host")
    for epoch, first, count in ((0, 0, 3), (0, 3, 2), (1, 1, 8), (0, 7, 1)):
        rows = streamed.rows(epoch, first, count)
        assert rows.shape == (count, 64 // part[1])
        batch = streamed.batches(epoch, first, count)
        np.testing.assert_array_equal(batch.ids, split.ids[rows])
        np.testing.assert_array_equal(batch.labels, split.labels[rows])
        assert_same(batch, resident.batches(epoch, first, count))


def test_processes_share_an_epoch(blocks, monkeypatch):
    found = []
    for part in ((0, 2), (1, 2)):
        monkeypatch.setattr(processes, "part", lambda p=part: p)
        one = loader(blocks)
        found.append(one.rows(0, 0, one.steps_per_epoch).ravel())
    every = np.concatenate(found)
    assert len(set(every.tolist())) == len(every) == one.steps_per_epoch * 64


def test_memory_holds_two_windows_and_each_block_is_read_once(blocks, monkeypatch):
    streamed, read, most = loader(blocks), [], 0
    load = Blocks.read

    def noted(self, pieces):
        read.extend(piece.block for piece in pieces)
        return load(self, pieces)

    monkeypatch.setattr(Blocks, "read", noted)
    for step in range(streamed.steps_per_epoch):
        streamed.batches(0, step, 1)
        most = max(most, len(streamed._read))
    assert most == 2
    streamed._read.popitem()[1].result()  # of the next epoch
    course = streamed.windows.course(0)
    each = [course.pieces(i, streamed.blocks.of_block) for i in range(len(course))]
    assert max(map(len, each)) == ON_DISK["window"] < len(streamed.blocks) / 3
    of_epoch = [piece.block for pieces in each for piece in pieces]
    assert len(set(of_epoch)) == len(of_epoch)
    of_next = streamed.windows.course(1).pieces(0, streamed.blocks.of_block)
    assert read == of_epoch + [piece.block for piece in of_next]


def test_a_run_is_the_same_wherever_its_blocks_lie(blocks, tmp_path):
    runs = []
    for place in ("disk", "device"):
        train = {**ON_DISK, "data_on": place, "epochs": 2}
        run = new_run(blocks, tmp_path / place, train=train)
        runs.append(open_run(run.directory))
    assert loop.fit(runs[0]) == loop.fit(runs[1])
    assert_same(*map(final_state, runs))
    assert "train" not in runs[0].data._opened  # it would be read whole


def test_a_stopped_run_resumes_to_the_same_bits(blocks, tmp_path, monkeypatch):
    train = {**ON_DISK, "epochs": 2}
    check_resume(tiny(train=train), blocks, tmp_path, monkeypatch, dispatches=5)


def test_trials_read_blocks_of_their_own(blocks):
    experiments = [tiny(train={**ON_DISK, "seed": seed}) for seed in (0, 3)]
    both = Setup(experiments, blocks, vmapped=True).loader
    batch = both.batches(1, 2, 3)
    for i, experiment in enumerate(experiments):
        alone = Setup([experiment], blocks).loader
        assert_same(jax.tree.map(lambda x, i=i: x[:, i], batch), alone.batches(1, 2, 3))


def test_train_that_lies_elsewhere_is_read_by_blocks(blocks, monkeypatch, tmp_path):
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    store.put(str(blocks.directory), "/streamed", recursive=True)
    data = prepared.build("memory://streamed")
    experiment = recorded(tiny(train={"order": AUTO, "window": 5}), data)
    assert experiment.train.order == "blocks"
    found = Setup([experiment], data).loader
    assert_same(found.batches(0, 1, 2), loader(blocks).batches(0, 1, 2))
    with pytest.raises(ValueError, match="train lies in memory://streamed"):
        Setup([tiny()], data).check()


# What is not as it was.


def test_a_block_that_changes_between_epochs_ends_the_run_and_loses_nothing(
    blocks, tmp_path, monkeypatch
):
    train = {**ON_DISK, "epochs": 2}
    wanted = loop.fit(new_run(blocks, tmp_path / "whole", train=train))
    run = new_run(blocks, tmp_path / "run", train=train)
    path = run.data.directory / "train" / "labels.npy"
    content = path.read_bytes()
    say = loop.say_epoch

    def spoil(records, epochs):
        def flip(content):
            content[-1] ^= 1

        say(records, epochs)
        rewrite(path, flip)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "say_epoch", spoil)
        with pytest.raises(ValueError, match=r"labels.npy is not as it was .* block"):
            loop.fit(run)
    path.unlink()
    path.write_bytes(content)
    again = open_run(run.directory)
    assert loop.fit(again, resume=True) == wanted


# What `auto` chooses.


@pytest.mark.parametrize(
    ("train", "share", "order"),
    [
        ({}, 1, "full"),
        ({}, 1 / 4, "blocks"),
        ({"data_on": "host"}, 1 / 4, "full"),
        ({"sampling": "balanced"}, 1 / 4, "full"),
        ({"data_on": "disk"}, 1, "blocks"),
        ({"order": "full"}, 1 / 4, "full"),
        ({"order": "blocks"}, 1, "blocks"),
    ],
)
def test_auto_is_blocks_where_train_does_not_fit(
    blocks, monkeypatch, train, share, order
):
    size = 2 * blocks.bytes_of("train") * share
    monkeypatch.setattr(memory, "of_host", lambda: size)
    experiment = recorded(tiny(train={"order": AUTO, **train}), blocks)
    assert experiment.train.order == order
    setup = Setup([experiment], blocks)
    streams = order == "blocks" and (share < 1 or train.get("data_on") == "disk")
    assert setup.loader.in_memory is not streams
    assert setup.feed.split is None or setup.loader.in_memory


def test_data_sets_of_before_are_read_in_the_order_of_then(blocks, monkeypatch):
    old = blocks.facts | {"blocks": {}}
    monkeypatch.setattr(memory, "of_host", lambda: 1)
    monkeypatch.setitem(blocks.__dict__, "facts", old)
    assert recorded(tiny(train={"order": AUTO}), blocks).train.order == "full"


def test_runs_of_before_keep_the_order_of_then():
    tree = config.to_dict(tiny())
    del tree["train"]["order"], tree["train"]["window"]
    assert config.from_dict(config.with_old_values(tree)).train.order == "full"
    assert config.from_dict(tree).train.order == AUTO


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"order": "blocks", "sampling": "balanced"}, "needs train.sampling = 'nat"),
        ({"order": "full", "data_on": "disk"}, "needs train.order = 'blocks'"),
        ({"order": "block"}, "expected one of 'full', 'blocks' or 'auto'"),
        ({"window": 0}, "train.window must be at least 1"),
    ],
)
def test_what_does_not_go_together_is_refused(train, message):
    with pytest.raises(ValueError, match=message):
        tiny(train=train)
