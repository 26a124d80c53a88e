"""How much memory this process may use."""

import os
import pathlib

SHARE = 1 / 2  # of the host's memory that a split may take
LIMIT = pathlib.Path("/sys/fs/cgroup/memory.max")  # of a container, in version 2


def fits_host(size: int) -> bool:
    """Whether so many bytes leave the host enough memory for the training."""
    return size <= SHARE * of_host()


def of_host() -> int:
    """Bytes of the machine's memory, or of the container's if that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = LIMIT.read_text().strip() if LIMIT.exists() else ""
    return min(machine, int(limit)) if limit.isdecimal() else machine
