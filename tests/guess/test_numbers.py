"""Which loss a label of numbers is given, on drawn columns."""

import numpy as np
import pytest

from ple_jax.data.schema_file import read_schema
from ple_jax.guess import start as starting
from ple_jax.guess.numbers import of_number
from ple_jax.guess.roles import Asked
from ple_jax.tasks import Task

ROWS = 2003


def drawn(rng):
    """name -> (values, loss)."""
    normal, some = rng.normal(size=ROWS), rng.random(ROWS)
    return {
        "score": (normal, "squared"),
        "days_late": (100 + np.round(3 * normal), "squared"),  # whole, but never 0
        "replies": (rng.poisson(1.3, ROWS), "poisson"),
        "balance": (rng.poisson(1.3, ROWS) - 1, "squared"),  # below 0
        "units": (rng.poisson(1.3, ROWS) * 500, "squared"),  # not small
        "watch_time": (np.where(some < 0.9, 0, np.exp(normal)), "weighted_logistic"),
        "play_seconds": (np.where(some < 0.5, 0, np.exp(normal)), "poisson"),
        "stay": (np.exp(2 * normal), "quantile"),
        "distance": (np.exp(2 * normal), "huber"),
        "revenue": (np.exp(2 * normal), "squared"),
        "length": (np.where(some < 0.9, 0, np.exp(normal)), "squared"),
    }


def test_each_column_has_the_loss_that_its_values_and_its_name_ask_for(sampled, rng):
    columns = {name: values for name, (values, _) in drawn(rng).items()}
    columns["replies"] = [*columns["replies"][:-1], ""]  # a missing one does not count
    sample = sampled(**columns)
    found = {name: of_number(column)[0] for name, column in sample.columns.items()}
    wanted = {name: loss for name, (_, loss) in drawn(np.random.default_rng(0)).items()}
    assert {name: task.loss for name, task in found.items()} == wanted
    quartiles = np.quantile(columns["distance"], [0.25, 0.75])
    delta = found["distance"].delta
    assert delta == pytest.approx(np.diff(quartiles)[0], rel=0.05)
    assert found["stay"] == Task("stay", loss="quantile")


def test_the_file_says_why(sampled, rng, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values, _ = drawn(rng)["distance"]
    sampled(click=rng.integers(0, 2, ROWS), item=rng.integers(0, 9, ROWS), far=values)
    made = starting.start(["rows.csv"], Asked(("click", "far")))
    text = made.schema.read_text()
    assert "[[tasks]]  # as asked; a number with a long tail: a mean" in text
    assert [t.loss for t in read_schema(made.schema).tasks] == ["binary", "huber"]
