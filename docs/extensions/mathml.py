"""Renders equations as MathML when the site is built: no script, no network."""

import re

from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util.math import get_node_equation_number

ALIGNED = ("&", r"\\")


def markup(latex: str, display: str) -> str:
    """MathML of LaTeX; several lines, or an alignment, are a table."""
    aligned = display == "block" and any(sign in latex for sign in ALIGNED)
    if aligned and not latex.lstrip().startswith(r"\begin"):
        latex = rf"\begin{{align*}}{latex}\end{{align*}}"
    whole = convert(latex.strip(), display=display)
    # A function's name stands close to its bracket.
    return re.sub(
        r"<mo>([\w-]{2,})</mo>", r'<mo lspace="0.15em" rspace="0">\1</mo>', whole
    )


def visit_inline(self, node) -> None:
    """Writes an equation in a line of text."""
    self.body.append(markup(node.astext(), "inline"))
    _skip()


def visit_block(self, node) -> None:
    """Writes an equation on its own, with its number where it has one."""
    self.body.append(self.starttag(node, "div", CLASS="math-block"))
    self.body.append(markup(node.astext(), "block"))
    if node["number"]:
        number = get_node_equation_number(self, node)
        self.body.append(f'<span class="eqno">({number})</span>')
    self.body.append("</div>")
    _skip()


def _skip() -> None:
    from docutils import nodes

    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Makes this the renderer `mathml`."""
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(visit_inline, None),
        block_renderers=(visit_block, None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
