"""The page: whole by itself, read by all, and deaf to what names of data say."""

import builtins
import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ple_jax.report import figures
from ple_jax.report.gather import gather
from ple_jax.report.page import check_extra, page
from ple_jax.report.section import Section
from ple_jax.runs.directory import create_run
from ple_jax.show.grid import Grid

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
SCRIPT = '</script><script>alert("1")</script>'
EVIL = f"{SCRIPT}<img src=x onerror='alert(2)'> $x_1^{{$ \u202e"
BOLD = "<b>&amp;{{ 7 * 7 }}"


class Tags(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


def gain(verdict="ahead"):
    return {"mean": 0.01, "interval": [0.0, 0.02], "verdict": verdict}


def level():
    return {
        "level": EVIL,
        "gates": [EVIL, "b"],
        "experts": [EVIL, "e", "f"],
        "domains": [EVIL],
        "examples": np.array([3]),
        "mean": np.full((1, 2, 3), 1 / 3),
        "seen": np.ones((2, 3), bool),
    }


@pytest.fixture(scope="module")
def made():
    found = {"reference": EVIL, "split": "test"}
    bins = {k: np.array([0.1, 0.2]) for k in ("predicted", "actual", "standard_error")}
    drawn = [
        figures.gains(found, "", {EVIL: {EVIL: gain(), BOLD: gain("behind")}}),
        figures.gates(EVIL, [level()]),
        figures.reliability({EVIL: {EVIL: {"deciles": bins}}}, [EVIL], "test"),
    ]
    field = {"norms": np.array([[1, 2, 3.0]]), "least": np.ones(1), "most": np.ones(1)}
    plane = {"tasks": (EVIL, BOLD), "names": [EVIL, BOLD], "front": [True, False]}
    plane |= {"gains": np.zeros((2, 2)), "ends": np.zeros((2, 2, 2))}
    bar = figures.Bar(EVIL, 0.5, [0.4, 0.6])
    drawn += [
        figures.forest(EVIL, EVIL, [bar], 0, EVIL),
        figures.norms(EVIL, {EVIL: field}),
        figures.seesaw(found, plane),
    ]
    grid = Grid(EVIL, [EVIL, BOLD], [[EVIL, "1"], [BOLD, "0.5"]], EVIL)
    parts = [Section("Verdict", [EVIL, BOLD], drawn, [grid]), Section(f"By {EVIL}")]
    return page(EVIL, parts, [EVIL])


@pytest.mark.parametrize("most", [62, 64, 5003])
def test_counts_of_values_are_named_in_plain_numbers(most):
    counts = np.array([62, most])
    of = {"norms": np.ones((2, 3)), "least": counts, "most": counts}
    drawn = figures.norms("a", {"shop": of}).svg
    assert "mathdefault" not in drawn
    assert ">62<" in drawn
    assert f">{most:,}<" in drawn
    figures.norms("a", {"shop": {key: values[:0] for key, values in of.items()}})


def test_no_name_becomes_markup_or_script(made):
    page = Tags(made)
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not any(tag in ("img", "b", "iframe", "link") for tag, _ in page.tags)
    named = {name for _, attributes in page.tags for name in attributes}
    assert not {name for name in named if name.startswith("on")}
    text = "".join(page.text)
    assert 'alert("1")' in text
    assert "{{ 7 * 7 }}" in text
    assert "49" not in text.replace("0.49", "")
    assert "\u202e" not in made


def test_the_page_asks_for_nothing_from_outside(made):
    page = Tags(made)
    links = [a for _, at in page.tags for k, a in at.items() if k in ("src", "href")]
    links += [a for _, at in page.tags for k, a in at.items() if k == "xlink:href"]
    assert links
    assert all(link.startswith("#") for link in links)
    (policy,) = [a["content"] for t, a in page.tags if a.get("http-equiv")]
    assert policy.startswith("default-src 'none'")
    assert "script-src 'sha256-" in policy
    assert len(made.encode()) < 300_000


def test_the_page_can_be_read_without_eyes_or_mouse(made):
    page = Tags(made)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert dict(page.tags)["html"]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    pictures = [a for tag, a in page.tags if tag == "svg"]
    assert len(pictures) == 6
    assert all(a["role"] == "img" and a["aria-label"] for a in pictures)
    for name in ("aria-labelledby",):
        assert {a[name] for _, a in page.tags if name in a} <= set(ids)
    heads = [a for tag, a in page.tags if tag == "th"]
    assert all(a["scope"] in ("row", "col") for a in heads)
    assert "currentColor" in made
    assert "mathdefault" not in made
    assert figures.INK not in made
    for needed in ("prefers-color-scheme: dark", "@media print"):
        assert needed in made


def test_what_cannot_be_reported_is_named(tmp_path, data):
    from lib.training import tiny

    new = create_run(tmp_path / "new", tiny(), data)
    done = create_run(tmp_path / "done", tiny(), data)
    done.write_result({"validation": {}})
    lost = create_run(tmp_path / "lost", tiny(), data)
    lost.write_result({"diverged": 7})
    broken = create_run(tmp_path / "broken", tiny(), data)
    (broken.directory / "experiment.toml").write_text("[data]\n")
    each = [one.directory for one in (new, done, lost, broken)]
    sides, left_out = gather([*each, tmp_path / "nowhere"])
    assert [side.name for side in sides] == ["done"]
    said = "\n".join(left_out)
    for part in ("new is not finished", "lost diverged", "experiment.toml is not as"):
        assert part in said
    assert "nowhere is not a run directory" in said
    with pytest.raises(ValueError, match=r"nothing to report on.*new is not finished"):
        gather([new.directory])


def test_without_the_extra_a_sentence_says_so(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "jinja2":
            raise ModuleNotFoundError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"pip install 'ple-jax\[report\]'"):
        check_extra()
