"""Figures of committed studies say what their results say."""

import importlib.util
import pathlib
import re
import xml.etree.ElementTree as ET

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ple_jax.studies.findings import Row
from ple_jax.studies.results import as_csv

STUDIES = pathlib.Path(__file__).parents[2] / "experiments" / "studies"
STUDY = """
[study]
title = "Which <one>?"
reference = "mixed"
[base.data]
kind = "synthetic"
domains = 2
[axes.share]
"100 %".data.last_domain_share = 1.0
"10 %".data.last_domain_share = 0.1
[axes.model]
mixed.model.kind = "shared_bottom"
star.model.kind = "star"
"""


@pytest.fixture(scope="module")
def draw():
    spec = importlib.util.spec_from_file_location("draw", STUDIES / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    rng = np.random.default_rng(0)
    rows = [
        Row((share, model), seed, split, domain, task, "auc_roc", rng.random())
        for share in ("100 %", "10 %")
        for model in ("mixed", "star")
        for seed in range(3)
        for split in ("validation", "test")
        for domain in ("", "d0", "d1")
        for task in ("click", "like")
    ]
    (tmp_path / "results.csv").write_text(as_csv(("share", "model"), rows))
    return tmp_path, rows


def test_gains_are_taken_seed_by_seed_of_the_asked_domain(draw, folder):
    place, rows = folder
    table, metric = draw.read_table(place, "d1")
    of = lambda model: [
        row.value
        for row in rows
        if row[0] == ("10 %", model) and row[2:5] == ("test", "d1", "like")
    ]
    wanted = np.subtract(of("star"), of("mixed"))
    np.testing.assert_allclose(table.gain(("10 %",), "star", "like"), wanted)
    assert (metric, table.choices, table.tasks) == (
        "auc_roc",
        ["mixed", "star"],
        ["click", "like"],
    )
    with pytest.raises(ValueError, match="no headline on test of domain 'd7'"):
        draw.read_table(place, "d7")


def test_figures_are_the_same_twice_and_name_what_they_show(draw, folder, monkeypatch):
    place, _ = folder
    cost = {"shared_bottom": 4.0, "star": 10.0}
    monkeypatch.setattr(draw, "operations", lambda asked: cost[asked.model.kind])
    for make, words in (
        (lambda: draw.cost(place), ["2.5", "star", "100 %", "products"]),
        (lambda: draw.lines(place, "share", "d1", True), ["star", "10 %", "click"]),
        (lambda: draw.plane(place), ["star", "100 %", "like"]),
    ):
        one, again = make(), make()
        assert re.sub(r"f\d+-", "", one) == re.sub(r"f\d+-", "", again)
        texts = [e.text for e in ET.fromstring(one).iter() if e.text]
        assert all(any(word in text for text in texts) for word in words)


def test_matrix_products_are_counted_as_often_as_loops_run(draw):
    def step(a, b):
        once = jax.jit(jnp.matmul)(a, b)  # (2, 3) x (3, 5)
        return once, jax.lax.map(lambda _: b @ b.T, jnp.arange(7))  # (3, 5) x (5, 3)

    program = jax.make_jaxpr(step)(jnp.ones((2, 3)), jnp.ones((3, 5)))
    assert draw._products(program.jaxpr) == 2 * 3 * 5 + 7 * 3 * 5 * 3
