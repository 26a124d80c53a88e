"""Names that a terminal or rich's markup would obey, on their way to a person."""

import io
import json
import re

import pytest
from rich.console import Console

from ple_jax.show import console, escape, grid, tables
from ple_jax.show.escape import printable
from ple_jax.show.measured import metric_table
from ple_jax.show.results import point_tables, trial_table

ODD = {
    "[/red]": "[/red]",
    "[red]x": "[red]x",
    ":smile:": ":smile:",
    "\x1b[31mx": r"\x1b[31mx",
    "\x1b]0;owned\x07": r"\x1b]0;owned\x07",
    "\x9b31mx": r"\x9b31mx",
    "a\u202egnp.exe": r"a\u202egnp.exe",
    "a\u2028b": r"a\u2028b",
    "a\rb\x7f": r"a\x0db\x7f",
    "\udc80": r"\udc80",
}
OBEYED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
names = pytest.mark.parametrize(("name", "shown"), ODD.items(), ids=ascii)


@pytest.fixture
def said(monkeypatch):
    """What a colour terminal gets on stderr."""
    file = io.StringIO()
    terminal = Console(file=file, force_terminal=True, width=200, highlight=False)
    monkeypatch.setattr(console, "stderr", terminal)
    return file


@names
def test_what_a_terminal_obeys_is_spelled(name, shown):
    assert printable(name) == shown


@pytest.mark.parametrize("text", ["", "a\nb", "naïve", "用户", "👩‍👧", "a b", "\\x1b"])
def test_other_text_stays_as_it_is(text):
    assert printable(text) == text


def shown_tables(name):
    """Every table that shows names, with this name in all places that take one."""
    measured = {name: {"auc_roc": 0.5, "rmse": 1.0, "n": 3}}
    spread = {"trials": 1, "mean": 0.5, "standard_deviation": None, "interval": None}
    both = {"validation": {"tasks": measured}, "test": {"tasks": measured}}
    trial = {"epochs": 1, "step": 3, **both}
    facts = {"rows": 3, "tasks": {name: 0.5}, "domains": {name: 3}}
    yield metric_table(f"test, domain {name}", measured)
    yield trial_table({name: trial})
    yield from point_tables("test", {name: {name: {"auc_roc": spread}}})
    yield tables.model_table({name: {"summary": name, "options": [name]}})
    about = {"source": name, "terms": name, "summary": name}
    yield from tables.dataset_tables({name: {**facts, **about}})


@names
def test_tables_show_names_as_they_are_written(name, shown, capsys):
    for table in shown_tables(name):
        console.show(table)
        out = capsys.readouterr().out
        assert shown in out
        assert not OBEYED.search(out)


def test_a_name_of_two_lines_takes_one_line_of_a_table(capsys):
    console.show(metric_table("test", {"a\nb": {"n": 3}}))
    assert r"a\nb" in capsys.readouterr().out


@names
def test_lines_show_names_as_they_are_written(name, shown, said):
    console.say(f"task {name}")
    assert said.getvalue() == f"task {shown}\n"


@names
def test_bars_show_names_as_they_are_written(name, shown, said):
    with console.bar(f"preparing {name}", 3) as advance:
        advance(1)
    assert f"preparing {shown}" in said.getvalue()


def test_without_the_escape_these_tests_fail_control(monkeypatch, capsys):
    monkeypatch.setattr(grid, "one_line", lambda text: text)
    console.show(metric_table("test", {"\x9b31mx": {"n": 3}}))
    assert OBEYED.search(capsys.readouterr().out)


def test_json_spells_names_and_keeps_them(capsys):
    console.show_json(dict.fromkeys(ODD, 1))
    out = capsys.readouterr().out
    assert not OBEYED.search(out)
    assert json.loads(out) == dict.fromkeys(ODD, 1)


def test_json_has_null_for_what_is_not_finite(capsys):
    console.show_json({"a": [float("nan"), 0.5], "b": {"c": float("-inf")}})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 0.5], "b": {"c": None}}


def test_every_control_of_the_terminal_is_escaped():
    controls = [*map(chr, range(32)), *map(chr, range(127, 160))]
    for character in set(controls) - {"\n"}:
        assert escape.UNPRINTABLE.fullmatch(character), ascii(character)
