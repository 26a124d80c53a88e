"""Training in memory is that of a run: the same bits, without its files."""

import numpy as np
import pytest
from lib.training import assert_same, new_run, tiny

from ple_jax.layout import IdColumn, Layout
from ple_jax.serve.files import load_scorer
from ple_jax.train import in_memory, loop

# Seed and tail are such that the best epoch is neither the first nor the last.
TRAIN = {"epochs": 7, "patience": 2, "learning_rate": 0.05}


@pytest.fixture(scope="module")
def fitted(data):
    experiment = tiny(train=TRAIN)
    splits = map(data.split, ("train", "validation"))
    return experiment, in_memory.fit(experiment, data.layout, *splits)


def test_it_keeps_what_a_run_keeps_to_the_bit(data, fitted, tmp_path):
    experiment, mine = fitted
    run = new_run(data, tmp_path / "run", train=TRAIN)
    result = loop.fit(run)
    scorer, variables = load_scorer(run)
    assert_same(mine.variables, variables)
    assert mine.epochs == result["epochs"] < TRAIN["epochs"]
    steps = len(data.split("train")) // experiment.train.batch_size
    assert mine.best_epoch * steps == result["step"]
    logits = in_memory.logits_of(
        experiment, data.layout, mine.variables, data.split("test")
    )
    np.testing.assert_array_equal(logits, scorer.of_split(variables, "test"))


def test_without_validation_the_last_epoch_stays(data):
    train = data.split("train")
    whole = in_memory.fit(tiny(train={"epochs": 3}), data.layout, train)
    assert (whole.epochs, whole.best_epoch) == (3, 3)
    patient = in_memory.fit(
        tiny(train={"epochs": 3, "patience": 1}), data.layout, train
    )
    assert_same(whole.variables, patient.variables)


def test_fits_share_their_programs(data, fitted):
    experiment, mine = fitted
    splits = [data.split(name) for name in ("train", "validation")]
    with pytest.MonkeyPatch.context() as patch:
        traced = []
        patch.setattr(in_memory, "step_of", lambda *a: traced.append(a))
        other = in_memory.fit(tiny(train=TRAIN | {"seed": 5}), data.layout, *splits)
        again = in_memory.fit(experiment, data.layout, *splits)
    assert not traced
    assert_same(again.variables, mine.variables)
    with pytest.raises(AssertionError):
        assert_same(other.variables, mine.variables)


@pytest.mark.parametrize(
    ("rows", "roomy"), [(1, 16), (16, 16), (17, 32), (258, 320), (10**6, 2**20)]
)
def test_tables_have_round_sizes(rows, roomy):
    layout = Layout((IdColumn("a", "a", rows),), (), (), (), ("all",))
    assert in_memory.with_spare_rows(layout).ids[0].rows == roomy


@pytest.mark.parametrize(
    "sections",
    [
        {"train": {"schedule": "cosine"}},
        {"weighting": {"kind": "schedule", "ratios": [0.5, 0.7]}},
    ],
)
def test_clocks_are_those_of_a_run(data, sections, tmp_path):
    train = {"epochs": 2, **sections.get("train", {})}
    other = {k: v for k, v in sections.items() if k != "train"}
    splits = map(data.split, ("train", "validation"))
    experiment = tiny(train=train, **other)
    mine = in_memory.fit(experiment, data.layout, *splits)
    loop.fit(run := new_run(data, tmp_path / "run", train=train, **other))
    assert_same(mine.variables, load_scorer(run)[1])
