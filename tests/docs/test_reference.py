"""The reference: which names are public, how equations and pictures are made."""

import re

import pytest
from lib.site import DOCS, load

from ple_jax.layers.experts import own_and_shared

names = load("extensions/names.py")
equations = load("extensions/equations.py")
pictures = load("extensions/pictures.py")

SOURCE = """
LIMIT = 3
_HIDDEN = 4
def made(): ...
def _helper(): ...
class Thing:
    def does(self): ...
    def _inside(self): ...
from os import path
"""


def test_public_names_are_those_without_an_underscore(tmp_path):
    package = tmp_path / "some"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "shown.py").write_text(SOURCE)
    (package / "_hidden.py").write_text(SOURCE)
    assert list(names.public(package)) == [
        "some",
        "some.shown",
        "some.shown.LIMIT",
        "some.shown.made",
        "some.shown.Thing",
        "some.shown.Thing.does",
    ]


def test_a_name_without_a_page_is_found():
    public = list(names.public())
    assert len(public) > 300
    assert "ple_jax.models.build" in public
    assert "ple_jax.layers.experts.Routing" in public
    page = set(public) - {"ple_jax.models.build"}
    assert names.missing(public, page) == ["ple_jax.models.build"]
    assert names.missing(public, public) == []


def test_equations_become_latex():
    rows = equations.latex("z_k = sum_e w_ke f_e(x'),   e in own(k) and shared")
    row = rows.splitlines()[1]
    assert re.sub(r"\s+", "", row) == (
        r"z_{k}&=\sum_{e}w_{ke}f_{e}(x'),\quade\in\operatorname{own}(k)"
        r"\;\text{and}\;\text{shared}"
    )
    assert equations.inline("(W * W_p)^T").replace(" ", "") == r"(W\odotW_{p})^{T}"
    assert r"\sqrt { n }" in equations.inline("t s / sqrt(n)")


@pytest.mark.parametrize("text", ['kind = "ple"', ">>> x = 3", "[split]\nby = 3"])
def test_examples_are_no_equations(text):
    assert not equations.is_equation(text)


def test_a_picture_has_a_line_for_each_pair_of_gate_and_expert():
    routing = own_and_shared([2, 1], 2, shared_gate=True)
    drawn = pictures.Drawn(towers=False)
    drawing = pictures.of_levels([routing], drawn)
    pairs, inputs = int(routing.mask.sum()), len(routing.owner)
    assert drawing.count("<path") == pairs + inputs
    assert drawing.count(">f") == len(routing.owner)
    assert drawing.count(">g") + drawing.count(">shared<") == len(routing.visible)


def test_ples_levels_are_those_of_the_paper():
    levels = pictures.levels_of("ple")
    assert levels == [
        own_and_shared([2, 2], 2, shared_gate=True),
        own_and_shared([2, 2], 2),
    ]


def test_the_readmes_picture_is_the_one_that_is_drawn():
    drawn = pictures.svg.alone(pictures.of_model("ple"))
    stored = (DOCS / "ple.svg").read_text(encoding="utf-8")
    assert stored == drawn, "run python docs/extensions/pictures.py"
