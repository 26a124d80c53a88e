"""Runs compared: against what a sweep says itself, in words, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
from lib.training import call

from ple_jax.analysis.comparison import EVEN, compare, tables
from ple_jax.metrics.intervals import of_headline
from ple_jax.metrics.spread import spread
from ple_jax.runs.directory import create_run
from ple_jax.schema import Task
from ple_jax.show import compared
from ple_jax.studies.sides import check_same_data, sides_of

CLICK, TIME = Task("click"), Task("time", loss="squared")
KINDS = ["ple", "shared_bottom"]


@pytest.fixture(scope="module")
def found(sides):
    return compare(sides)


def test_a_sweep_says_the_same_of_its_points(folder, found):
    result = json.loads((folder / "kinds/result.json").read_text())
    own = result["differences"]
    assert (found["split"], found["over"]) == (own["split"], own["over"])
    names = [f"kinds kind={kind}" for kind in KINDS]
    assert list(found["sides"]) == names
    second_is_best = own["best"] == f"kind={KINDS[1]}"
    for task, points in own["tasks"].items():
        (gain,) = points.values()
        ours = found["gains"][task][names[1]]
        sign = 1 if second_is_best else -1
        assert ours["mean"] == pytest.approx(sign * gain["mean"])
        assert ours["p_value"] == pytest.approx(gain["p_value"])
        trials = result["points"][f"kind={KINDS[1]}"]["test"][task]["auc_roc"]
        ours = found["scores"][task][names[1]]
        assert ours["mean"] == pytest.approx(trials["mean"])
        assert ours["standard_deviation"] == pytest.approx(trials["standard_deviation"])


def test_two_equal_models_have_a_winner_in_at_most_1_of_20_draws():
    """Three seeds each, of scores that are as good; other users at every draw."""
    rng, winners = np.random.default_rng(0), 0
    for _ in range(400):
        y = np.float64(rng.random(180) < 0.4)
        base, weights = y + rng.normal(size=180), np.ones(180)
        seeds = lambda base=base: [base + rng.normal(size=180) for _ in range(3)]
        of = lambda zs, y=y, w=weights: [of_headline(CLICK, z, y, w) for z in zs]
        moved = {name: {"click": of(seeds())} for name in ("a", "b")}
        (found,) = tables([moved], (CLICK,))
        winners += found["gains"]["click"]["b"]["verdict"] != EVEN
    assert 0 < winners <= 20


def test_what_differs_is_said_knob_by_knob(found):
    knobs = found["knobs"]
    assert list(knobs["model.kind"].values()) == KINDS
    assert "train.seed" not in knobs
    assert "train.epochs" not in knobs
    sides = found["sides"].values()
    assert [side["seeds"] for side in sides] == [[0, 1]] * 2
    assert len({side["parameters"] for side in sides}) == 2
    json.dumps(found, allow_nan=False)


def test_the_command_prints_words_and_tables(folder, capsys):
    assert not call("compare", folder / "kinds", "--split", "validation")
    shown = capsys.readouterr()
    assert "validation: ahead of kinds kind=ple" in shown.out
    assert "model.kind" in shown.out
    assert "- On validation, against kinds kind=ple: kinds kind=sh" in shown.err
    assert "by Holm among the 2 of this table" in " ".join(shown.out.split())


def test_other_data_is_refused_by_name(folder, capsys):
    assert call("compare", folder / "kinds", folder / "other") == 2
    said = capsys.readouterr().err
    assert "Only runs on the same rows can be compared" in said
    assert f"but {folder / 'other'} has another" in said


def test_what_cannot_be_compared_is_refused(folder, tmp_path):
    lone = sides_of([folder / "other"])
    with pytest.raises(ValueError, match="other is one run: name another"):
        compare(lone)
    with pytest.raises(ValueError, match="is named 2 times"):
        sides_of([folder / "other", folder / "kinds/../other"])
    new = create_run(tmp_path / "new", lone[0].runs[0].experiment, lone[0].data)
    with pytest.raises(ValueError, match="new is not finished"):
        sides_of([new.directory])
    check_same_data([lone[0], lone[0]])


# Made-up scores: verdicts are by what all tests of a table allow.


def influences(seeds=3, shift=0.0, rows=307, seed=0):
    """Of runs whose scores are alike, and better by a shift."""
    rng = np.random.default_rng(seed)
    y = np.float64(rng.random(rows) < 0.4)
    common = y + rng.normal(size=rows)
    noise = lambda: rng.normal(size=rows) / 9
    scores = [common + shift * y + noise() for _ in range(seeds)]
    of = lambda task, z: of_headline(task, z, y, np.ones(rows))
    return {
        "click": [of(CLICK, z) for z in scores],
        "time": [of(TIME, z) for z in scores],
    }


def test_verdicts():
    moved = {
        "base": influences(),
        "better": influences(shift=1.0),
        "same": influences(),
    }
    (found,) = tables([moved], [CLICK, TIME])
    gains = found["gains"]["click"]
    assert gains["better"]["verdict"] == "ahead"
    assert gains["same"]["verdict"] == "not apart"
    (turned,) = tables([dict(reversed(moved.items()))], [CLICK, TIME])
    assert turned["gains"]["click"]["base"]["mean"] == 0
    assert list(found["gains"]) == ["click", "time"]
    assert found["scores"]["click"]["base"] == spread(
        [one.value for one in moved["base"]["click"]]
    )
    one = moved | {"better": {"click": [None], "time": [None]}}
    (undefined,) = tables([one], [CLICK, TIME])
    assert undefined["gains"]["click"]["better"]["verdict"] == "undefined"
    assert compared.sentence(
        {
            **undefined,
            "split": "test",
            "reference": "base",
            "domains": {},
            "metrics": {},
        },
        "better",
    ) == ("On test, against base: better has no number on click and time.")


def test_more_tests_ask_for_more():
    """What is sure alone is not among twenty that find nothing."""
    moved = {"base": influences(), "better": influences(shift=0.05, seed=1)}
    (alone,) = tables([moved], [CLICK])
    p = alone["gains"]["click"]["better"]["p_value"]
    nothing = {"base": influences(), "better": influences(shift=0.0)}
    among = tables([moved] + [nothing] * 4, [CLICK])
    gain = among[0]["gains"]["click"]["better"]
    assert gain["p_value"] == p
    assert gain["p_adjusted"] == pytest.approx(min(1, 5 * p))


SIDES = {
    "single_task": {"model": "single_task", "seeds": [0, 1, 2], "left_out": []},
    "ple": {"model": "ple", "seeds": [4], "left_out": ["seed=5"]},
}
NUMBERS = {"parameters": 1234, "numbers_in_tables": 0}


def gain_of(mean, half, p, verdict):
    ends = [mean - half, mean + half]
    parts = {"interval": ends, "over_rows": ends, "over_seeds": None}
    return {"mean": mean, **parts, "p_value": p, "p_adjusted": p, "verdict": verdict}


def made_up(domains=()):
    """A comparison that gains on one task and is not apart on the other."""
    gains = {
        "click": {"ple": gain_of(0.0021, 0.0004, 1e-9, "ahead")},
        "buy": {"ple": gain_of(-0.0001, 0.0005, 0.7, "not apart")},
    }
    scores = {t: {s: spread([0.7, 0.8]) for s in SIDES} for t in gains}
    each = {"scores": scores, "gains": gains}
    return {
        "split": "test",
        "over": "users",
        "number": 1234,
        "reference": "single_task",
        "sides": {name: side | NUMBERS for name, side in SIDES.items()},
        "metrics": {"click": "auc_roc", "buy": "auc_roc"},
        **each,
        "domains": {name: each for name in domains},
        "knobs": {"model.kind": {"single_task": "single_task", "ple": "ple"}},
    }


def test_the_verdict_in_words():
    first, last = compared.sentences(made_up())
    assert first == (
        "On test, against single_task: ple gains 0.0021 ± 0.0004 AUC on click and "
        "differs by no more than chance on buy (-0.0001 ± 0.0005)."
    )
    assert last.startswith("ple has one seed: this is how these trainings differ")
    said = compared.sentences(made_up(["shop", "home"]))[0]
    assert "Of 4 pairs of task and domain it gains 2 and loses 0 by more" in said


def test_tables_of_many_domains_show_the_surest():
    few, many = (made_up([f"d{i}" for i in range(n)]) for n in (3, 31))
    sides, gains, domains, knobs = compared.grids(few)
    assert len(domains.rows) == 6
    assert sides.rows[1][:4] == ["ple", "ple", "4", "1,234"]
    assert "Left out of ple, as diverged: seed=5." in sides.note
    assert gains.rows[0][2:6] == ["+0.0021", "+0.0017 to +0.0025", "< 0.0001", "ahead"]
    assert knobs.rows == [["model.kind", "single_task", "ple"]]
    shown = compared.grids(many)[2]
    assert {row[-1] for row in shown.rows} == {"ahead"}
    assert "16 of 62, the surest; --by-domain shows all." in shown.note
    assert len(compared.grids(many, by_domain=True)[2].rows) == 62
    alike = dataclasses.replace(compared.knobs_grid(made_up() | {"knobs": {}}))
    assert alike.note == "Nothing but seeds differs."
