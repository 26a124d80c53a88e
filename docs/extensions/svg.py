"""The few shapes that the pictures are drawn with; readable on light and dark."""

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

# Of groups, in order; told apart by colour-blind eyes too, on white and on black.
COLOURS = ("#3b82f6", "#e8710a", "#0d9488", "#a855f7", "#d6336c", "#7a8f00")
SHARED = "#7b8494"
Point = tuple[float, float]

# For a picture that stands alone, outside a page that says what text looks like.
ALONE = """<style>svg{color:#1f2328}
@media(prefers-color-scheme:dark){svg{color:#e6edf3}}</style>"""


def picture(width: float, height: float, title: str, shapes: Iterable[str]) -> str:
    """An SVG that takes the colour and the width of the page it is in."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="drawn" role="img" '
            f'viewBox="0 0 {width:g} {height:g}" style="max-width:{width:g}px" '
            'font-family="system-ui, sans-serif" font-size="13" fill="currentColor">',
            f"<title>{escape(title)}</title>",
            *shapes,
            "</svg>",
            "",
        ]
    )


def alone(svg: str) -> str:
    """The picture as a file of its own, in the reader's light or dark."""
    return svg.replace("</title>", f"</title>\n{ALONE}", 1)


def text(at: Point, what: str, size: float = 13, anchor: str = "middle") -> str:
    """A line of text, centred on its point in height."""
    x, y = at
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" '
        f'dominant-baseline="central">{escape(what)}</text>'
    )


def box(at: Point, size: Point, what: str, colour: str, round: float = 6) -> str:
    """A box about its middle."""
    (x, y), (width, height) = at, size
    return (
        f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" '
        f'height="{height:g}" rx="{round:g}" fill="{colour}" fill-opacity="0.16" '
        f'stroke="{colour}" stroke-width="1.5"/>{text(at, what)}'
    )


def line(start: Point, end: Point, colour: str, dashed: bool = False) -> str:
    """A line that leaves and arrives upright."""
    (x1, y1), (x2, y2) = start, end
    middle = (y1 + y2) / 2
    dash = ' stroke-dasharray="3 4"' if dashed else ""
    return (
        f'<path d="M{x1:g} {y1:g}C{x1:g} {middle:g} {x2:g} {middle:g} {x2:g} {y2:g}" '
        f'fill="none" stroke="{colour}" stroke-width="1.5" stroke-opacity="0.75"'
        f"{dash}/>"
    )


def spread(count: int, width: float, step: float = 1e9) -> Sequence[float]:
    """Places of `count` things side by side, centred, at most `step` apart."""
    step = min(step, width / count)
    start = width / 2 - step * (count - 1) / 2
    return [start + step * i for i in range(count)]


def subscript(name: str, number: int) -> str:
    """`f` and 1 as f with a small 1."""
    digits = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
    return f"{name}{str(number).translate(digits)}"
