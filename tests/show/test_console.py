"""Progress: a bar for a person who watches, and few lines for a file."""

import io

import pytest
from rich.console import Console

from ple_jax.show import console


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only as the test says."""
    seconds = [0.0]
    monkeypatch.setattr(console.time, "perf_counter", lambda: seconds[0])
    return seconds


@pytest.fixture
def said(monkeypatch):
    """What a pipe gets on stderr."""
    file = io.StringIO()
    monkeypatch.setattr(console, "stderr", Console(file=file, width=80))
    return file


def test_a_pipe_gets_a_line_a_minute(clock, said):
    with console.bar("epoch 3", 1000) as advance:
        for clock[0] in range(1, 151):
            advance(2, "loss 0.3123")
    assert said.getvalue().splitlines() == [
        "epoch 3  12%  loss 0.3123  7 min left",
        "epoch 3  24%  loss 0.3123  6 min left",
    ]


def test_what_is_short_says_nothing(clock, said):
    with console.bar("epoch 3", 10) as advance:
        for clock[0] in range(10):
            advance(1)
    assert said.getvalue() == ""


def test_where_no_end_is_known_a_line_counts(clock, said):
    with console.bar("preparing clicks") as advance:
        clock[0] = 61.0
        advance(1_234_567)
    assert said.getvalue() == "preparing clicks  1,234,567\n"


def test_hours_are_hours(clock, said):
    with console.bar("epoch 1", 1000) as advance:
        clock[0] = 100.0
        advance(10)
    assert said.getvalue() == "epoch 1  1%  2 h 45 min left\n"


def test_a_terminal_has_a_bar_with_the_text_beside_it(monkeypatch):
    file = io.StringIO()
    terminal = Console(file=file, force_terminal=True, width=120)
    monkeypatch.setattr(console, "stderr", terminal)
    with console.bar("epoch 3", 10) as advance:
        advance(4, "loss 0.3123  9,876 examples/s [x]")
    assert "loss 0.3123  9,876 examples/s [x]" in file.getvalue()
    assert "40 %" in file.getvalue()
