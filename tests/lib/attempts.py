"""Commands in this process, and whether a fault was noticed or did no harm."""

import contextlib
import io
from typing import NamedTuple

from lib.training import call

OLDER, MISTAKE = 3, 2  # an older checkpoint was taken; one sentence says why not


class Attempt(NamedTuple):
    """What a command returned and printed."""

    status: int
    out: str
    said: str


def attempt(*arguments: object) -> Attempt:
    """Runs a command; an exception that it does not turn into a sentence escapes."""
    out, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        status = call(*arguments)
    return Attempt(status or 0, out.getvalue(), said.getvalue())


def is_refused(tried: Attempt) -> bool:
    """Whether it ended in status 2 and one sentence, or in one a damaged file."""
    said = tried.said.splitlines()
    errors = sum(line.startswith("error: ") for line in said)
    damaged = any(line.startswith("damaged: ") for line in said)
    is_said = errors == 1 or (damaged and not errors)
    return tried.status == MISTAKE and is_said and "Traceback" not in tried.said
