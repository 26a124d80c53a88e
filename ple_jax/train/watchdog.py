"""Ends a process whose steps end no more, and says where all its threads are.

A collective that waits for a device or a process that is gone may wait for ever, and a
person sees a bar that stands still.
"""

import faulthandler
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

from ple_jax.parallel import bounds, processes, told

SECONDS = "PLE_JAX_STEP_SECONDS"
SEVERAL = 900.0  # by default, with several processes; alone a process is not watched
LATER = 10.0  # seconds until C ends a process that runs no Python any more
STDERR = 2  # whatever Python's is by now
T = TypeVar("T")


def bound() -> float:
    """Seconds that a dispatch of steps may take; 0 if it may take any time.

    Raises:
        ValueError: The environment says something else.
    """
    default = SEVERAL if processes.several() else 0.0
    what = "seconds that a dispatch of steps may take, such as 300, or 0 for any time"
    return bounds.seconds(SECONDS, default, 0, what)


def watched(items: Iterable[T]) -> Iterator[T]:
    """The same items; ends the process if one, and its use, takes longer than `bound`.

    The first is not watched: it may compile.
    """
    seconds = bound()
    ended, done = threading.Event(), threading.Event()
    guard = threading.Thread(target=_guard, args=(seconds, ended, done), daemon=True)
    try:
        for item in items:
            yield item
            ended.set()
            if seconds and guard.ident is None:
                guard.start()
    finally:
        done.set()
        ended.set()
        if guard.ident is not None:
            guard.join()


def _guard(seconds: float, ended: threading.Event, done: threading.Event) -> None:
    """Waits for each item to end, until all is done; C waits a little longer."""
    try:
        while ended.wait(seconds):
            ended.clear()
            if done.is_set():
                return
            faulthandler.dump_traceback_later(seconds + LATER, exit=True, file=STDERR)
        end(seconds)
    finally:
        faulthandler.cancel_dump_traceback_later()


def end(seconds: float) -> None:
    """Prints the stacks of all threads, one sentence, and the line that resumes."""
    faulthandler.dump_traceback(file=STDERR)
    number, of = processes.part()
    which = f"process {number} of {of}" if of > 1 else "the process"
    lines = [
        f"error: {which} ends: no step has ended for {seconds:g} s ({SECONDS}); above "
        "is where each of its threads was."
    ]
    if (again := told.again_told()) and not told.is_launched():  # the launcher says it
        lines.append(f"continue with: {again}")
    print("\n".join(lines), file=sys.stderr, flush=True)
    os._exit(processes.STUCK)
