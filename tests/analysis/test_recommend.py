"""Recommendations from scores that are made up, and the plan for a time."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from ple_jax.analysis.candidates import Compared, gains
from ple_jax.analysis.plan import Cost, plan
from ple_jax.analysis.recommend import recommend
from ple_jax.layout import IdColumn
from ple_jax.metrics.intervals import of_headline
from ple_jax.schema import Field, Task


def data_of(*tasks, rows=7, encodings=("id",)):
    layout = SimpleNamespace(tasks=tasks, ids=[IdColumn("item", "item", rows)])
    schema = SimpleNamespace(fields=[Field("item", encodings=encodings)])
    return SimpleNamespace(layout=layout, schema=schema)


def scored(kind, **tasks):
    return Compared(kind, tasks, (2,), (2,), 1.0, {})


CLICK, BUY, TIME = Task("click"), Task("buy"), Task("time", loss="squared")
PLE = scored("ple", click=[0.80, 0.81, 0.82], buy=[0.70, 0.70, 0.71])
ALONE = scored("single_task", click=[0.70, 0.71, 0.72], buy=[0.75, 0.75, 0.76])
MMOE = scored("mmoe", click=[0.79, 0.80, 0.83], buy=[0.70, 0.69, 0.71])
TREES = scored("trees", click=[0.78], buy=[0.90])


def test_the_best_mean_is_recommended_with_reasons():
    found = recommend((TREES, ALONE, PLE, MMOE), data_of(CLICK, BUY))
    said = "\n".join(found.reasons)
    assert found.kind == "ple"
    assert "0.7567; `mmoe` follows with 0.7533" in said
    assert "ahead of `mmoe` by more than chance: take either" in said
    assert "best model on 1 of 2 tasks; ahead of it: `single_task` on 'buy'" in said
    assert "Negative transfer: 'buy' is worse" in said
    assert "by 0.0500 +- 0.0000" in said
    assert "trees are ahead on 'buy' by 0.1967 +- 0.0143." in said
    assert "`ple` was best at its last epoch: train longer." in said
    assert "target_mean" not in said


def test_label_means_are_named_where_ids_are_many():
    said = recommend((TREES, PLE), data_of(CLICK, BUY, rows=500)).reasons
    assert any('try encodings = ["id", "target_mean"]' in reason for reason in said)
    means = data_of(CLICK, BUY, rows=500, encodings=("id", "target_mean"))
    assert not any("try encodings" in r for r in recommend((TREES, PLE), means).reasons)


def test_a_lower_error_is_better():
    good, bad = scored("ple", time=[1.0, 1.1]), scored("mmoe", time=[2.0, 2.2])
    assert recommend((bad, good), data_of(TIME)).kind == "ple"
    assert gains(good, bad, data_of(TIME))["time"]["mean"] == pytest.approx(1.05)


def test_one_seed_claims_nothing():
    pair = scored("ple", click=[0.8]), scored("mmoe", click=[0.7])
    said = " ".join(recommend(pair, data_of(CLICK)).reasons)
    assert "nobody knows what is chance" in said
    assert "take either" not in said


def test_models_on_the_same_rows_are_paired():
    rng = np.random.default_rng(0)
    y = np.float64(rng.random(499) < 0.3)
    z = y + rng.normal(size=499)
    pair = []
    for kind, noise in (("ple", 0.01), ("mmoe", 1.0)):
        moved = of_headline(CLICK, z + noise * rng.normal(size=499), y, np.ones(499))
        one = scored(kind, click=[moved.value])
        pair.append(dataclasses.replace(one, moved={"click": [moved]}))
    said = " ".join(recommend(pair, data_of(CLICK)).reasons)
    assert "It is ahead of `mmoe` by more than chance on 'click' by 0." in said
    assert "with one seed, nobody knows what seeds do" in said


def test_without_a_score_there_is_nothing_to_recommend():
    with pytest.raises(ValueError, match="Every model diverged"):
        recommend((TREES, scored("ple")), data_of(CLICK))


PLANS = {
    "enough": (300, Cost(5, 1), (3, None, 0)),
    "fewer epochs": (300, Cost(5, 5), (3, 8, 1)),
    "one seed": (300, Cost(5, 20), (1, 6, 2)),
    "too long": (300, Cost(5, 80), (1, 3, 3)),
    "no time": (1, Cost(5, 1), (1, 3, 3)),
}


@pytest.mark.parametrize("name", PLANS)
def test_what_fits_into_a_time(name):
    seconds, cost, expected = PLANS[name]
    made = plan(seconds, 5, cost, wanted=10)
    assert (made.seeds, made.epochs, len(made.cuts)) == expected
