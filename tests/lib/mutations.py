"""Random changes of files: of their bytes, and of the lines and values of TOML."""

import re
from collections.abc import Callable

import numpy as np

NASTY = (b'"', b"\x00", b"\r", b"\n", b"\n\n", b",", b"\xff", b"\xef\xbb\xbf", b"1e999")
NASTY += (b"nan", b"-1", b"' '", b"\x1b[31m", "\u2028".encode(), b'""', b"9" * 40)
VALUES = ("2_000_000_000", "-1", "0", "1e400", "nan", "inf", "true", '""', "[]", "{}")
VALUES += ('"../../x"', '"[/red]"', '"\\u0000"', "[[1]]", '["a", 1]', "9" * 30, "1e-30")
VALUES += ("1979-05-27", '{kind = "ple"}', "'" + "x" * 300 + "'", "0.5", "3")


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One to three changes of bytes."""
    for _ in range(rng.integers(1, 4)):
        content = pick(rng, BYTES)(bytearray(content), rng)
    return bytes(content)


def mutated_toml(text: str, rng: np.random.Generator) -> str:
    """One or two changes of lines, and now and then of a byte."""
    if rng.random() < 0.1:
        return mutated(text.encode(), rng).decode(errors="replace")
    lines = text.splitlines()
    for _ in range(rng.integers(1, 3)):
        pick(rng, LINES)(lines, rng)
    return "\n".join(lines)


def pick(rng: np.random.Generator, choices):
    return choices[rng.integers(len(choices))]


def span(content, rng) -> slice:
    """A short part of it."""
    first = int(rng.integers(len(content) + 1))
    return slice(first, first + int(rng.geometric(0.1)))


# Of bytes.


def flip(content, rng):
    if content:
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    return content


def remove(content, rng):
    del content[span(content, rng)]
    return content


def repeat(content, rng):
    part = span(content, rng)
    content[part.start : part.start] = content[part]
    return content


def move(content, rng):
    part = bytes(content[span(content, rng)])
    first = int(rng.integers(len(content) + 1))
    content[first:first] = part
    return content


def insert(content, rng):
    first = int(rng.integers(len(content) + 1))
    content[first:first] = pick(rng, NASTY)
    return content


def overwrite(content, rng):
    part = span(content, rng)
    content[part] = pick(rng, NASTY)
    return content


def cut(content, rng):
    return content[: rng.integers(len(content) + 1)]


def double(content, rng):
    return content + content


BYTES: tuple[Callable, ...] = (flip, flip, remove, repeat, move, insert, overwrite)
BYTES += (cut, double)

# Of lines.


def drop_line(lines, rng):
    if lines:
        del lines[rng.integers(len(lines))]


def repeat_line(lines, rng):
    if lines:
        lines.insert(int(rng.integers(len(lines))), pick(rng, lines))


def swap_lines(lines, rng):
    if lines:
        a, b = rng.integers(len(lines), size=2)
        lines[a], lines[b] = lines[b], lines[a]


def change_value(lines, rng):
    """Another value, or another item of a list."""
    at = [i for i, line in enumerate(lines) if "=" in line]
    if at:
        i = pick(rng, at)
        key, _, old = lines[i].partition("=")
        items = re.findall(r"\"[^\"]*\"|[\w.-]+", old)
        new = pick(rng, VALUES)
        if items and old.strip().startswith("[") and rng.random() < 0.5:
            new = old.replace(pick(rng, items), new, 1)
        lines[i] = f"{key}= {new}"


def change_key(lines, rng):
    at = [i for i, line in enumerate(lines) if line.strip()]
    if at:
        i = pick(rng, at)
        words = re.findall(r"\w+", lines[i])
        if words:
            every = re.findall(r"\w+", "\n".join(lines))
            lines[i] = lines[i].replace(pick(rng, words), pick(rng, every), 1)


LINES: tuple[Callable, ...] = (drop_line, repeat_line, swap_lines, change_key)
LINES += (change_value, change_value, change_value)
