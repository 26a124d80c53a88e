"""Tables in the room there is: no line too long, no cell cut, no name in pieces."""

import csv
import io
import re

import pytest
from rich.console import Console

from ple_jax.show.grid import Grid

NAMES = ["click", "conversion_after_click", "watch_time_above_median_share", "like"]
SHORT = {"watch_time_above_median_share": "WT"}


def grid(columns=7, rows=3, **options):
    headers = ["domain", *(NAMES[j % 4] for j in range(columns))]
    cells = [
        [f"shop {i}", *(f"0.{i}{j}34" for j in range(columns))] for i in range(rows)
    ]
    return Grid("test by domain", headers, cells, **options)


def shown(table, width):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120, 400])
@pytest.mark.parametrize("columns", [1, 2, 7, 30])
def test_every_cell_is_whole_and_no_line_too_long(width, columns):
    text = shown(grid(columns), width)
    assert max(map(len, text.splitlines())) <= width
    words = text.split()
    for j in range(columns):
        for i in range(3):
            assert words.count(f"0.{i}{j}34") == 1
    assert text.count("test by domain") == 1


def test_names_go_on_below_only_where_their_parts_end():
    pieces = {piece for name in NAMES for piece in re.findall(r"[a-z]+_?", name)}
    for width in range(30, 130, 7):
        lines = shown(grid(), width).splitlines()
        head = [line for line in lines if "shop" not in line and "─" not in line]
        for word in " ".join(head).split():
            parts = re.findall(r"[a-z]+_?", word)
            assert set(parts) <= pieces | {"domain", "test", "by"}, word


def test_a_short_name_stands_for_a_long_one_only_where_it_must():
    assert "WT" not in shown(grid(4, short=SHORT), 120)
    tight = shown(grid(short=SHORT), 60)
    assert "WT: watch_time_above_median_share." in tight.replace("\n", " ")


def test_with_room_there_is_one_block_and_with_less_the_names_are_in_each():
    assert shown(grid(2), 80).count("shop 0") == 1
    narrow = shown(grid(30), 80)
    ruled = [line for line in narrow.splitlines() if "─" in line]
    assert narrow.count("shop 0") == len(ruled) > 1


def test_an_endless_name_is_folded():
    table = Grid("", ["trial", "n"], [["x" * 500, "0.1234"]])
    text = shown(table, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "0.1234" in text
    assert text.count("x") == 500


def test_wide_letters_have_their_room():
    text = shown(Grid("", ["店", "点击"], [["用户" * 9, "0.5"]] * 2), 50)
    assert "用户" * 9 in text


def test_the_note_stands_below():
    assert shown(grid(note="A note."), 80).rstrip().endswith("A note.")


def test_csv_has_the_cells_as_they_are():
    odd = Grid("t", ["task", "a,b"], [['"x"', "0.5 ± 0.1"], ["line\nbreak", ""]])
    assert [*csv.reader(io.StringIO(odd.csv()))] == [odd.columns, *odd.rows]


def test_markdown_has_the_cells_as_text():
    text = Grid("t", ["task", "n"], [["a|b*_`<", "1"]], note="Of [x].").markdown()
    assert text.splitlines() == [
        "t",
        "",
        "| task | n |",
        "|---|---:|",
        r"| a\|b\*\_\`\< | 1 |",
        "",
        r"Of \[x\].",
    ]
