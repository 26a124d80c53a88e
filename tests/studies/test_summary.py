"""What trials say together, from results that are written down here."""

from types import SimpleNamespace

import pytest

from ple_jax.metrics.over_domains import over_domains
from ple_jax.metrics.spread import spread
from ple_jax.studies.summary import summary

ASKED = SimpleNamespace(
    trials=[
        SimpleNamespace(name=f"{point}{seed}", point=point)
        for point in ("a", "b")
        for seed in (0, 1, 2)
    ]
)


def measured(auc, error=None):
    entry = {"standard_error": error, "interval": None}
    tasks = {"click": {"auc_roc": auc, "examples": 5}}
    domains = {"shop": tasks, "home": {"click": {"auc_roc": 1 - auc, "examples": 5}}}
    report = {"tasks": tasks, "domains": domains, **over_domains(domains)}
    facts = {"over": "users", "number": 31, "confidence": 0.95}
    ends = {**facts, "tasks": {"click": {"auc_roc": entry}}}
    return {"validation": report, "test": report} | (
        {"intervals": {"validation": ends, "test": ends}} if error else {}
    )


@pytest.fixture
def results():
    """Two points of three trials; one diverged, and those of b are old."""
    values = {"a0": (0.75, 0.03), "a1": (0.25, 0.04), "b0": (0.5,), "b1": (0.625,)}
    found = {name: measured(*of) for name, of in values.items()}
    return found | {"a2": {"diverged": 7, "epochs": 0}, "b2": measured(0.25)}


def test_domains_their_mean_and_their_worst_are_spread_over_seeds(results):
    of = summary(ASKED, results)["domains"]["a"]["test"]
    assert list(of["each"]) == ["shop", "home"]
    assert of["each"]["home"]["click"]["auc_roc"] == spread([0.25, 0.75])
    assert of["macro"]["click"]["auc_roc"] == spread([0.5, 0.5])
    assert of["worst"]["click"]["auc_roc"] == spread(
        [0.25, 0.25]
    )  # shop once, then home
    assert "examples" not in of["worst"]["click"]
    home = summary(ASKED, results)["domains"]["b"]["test"]["worst_domain"]
    assert home == {"click": {"auc_roc": "shop"}}


def test_the_interval_is_of_one_trial_around_the_mean(results):
    found = summary(ASKED, results)["intervals"]
    of = found["a"]["test"]
    assert (of["over"], of["number"]) == ("users", 31)
    entry = of["tasks"]["click"]["auc_roc"]
    assert entry["standard_error"] == pytest.approx(((0.03**2 + 0.04**2) / 2) ** 0.5)
    low, high = entry["interval"]
    assert low + high == pytest.approx(1)  # around 0.5
    assert found["b"]["test"] == {}  # without errors there is none


def test_one_domain_and_no_trial_have_no_domains(results):
    for result in results.values():
        for split in ("validation", "test"):
            result.get(split, {"domains": {"home": 0}})["domains"].pop("home", None)
    found = summary(ASKED, results)
    assert found["domains"]["a"]["test"] == {}
    assert found["points"]["a"]["test"]["click"]["auc_roc"] == spread([0.75, 0.25])
    nothing = summary(ASKED, {name: results["a2"] for name in results})
    assert nothing["points"]["a"] == {}


def test_old_trials_have_no_mean_over_domains(results):
    for result in results.values():
        for split in ("validation", "test"):
            result.get(split, {}).pop("macro", None)
    of = summary(ASKED, results)["domains"]["b"]["validation"]
    assert "macro" not in of
    assert of["worst"]["click"]["auc_roc"]["trials"] == 3
