"""The machine that measures: its facts, and the memory this process has held."""

import pathlib
import resource
from typing import Any

import jax

from ple_jax.parallel.machine import cores, processor


def facts() -> dict[str, Any]:
    """Processor, cores, JAX's backend and version."""
    return {
        "processor": processor(),
        "cores": cores(),
        "backend": jax.default_backend(),
        "jax": jax.__version__,
    }


def peak_memory() -> int:
    """The most bytes that this process has held, mapped files included.

    Reads VmHWM, because `ru_maxrss` also counts the process that started this one.
    """
    held = of_status("VmHWM")
    return held or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def resident_memory() -> int:
    """The bytes that this process holds now; 0 where the system does not say."""
    return of_status("VmRSS")


def of_status(name: str) -> int:
    """Bytes of this process by a name of Linux; 0 where it is not there."""
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    found = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return 1024 * int(next(found, 0))
