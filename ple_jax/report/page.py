"""The page: one HTML file that needs no other, whatever the data are called."""

import base64
import hashlib
import pathlib
from collections.abc import Iterable, Sequence

from ple_jax.report.section import Section
from ple_jax.show.escape import one_line

FOLDER = pathlib.Path(__file__).parent
MISSING = "A report needs matplotlib and jinja2: pip install 'ple-jax[report]'."


def check_extra() -> None:
    """Raises a ValueError if what draws and writes pages is not installed."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise ValueError(MISSING) from error


def page(title: str, sections: Iterable[Section], left_out: Sequence[str] = ()) -> str:
    """The page as HTML. No text of the data is taken for markup, nor could it run.

    All text is escaped, and the page's own policy allows the one script whose hash it
    names.

    Args:
        title: Its heading.
        sections: What stands in it.
        left_out: Sentences on runs that are not in it.
    """
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    rooms = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True
    )
    rooms.filters["line"] = one_line
    script = (FOLDER / "sort.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return rooms.get_template("page.html").render(
        title=title,
        sections=list(sections),
        left_out=left_out,
        script=Markup(script),
        style=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        digest=digest,
        drawn=Markup,  # figures escape their own text
    )
