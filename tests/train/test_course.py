"""What the journal of a training says of its epochs."""

import pytest

from ple_jax.train.course import LONGER, course


def record(epoch, score, loss, **tasks):
    return {
        "epoch": epoch,
        "score": score,
        "loss": loss,
        "validation": {"tasks": tasks},
    }


def epochs(scores, losses):
    """Records in which one task's AUC is the score."""
    pairs = enumerate(zip(scores, losses, strict=True))
    return [record(i, s, x, click={"auc_roc": s}) for i, (s, x) in pairs]


@pytest.mark.parametrize(
    ("scores", "losses", "most", "notes"),
    [
        ([0.5, 0.6, 0.7], [3, 2, 1], 3, [LONGER]),
        ([0.5, 0.6, 0.7], [3, 2, 1], 5, []),  # stopped from outside
        ([0.5, 0.7, 0.6, 0.6], [3, 2, 1, 0.5], 4, ["overfits from epoch 3"]),
        ([0.7, 0.6, 0.6], [3, 2, 1], 9, ["overfits from epoch 2"]),
        ([0.7, 0.6, 0.6], [3, 4, 5], 9, []),  # training got worse too
        ([0.7], [3], 1, []),
    ],
)
def test_notes_tell_what_to_change(scores, losses, most, notes):
    assert course(epochs(scores, losses), most)["notes"] == notes


def test_each_task_has_a_best_epoch_of_its_own():
    click, time = {"auc_roc": 0.7}, {"rmse": 3.0, "mse": 9.0}
    found = course(
        [
            record(0, 0.5, 3, click={"auc_roc": 0.5}, time=time, buy={"auc_roc": None}),
            {"step": 7, "fallback": {}},
            record(1, 0.7, 2, click=click, time=time, buy={"auc_roc": None}),
            record(2, 0.6, 1, click=click, time={"rmse": 2.0}, buy={"auc_roc": None}),
        ],
        9,
    )
    assert found["best_epoch"] == 2
    assert found["best_epoch_by_task"] == {"click": 2, "time": 3, "buy": None}


def test_no_epoch_has_nothing_to_say():
    found = course([{"step": 7, "fallback": {}}], 3)
    assert found == {"best_epoch": None, "best_epoch_by_task": {}, "notes": []}
