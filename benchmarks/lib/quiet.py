"""How much of the machine other processes used while we measured.

PyTorch's threads spin while they wait, so another busy process slows them down by far
more than its share, and more than ours. Such a run compares nothing.
"""

import os
import pathlib
import resource
import time

ALLOWED = 0.05  # share of the cores' time


class Watch:
    """Watches from its creation on; children count as ours once they have ended."""

    def __init__(self):
        self.start = time.perf_counter(), busy(), used_by_us()

    def share_of_others(self) -> float | None:
        """Share of all cores' time since the start; None if unknown."""
        then, busy_then, ours_then = self.start
        if busy_then is None:
            return None
        others = (busy() - busy_then) - (used_by_us() - ours_then)
        share = others / (os.cpu_count() * (time.perf_counter() - then))
        return round(max(0.0, share), 3)


def busy() -> float | None:
    """Seconds that all cores have worked since boot; None if unknown."""
    stat = pathlib.Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _, _, *interrupts = map(int, stat.read_text().split()[1:8])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def used_by_us() -> float:
    """Seconds of processor time of this process and its ended children."""
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, who))
