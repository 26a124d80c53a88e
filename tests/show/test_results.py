"""What the tables of a result show: of runs, studies, many domains, and old files."""

import pytest

from ple_jax.show.measured import View, of_split
from ple_jax.show.results import of_result

TASKS = ("click", "buy")


def measured(domains=1, auc=0.75):
    tasks = {t: {"auc_roc": auc, "log_loss": 0.5, "examples": 40} for t in TASKS}
    each = {
        f"shop {n}": {
            t: {"auc_roc": auc + n / 1000, "log_loss": None, "examples": 9 * n}
            for t in TASKS
        }
        for n in range(domains)
    }
    worst = {t: {"auc_roc": "shop 0", "log_loss": None} for t in TASKS}
    means = {"macro": tasks, "worst": tasks, "worst_domain": worst}
    return {"tasks": tasks, "domains": each, **(means if domains > 1 else {})}


def intervals():
    entry = {"standard_error": 0.01, "interval": [0.73, 0.77]}
    tasks = {t: {"auc_roc": entry, "log_loss": entry} for t in TASKS}
    return {"over": "users", "number": 4132, "confidence": 0.95, "tasks": tasks}


def run(domains=1, auc=0.75):
    splits = {split: measured(domains, auc) for split in ("validation", "test")}
    ends = {split: intervals() for split in splits}
    return {"step": 9, "epochs": 1, **splits, "intervals": ends}


def spread(mean, deviation=0.01):
    ends = None if deviation is None else [mean - 0.02, mean + 0.02]
    return {
        "trials": 1 if deviation is None else 3,
        "mean": mean,
        "standard_deviation": deviation,
        "interval": ends,
    }


def study(points=("",), domains=3, deviation=0.01):
    of = lambda mean: {t: {"auc_roc": spread(mean, deviation)} for t in TASKS}
    each = {f"shop {n}": of(0.7 + n / 1000) for n in range(domains)}
    worst = {t: {"auc_roc": "shop 0"} for t in TASKS}
    means = {"macro": of(0.71), "worst": of(0.6), "worst_domain": worst, "each": each}
    both = lambda value: {split: value for split in ("validation", "test")}
    trials = {f"{point},seed=0": run(domains) for point in points}
    trials["late"] = {"epochs": 2, "step": 7, "diverged": 1234, **run(domains)}
    return {
        "trials": trials | {"early": {"epochs": 0, "step": None, "diverged": 18}},
        "points": {point: both(of(0.75)) for point in points},
        "domains": {point: both(means) for point in points},
        "intervals": {point: both(intervals()) for point in points},
    }


def titles(result, *view):
    return [grid.title for grid in of_result(result, View(*view))]


def test_a_run_shows_validation_in_front_and_test_whole():
    validation, test = of_result(run())
    assert validation.columns == ["task", "auc_roc", "95 % over users"]
    assert validation.rows[0] == ["click", "0.7500", "0.7300–0.7700"]  # noqa: RUF001
    assert test.columns == [*validation.columns, "log_loss", "examples"]
    assert test.note == "95 % over users: on another draw of the 4,132 users of test."
    assert "seeds" not in validation.note + test.note


def test_an_old_run_shows_what_it_has():
    old = run(3)
    for split in ("validation", "test"):
        for name in ("macro", "worst", "worst_domain"):
            del old[split][name]
    del old["intervals"]
    validation, test, domains = of_result(old)
    assert validation.columns == ["task", "auc_roc"]
    assert test.note == validation.note == domains.note == ""
    assert [row[0] for row in domains.rows] == ["shop 0", "shop 1", "shop 2", "all"]


def test_an_old_study_shows_what_it_has():
    old = {k: v for k, v in study().items() if k in ("trials", "points")}
    assert [grid.title for grid in of_result(old)][-1] == "test"


def test_domains_are_rows_and_tasks_are_columns():
    *_, domains = of_result(run(3))
    assert domains.title == "test auc_roc by domain"
    assert domains.columns == ["domain", "examples", "click", "buy"]
    assert domains.rows[2] == ["shop 2", "18", "0.7520", "0.7520"]
    last = ["all", "macro mean", "worst"]
    assert [row[0] for row in domains.rows[3:]] == last


def test_of_very_many_domains_the_largest_and_the_worst_are_shown():
    *_, domains = of_result(run(300))
    names = [row[0] for row in domains.rows]
    assert names[:9] == [*(f"shop {n}" for n in range(299, 291, -1)), "shop 0"]
    assert "9 of 300 domains" in domains.note
    *_, every = of_result(run(300), View(by_domain=True))
    assert len(every.rows) == 303
    assert every.note == ""


def test_another_metric_goes_in_front_and_what_is_undefined_says_so():
    *_, test, domains = of_result(run(2), View("log_loss"))
    assert test.columns[:3] == ["task", "log_loss", "95 % over users"]
    assert domains.rows[0][2] == "undefined"
    with pytest.raises(
        ValueError, match=r"'log_los' is not a known metric.*'log_loss'"
    ):
        of_result(run(2), View("log_los"))
    with pytest.raises(ValueError, match="'examples' is not a known metric"):
        of_result(run(2), View("examples"))


def test_tasks_without_a_metric_are_left_out_of_domains():
    mixed = measured(2)
    for tasks in (mixed["tasks"], *mixed["domains"].values(), mixed["macro"]):
        tasks["buy"] = {"rmse": 2.0, "examples": 3}
    mixed["worst_domain"]["buy"] = {"rmse": "shop 1"}
    both, domains = of_split("test", mixed)
    assert both.columns[:3] == ["task", "auc_roc", "rmse"]
    assert domains.columns[2:] == ["click auc_roc", "buy rmse"]
    _, domains = of_split("test", mixed, View("auc_roc"))
    assert domains.columns[2:] == ["click"]


def test_a_study_says_which_interval_is_which():
    trials, validation, test, *_ = of_result(study())
    assert [row[0] for row in trials.rows] == [",seed=0", "late", "early"]
    assert [row[3] for row in trials.rows] == [
        "",
        "before step 1,234",
        "before step 18",
    ]
    wanted = ["task", "n", "auc_roc", "95 % over seeds", "95 % over users"]
    assert validation.columns == test.columns == wanted
    assert test.rows[0][2:4] == ["0.7500 ± 0.0100", "0.7300–0.7700"]  # noqa: RUF001
    assert "of their mean, by Student's t" in test.note
    assert "of one trial, on another draw of the 4,132 users of test" in test.note


def test_of_one_seed_a_study_has_no_deviation():
    result = study(deviation=None)
    shown = of_result(result)[2]
    assert shown.columns == ["task", "n", "auc_roc", "95 % over users"]
    assert shown.rows[0][2] == "0.7500"
    assert "±" not in shown.note


def test_points_stand_side_by_side_and_have_means_over_domains():
    names = ("rate=1", "rate=2")
    *_, test, domains = of_result(study(names))
    assert [row[:2] for row in test.rows] == [[t, p] for t in TASKS for p in names]
    assert [row[:2] for row in domains.rows[:2]] == [
        ["rate=1", "macro"],
        ["rate=1", "worst"],
    ]
    every = titles(study(names), None, True)
    assert every[-2:] == [f"test auc_roc by domain, {name}" for name in names]


def test_a_study_of_seeds_has_its_domains_with_their_deviation():
    *_, domains = of_result(study(domains=30))
    assert domains.rows[0][2] == "0.7290 ± 0.0100"
    assert [row[0] for row in domains.rows[-4:]] == [
        "shop 0",
        "all",
        "macro mean",
        "worst",
    ]


def test_a_point_without_a_finished_trial_is_left_to_the_trials():
    result = study(("rate=1", "rate=2"))
    for table in ("points", "domains", "intervals"):
        result[table]["rate=2"] = {"validation": {}, "test": {}}
    grids = of_result(result)
    assert len(grids[2].rows) == len(TASKS)


def test_a_trial_that_diverged_at_once_has_a_table():
    (grid,) = of_result({"epochs": 0, "step": None, "diverged": 18})
    assert grid.rows == [["run", "0", "none", "before step 18"]]


def test_the_best_point_is_shown_against_the_others():
    gain = {"mean": 0.01, "over_rows": [0.001, 0.019], "over_seeds": None}
    chance = {**gain, "mean": -0.002, "interval": [-0.01, 0.006]}
    of_click = {"b": {**gain, "interval": [0.001, 0.019]}, "c": chance}
    found = {
        "best": "a",
        "split": "test",
        "over": "users",
        "tasks": {"click": of_click},
    }
    result = study(points=("a", "b", "c")) | {"differences": found}
    (grid,) = [g for g in of_result(result) if "against" in g.title]
    assert [row[:4] for row in grid.rows] == [
        ["click", "b", "+0.0100", "yes"],
        ["click", "c", "-0.0020", "no"],
    ]
    assert "a is the best point on validation" in grid.note
    of_metric = of_result(result, View("auc_roc"))
    assert not any("against" in g.title for g in of_metric)
