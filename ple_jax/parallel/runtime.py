"""Sets up a process that trains or scores to run fast; called once, at its start."""

import ctypes
import sys

import jax

from ple_jax.disk import cache_dir

# Parameters of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def set_up() -> None:
    """Caches compiled programs, and keeps the memory that XLA frees between steps."""
    keep_compiled()
    keep_memory()


def keep_compiled() -> None:
    """Caches compiled programs on disk, so that the next start is quick."""
    # A program may not load in another version of jax, so each has its own folder.
    path = cache_dir() / "compiled" / f"jax-{jax.__version__}"
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def keep_memory() -> bool:
    """Tells glibc not to return freed memory to Linux; returns whether it agreed.

    On CPU, XLA allocates a step's working memory at each call. glibc mmaps such large
    allocations and unmaps them on free, so the next call pays a page fault for every
    4 KB: a fifth of a step's time, as measured.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
