"""Tables and bars in a notebook, as HTML."""

import html
import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from ple_jax.show.escape import one_line
from ple_jax.show.grid import Grid

TEXT_WIDTH = 160
REDRAW_SECONDS = 0.1


class Tables:
    """Some tables: text where text is shown, HTML where a notebook shows it."""

    def __init__(self, each: Sequence[Grid]):
        self.each = tuple(each)

    def __repr__(self) -> str:
        text = io.StringIO()
        console = Console(
            file=text, width=TEXT_WIDTH, highlight=False, force_jupyter=False
        )
        for grid in self.each:
            console.print(grid, "")
        return text.getvalue().rstrip("\n")

    def _repr_html_(self) -> str:
        return "\n".join(map(to_html, self.each))


def to_html(grid: Grid) -> str:
    """A table as HTML; no text of its cells is taken for markup."""
    head, title = _row("th", grid.columns), _escaped(grid.title)
    body = "".join(_row("td", row) for row in grid.rows)
    note = f'<td colspan="{len(grid.columns)}">{_escaped(grid.note)}</td>'
    foot = f"<tfoot><tr>{note}</tr></tfoot>" if grid.note else ""
    parts = f"<thead>{head}</thead><tbody>{body}</tbody>{foot}"
    return f"<table><caption>{title}</caption>{parts}</table>"


def _row(kind: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{kind}>{_escaped(c)}</{kind}>' for c in cells)}</tr>"


def _escaped(cell: str) -> str:
    return html.escape(one_line(cell))


def is_open() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


@contextmanager
def bar(title: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Yields `advance(n, text)`, which moves a bar; it leaves none behind."""
    from IPython.display import HTML, display

    place = display(HTML(_bar(title, 0, total)), display_id=True)
    done, drawn = 0, time.monotonic()

    def advance(count: int, text: str = "") -> None:
        nonlocal done, drawn
        done += count
        if time.monotonic() - drawn >= REDRAW_SECONDS:
            drawn = time.monotonic()
            place.update(HTML(_bar(title, done, total, text)))

    try:
        yield advance
    finally:
        place.update(HTML(""))


def _bar(title: str, done: int, total: int | None, text: str = "") -> str:
    whole = f'value="{done}" max="{total}"' if total else ""
    share = f"{done / total:.0%}" if total else f"{done:,}"
    bar = f"{html.escape(title)} <progress {whole}></progress> {share}"
    return f"{bar} {html.escape(text)}".rstrip()
