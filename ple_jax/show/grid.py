"""A table that fits where it is shown: a terminal, a page, or a file."""

import csv
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from rich import box
from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from ple_jax.show.escape import one_line

BETWEEN = 2  # blanks between columns
ROOM = 9  # a header no longer than this stays on one line
ENDS = re.compile(r"(?<=[_\s/,=-])")  # a name may go on below after these


def framed(title: str) -> Table:
    """An empty table, with a line below its headers and no other."""
    return Table(
        title=Text(title, "table.title") if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, BETWEEN - 1, 0, 0),
        show_edge=False,
    )


@dataclasses.dataclass(frozen=True)
class Grid:
    """Cells of text under headers; the first columns name the row.

    Where there is not enough room, headers take abbreviations and go on below at
    underscores and blanks, and then the last columns follow in blocks of their own.

    Attributes:
        title: What it shows.
        columns: Headers.
        rows: As many cells each.
        note: What its numbers mean; stands below.
        names: How many columns at the left name the row.
        short: Header -> its abbreviation.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    names: int = 1
    short: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """Blocks of columns, none wider than there is room, and the note."""
        width, note = options.max_width, self.note
        columns = self._columns()
        if tight := sum(map(_width, columns)) > width:
            columns = self._narrow_columns(width // (self.names + 2))
        for i, block in enumerate(self._blocks(columns, width)):
            if i:
                yield Text()
            yield self._table("" if i else one_line(self.title), block)
        if used := [
            k for k in dict.fromkeys(self.columns) if tight and k in self.short
        ]:
            note = f"{note} {', '.join(f'{self.short[k]}: {k}' for k in used)}.".strip()
        if note:
            yield Text(one_line(note), "dim")

    def _columns(self) -> list[list[str]]:
        """Header and cells of each column."""
        texts = [self.columns, *self.rows]
        return [[one_line(row[j]) for row in texts] for j in range(len(self.columns))]

    def _narrow_columns(self, room: int) -> list[list[str]]:
        """The same, with names and headers in lines; names have this much room."""
        columns = []
        for j, (header, *cells) in enumerate(self._columns()):
            header = self.short.get(header, header)
            if j < self.names:
                columns.append(
                    [_in_lines(text, room, cut=True) for text in [header, *cells]]
                )
            else:
                widest = max(map(cell_len, cells), default=0)
                columns.append([_in_lines(header, max(ROOM, widest)), *cells])
        return columns

    def _blocks(self, columns: list[list[str]], width: int) -> list[list[list[str]]]:
        """The columns that stand side by side; those of names are in all."""
        named = columns[: self.names]
        blocks = [[*named]]
        for column in columns[self.names :]:
            used = sum(map(_width, [*blocks[-1], column]))
            if used > width and len(blocks[-1]) > len(named):
                blocks.append([*named])
            blocks[-1].append(column)
        return blocks

    def _table(self, title: str, columns: list[list[str]]) -> Table:
        table = framed(title)
        for j, (header, *_) in enumerate(columns):
            side: Literal["left", "right"] = "left" if j < self.names else "right"
            table.add_column(Text(header), justify=side, overflow="fold")
        for row in zip(*(cells for _, *cells in columns), strict=True):
            table.add_row(*map(Text, row))
        return table

    def markdown(self) -> str:
        """The table in Markdown, its title above and its note below."""
        of = lambda cells: f"| {' | '.join(_escaped(cell) for cell in cells)} |"
        sides = ["---" if j < self.names else "---:" for j in range(len(self.columns))]
        lines = [of(self.columns), f"|{'|'.join(sides)}|", *map(of, self.rows)]
        parts = [_escaped(self.title), "\n".join(lines), _escaped(self.note)]
        return "\n\n".join(filter(None, parts)) + "\n"

    def csv(self) -> str:
        """The cells as comma-separated values, below their headers."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.rows])
        return text.getvalue()


def _in_lines(name: str, room: int, cut: bool = False) -> str:
    """A name in lines of so many characters, where its parts allow it, or are cut."""
    parts = ENDS.split(name)
    if cut:
        parts = [piece for part in parts for piece in chop_cells(part, room) or [""]]
    lines = [""]
    for part in parts:
        if lines[-1] and cell_len((lines[-1] + part).rstrip()) > room:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _width(column: list[str]) -> int:
    return BETWEEN + max(cell_len(line) for text in column for line in text.split("\n"))


def _escaped(text: str) -> str:
    """A text that Markdown takes for text, on one line."""
    return re.sub(r"([\\|`*_<\[\]])", r"\\\1", one_line(text))
