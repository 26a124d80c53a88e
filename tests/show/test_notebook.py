"""What a notebook shows: tables as HTML without markup of their cells, and bars."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from ple_jax.show import console, notebook
from ple_jax.show.measured import metric_table


def test_cells_are_text_not_markup():
    measured = {"<script>alert(1)</script>": {"auc_roc": 0.5}}
    shown = notebook.Tables([metric_table("a & b", measured)])
    page = shown._repr_html_()
    assert "<script>" not in page
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td><td>0.5000</td>" in page
    assert "<caption>a &amp; b</caption>" in page
    assert "<script>alert(1)</script>" in repr(shown)


@pytest.fixture
def kernel(monkeypatch):
    """A notebook's kernel; gives all that it has shown."""
    shown = []
    place = SimpleNamespace(update=shown.append)

    def display(page, display_id):
        shown.append(page)
        return place

    ipython, of_display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=None)
    of_display.HTML, of_display.display = str, display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", of_display)
    return shown


def test_a_notebook_has_bars(kernel, monkeypatch):
    monkeypatch.setattr(notebook, "REDRAW_SECONDS", 0)
    with console.bar("epoch <1>", 8) as advance:
        advance(2)
        advance(4)
    bars = ["", 'value="0" max="8"', 'value="2" max="8"', 'value="6" max="8"', ""]
    assert len(kernel) == 4
    for page, wanted in zip(kernel, bars[1:], strict=True):
        assert wanted in page
    assert kernel[1].startswith("epoch &lt;1&gt; <progress")
    assert kernel[1].endswith("25%")
    assert kernel[-1] == ""


def test_a_bar_that_knows_no_end_counts(kernel, monkeypatch):
    monkeypatch.setattr(notebook, "REDRAW_SECONDS", 0)
    with console.bar("preparing") as advance:
        advance(1234)
    assert kernel[1] == "preparing <progress ></progress> 1,234"


def test_bars_are_not_redrawn_for_every_step(kernel):
    with console.bar("epoch", 10**6) as advance:
        for _ in range(1000):
            advance(1)
    assert len(kernel) < 20


def test_a_terminal_is_no_notebook():
    assert not notebook.is_open()
