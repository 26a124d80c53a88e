"""Text from data, made safe for a terminal."""

import re

# C0 but newline, DEL, C1; marks that turn the direction of text; separators of lines
# and paragraphs; half characters, which cannot be encoded.
UNPRINTABLE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""The text, with what a terminal would obey as `\xNN` or `\uNNNN`.

    A newline stays, since messages have several lines; `one_line` escapes it, too.

    Example:
        >>> print(printable("a\x1b[31mb\u202ec"))
        a\x1b[31mb\u202ec
    """
    return UNPRINTABLE.sub(lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def one_line(text: str) -> str:
    r"""A name in a table: printable, and its newlines as `\n`."""
    return printable(text).replace("\n", "\\n")


def json_printable(text: str) -> str:
    r"""The text of a JSON value, with the same characters in JSON's spelling, `\uNNNN`.

    They stand inside strings only, so the value is the same.
    """
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
