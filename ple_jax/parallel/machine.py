"""What machine this is, as a figure has to say."""

import os
import pathlib
import platform

import jax


def processor() -> str:
    """Its name, which Linux gives only in /proc/cpuinfo."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def sentence() -> str:
    """The machine and the versions that results depend on."""
    return (
        f"{cores()} cores of {processor()}, {jax.default_backend()}, Python "
        f"{platform.python_version()}, JAX {jax.__version__}"
    )
