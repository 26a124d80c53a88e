"""Questions that share one budget of time: each runs the cases that still fit."""

import gc
import time
import traceback
from collections.abc import Callable, Mapping
from typing import NamedTuple

from .report import Record


class Section(NamedTuple):
    """One question: its cases, and the notes drawn from their records."""

    title: str
    cases: Mapping[str, Callable[[], list[Record]]]
    conclude: Callable[[list[Record]], list[str]] = lambda records: []


def answer(section: Section, share: float, until: float, end: float) -> Record:
    """Run all cases that fit the time; name the ones that do not, and those that fail.

    Args:
        section: What is measured.
        share: The section's seconds; it starts if half of them are left.
        until: When it should end, by `time.monotonic`; later if earlier sections left
            time over.
        end: When all must end.
    """
    results: list[Record] = []
    notes: list[str] = []
    failed: list[str] = []
    until, longest = max(until, time.monotonic() + share / 2), 0.0
    for name, case in section.cases.items():
        start = time.monotonic()
        if until > end or until - start < longest:
            left = max(min(until, end) - start, 0)
            notes.append(f"{name}: skipped, {left:.0f} s were left.")
            continue
        try:
            results += case()
        except TimeoutError as error:
            notes.append(f"{name}: {error}")
        except Exception as error:  # the other figures are worth keeping
            traceback.print_exc()
            why = str(error).partition("\n")[0]
            failed.append(f"{name}: failed, {type(error).__name__}: {why}")
        gc.collect()  # frees what a failed case held on the device
        longest = max(longest, time.monotonic() - start)
    notes += section.conclude(results)
    return {"results": results, "notes": notes, "failed": failed}
