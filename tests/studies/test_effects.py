"""The effect of a part is the mean over all pairs that differ in it alone."""

import importlib.util
import pathlib
import re
import sys

import numpy as np
import pytest

from ple_jax.studies.findings import Row
from ple_jax.studies.results import as_csv

STUDIES = pathlib.Path(__file__).parents[2] / "experiments" / "studies"
STUDY = """
[study]
title = "Parts"
[base.data]
kind = "synthetic"
[axes.parts]
"none, shared".model.kind = "shared_bottom"
"none, star".model.kind = "mmoe"
"BN, shared".model.kind = "cgc"
"BN, star".model.kind = "ple"
"BN, star, extra".model.kind = "omoe"
"""
SCORES = {  # two seeds each
    "none, shared": (0.50, 0.52),
    "none, star": (0.53, 0.53),
    "BN, shared": (0.60, 0.61),
    "BN, star": (0.65, 0.68),
    "BN, star, extra": (0.64, 0.69),
}


@pytest.fixture
def effects(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDIES))
    spec = importlib.util.spec_from_file_location("effects", STUDIES / "effects.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("draw")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    rows = [
        Row((choice,), seed, "test", "", task, "auc_roc", score * sign)
        for choice, scores in SCORES.items()
        for seed, score in enumerate(scores)
        for task, sign in (("click", 1), ("like", 0.5))
    ]
    (tmp_path / "results.csv").write_text(as_csv(("parts",), rows))
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("shared:star", ((0.03 + 0.05) / 2, (0.01 + 0.07) / 2)),
        ("none:BN", ((0.10 + 0.12) / 2, (0.09 + 0.15) / 2)),
        ("+extra", (-0.01, 0.01)),
    ],
)
def test_an_effect_is_the_mean_over_its_pairs(effects, folder, asked, wanted):
    table, _ = effects.read_table(folder)
    for task, scale in (("click", 1), ("like", 0.5)):
        found = effects.effect(table, (), task, asked)
        np.testing.assert_allclose(found, scale * np.array(wanted), atol=1e-12)


def test_every_effect_is_drawn_and_printed(effects, folder, capsys):
    pytest.importorskip("matplotlib")
    svg = effects.effects(folder, ["shared:star", "+extra"])
    assert {"shared:star", "+extra"} <= set(re.findall(r">([^<>]+)</text>", svg))
    assert "| click | shared:star | +0.0400 |" in capsys.readouterr().out


def test_a_part_that_makes_no_pair_is_an_error(effects, folder):
    table, _ = effects.read_table(folder)
    with pytest.raises(ValueError, match="differ by 'none:LN' alone"):
        effects.effect(table, (), "click", "none:LN")
