"""How much of the machine others used while we measured.

PyTorch's threads wait spinning, so that another busy process slows them down by far
more than its share, and more than ours. Such a run compares nothing.
"""

import os
import pathlib
import resource
import time

ALLOWED = 0.05  # of the cores' time


class Watch:
    """Starts now; children count as ours once they have ended."""

    def __init__(self):
        self.start = time.perf_counter(), busy(), used_by_us()

    def share_of_others(self) -> float | None:
        """Of the time of all cores since the start; None where the system won't say."""
        then, busy_then, ours_then = self.start
        if busy_then is None:
            return None
        others = (busy() - busy_then) - (used_by_us() - ours_then)
        share = others / (os.cpu_count() * (time.perf_counter() - then))
        return round(max(0.0, share), 3)


def busy() -> float | None:
    """Seconds that all cores have worked since they started."""
    stat = pathlib.Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _, _, *interrupts = map(int, stat.read_text().split()[1:8])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def used_by_us() -> float:
    """Seconds of this process and of its children that have ended."""
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, who))
