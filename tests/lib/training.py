"""Tiny runs, stopped and resumed."""

import json
import pathlib
import signal

import jax
import numpy as np
import pytest

from ple_jax import config
from ple_jax.cli import main as cli
from ple_jax.runs.directory import create_run, open_run
from ple_jax.train import feed, loop
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.setup import Setup

TINY = {
    "data": {"kind": "synthetic", "examples": 1500},
    "model": {"kind": "ple", "expert_dims": [7], "tower_dims": [5]},
    "inputs": {"embedding_dim": 3, "row_order": "frequency"},
    "train": {
        "epochs": 3,
        "batch_size": 64,
        "learning_rate": 0.01,
        "average_decay": 0.0,
        "members": 1,
        "order": "full",
        "patience": 0,
        "metric": "auc_roc",
        "steps_per_dispatch": 4,
        "eval_batch_size": 128,
        "devices": 1,
    },
}


def tiny(**sections):
    return config.from_dict(
        {s: {**TINY.get(s, {}), **sections.get(s, {})} for s in {*TINY, *sections}}
    )


def new_run(data, folder, **sections):
    return create_run(pathlib.Path(folder), tiny(**sections), data)


def final_state(chosen):
    """The newest checkpoint's state and progress, without what the clock says."""
    setup = Setup([chosen.experiment], chosen.data)
    with Checkpoints(chosen.checkpoints) as checkpoints:
        restored = checkpoints.restore(setup.trainer.init())
    journals = restored.progress.pop("journals")
    assert [len(lines) for lines in journals] == [len(records(chosen))]
    return restored.state, restored.progress


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), y in zip(
        jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True
    ):
        np.testing.assert_array_equal(x, y, err_msg=jax.tree_util.keystr(path))


def assert_near(got, wanted):
    """Two results or records, whose areas under curves may differ by a pair of rows."""
    if isinstance(wanted, dict):
        assert got.keys() == wanted.keys()
        for key in wanted:
            assert_near(got[key], wanted[key])
    elif isinstance(wanted, list):
        for a, b in zip(got, wanted, strict=True):
            assert_near(a, b)
    elif isinstance(wanted, float):
        assert got == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    else:
        assert got == wanted


def records(one):
    """A journal without what the clock says."""
    lines = map(json.loads, one.metrics.read_text().splitlines())
    return [{k: v for k, v in r.items() if k != "examples_per_second"} for r in lines]


class StopAfter:
    """Asks a run to stop by a real signal after some dispatches."""

    def __init__(self, monkeypatch, dispatches):
        self.left, chunks = dispatches, feed.Feed.chunks
        stopping = lambda self_, *place: self(chunks(self_, *place))
        monkeypatch.setattr(feed.Feed, "chunks", stopping)

    def __call__(self, chunks):
        for item in chunks:
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGTERM)
            yield item


def check_resume(experiment, data, tmp_path, monkeypatch, dispatches):
    """A run that is stopped after some dispatches ends as one that is not."""
    whole = create_run(tmp_path / "whole", experiment, data)
    wanted = loop.fit(whole)
    broken = create_run(tmp_path / "broken", experiment, data)
    with monkeypatch.context() as patch:
        # Chunks are made in a thread, where no signal arrives: stop from the main one.
        patch.setattr(loop, "ahead", lambda items: items)
        StopAfter(patch, dispatches)
        with pytest.raises(loop.Stopped, match="SIGTERM"):
            loop.fit(broken)
    assert final_state(broken)[0].step > 0
    again = open_run(broken.directory)
    assert loop.fit(again, resume=True) == wanted
    assert_same(final_state(whole), final_state(again))
    assert records(whole) == records(again)


def call(*arguments):
    try:
        return cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        return stop.code
