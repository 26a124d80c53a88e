"""What makes a process fast that trains or scores: called once, at its start."""

import ctypes
import sys

import jax

from ple_jax.disk import cache_dir

# Parameters of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def set_up() -> None:
    """Keeps compiled programs, and the memory that XLA gives back between steps."""
    keep_compiled()
    keep_memory()


def keep_compiled() -> None:
    """Keeps compiled programs in the user's cache, so that a second start is quick."""
    # Another jax may not be able to read them, so each version has its own.
    path = cache_dir() / "compiled" / f"jax-{jax.__version__}"
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def keep_memory() -> bool:
    """Tells glibc not to return freed memory to Linux; whether it listens.

    On CPU, XLA asks for a step's working memory at each call. Of many megabytes at once
    glibc makes a mapping of its own and removes it afterwards, so that the next call
    pays a page fault for every 4 KB: a fifth of a step's time, where it was measured.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
