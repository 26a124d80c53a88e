"""Options of losses: each where it belongs, in its range, or an error that says so."""

import re

import pytest

from ple_jax.data.schema_file import schema_from_dict, schema_from_tree, schema_to_dict
from ple_jax.schema import Field, Schema, Task
from ple_jax.tasks import DEFAULTS, HEADLINES, LOSSES, OPTIONS, chain_of

GOOD = [
    {"loss": "focal", "gamma": 0.0, "smoothing": 0.5},
    {"loss": "huber", "delta": 30},
    {"loss": "quantile", "quantile": 0.9},
    {"loss": "ordinal", "levels": [1, 2, 5]},
    {"positive_weight": 20, "smoothing": 0.05},
    {"given": "click", "entire_space": True},
    {"loss": "weighted_logistic"},
]
BAD = {
    "'huber'": {"loss": "squared", "delta": 1.0},
    "its own loss, 'binary': smoothing, positive_weight": {"gamma": 2.0},
    "'binary' and 'focal'": {"loss": "poisson", "positive_weight": 2.0},
    "needs `delta`: the error": {"loss": "huber"},
    "needs `levels`: all values": {"loss": "ordinal"},
    "delta of task 't' must be in (0, inf), got 0.0": {"loss": "huber", "delta": 0.0},
    "must be in (0, 1), got 1.0": {"loss": "quantile", "quantile": 1.0},
    "must be in [0, 10], got -1.0": {"loss": "focal", "gamma": -1.0},
    "must be in [0, 1), got nan": {"smoothing": float("nan")},
    "ascending, got [1.0, 3.0, 2.0]": {"loss": "ordinal", "levels": [1, 3, 2]},
    "from 2 to 1,000 numbers": {"loss": "ordinal", "levels": [1]},
    "its sample space is all examples already": {"entire_space": True},
    "expected no `smoothing`": {
        "given": "click",
        "entire_space": True,
        "smoothing": 0.1,
    },
    "expected no `positive`": {"loss": "poisson", "positive": ">= 3"},
    "Did you mean 'quantile'?": {"loss": "quantil"},
    "Did you mean 'delta'?": {"loss": "huber", "dleta": 3.0},
}


def read(task):
    tree = {"categorical": ["shop"]}
    return schema_from_tree(
        tree | {"tasks": [{"name": "click"}, {"name": "t", **task}]}
    )


@pytest.mark.parametrize("task", GOOD, ids=str)
def test_options_of_a_loss_are_read_and_kept(task):
    schema = read(task)
    assert schema_from_dict(schema_to_dict(schema)) == schema
    kept = schema_to_dict(schema)["tasks"][1]
    assert set(kept) - {"name", "column", "positive", "given", "loss"} == {
        name for name in task if name in OPTIONS
    }


@pytest.mark.parametrize("wanted", BAD)
def test_errors_say_what_was_expected(wanted):
    with pytest.raises(ValueError, match=re.escape(wanted)):
        read(BAD[wanted])


def test_a_task_of_before_is_written_as_before():
    schema = Schema((Field("shop"),), (Task("click"), Task("time", loss="squared")))
    keys = ["name", "column", "positive", "given", "loss"]
    assert [list(task) for task in schema_to_dict(schema)["tasks"]] == [keys, keys]


def test_every_option_belongs_to_a_loss_and_every_headline_is_shown():
    assert {*DEFAULTS, "delta", "levels", "entire_space"} == set(OPTIONS)
    assert {loss.metrics[0] for loss in LOSSES.values()} == set(HEADLINES)


def test_a_chain_goes_up_to_the_first_task():
    tasks = (Task("a"), Task("b", given="a"), Task("c", given="b"), Task("d"))
    assert [t.name for t in chain_of(tasks[2], tasks)] == ["c", "b", "a"]
