"""The machine that measures: its facts, and the memory this process has held."""

import os
import pathlib
import platform
import resource
from typing import Any

import jax


def facts() -> dict[str, Any]:
    """Processor, cores, JAX's backend and version."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "backend": jax.default_backend(),
        "jax": jax.__version__,
    }


def processor() -> str:
    """Its name, which Linux gives only in /proc/cpuinfo."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def peak_memory() -> int:
    """The most bytes that this process has held, mapped files included.

    Reads VmHWM, because `ru_maxrss` also counts the process that started this one.
    """
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
