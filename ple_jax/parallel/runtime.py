"""Sets up a process that trains or scores to run fast; called once, at its start."""

import ctypes
import sys

import jax

from ple_jax.disk import cache_dir

# Parameters of mallopt, from glibc's malloc.h; of madvise, from Linux's mman.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
MADV_COLLAPSE = 25  # since Linux 6.1
HUGE_PAGE = 2**21  # bytes, on x86-64 and most of ARM


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
    4 KB: a fifth of a step's time, as measured. Threads share the one heap that grows:
    one of their own holds 64 MB at most, and what is larger would be mmapped again.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    wanted = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_ARENA_MAX: 1}
    return all([mallopt(name, value) for name, value in wanted.items()])


def use_huge_pages(address: int, size: int) -> bool:
    """Moves memory of this process to pages of 2 MB; returns whether Linux did.

    What it holds stays the same. A batch reads random rows of its tables: where these
    are large, most reads also miss the processor's cache of small pages.
    """
    first = -(-address // HUGE_PAGE) * HUGE_PAGE
    whole = (address + size) // HUGE_PAGE * HUGE_PAGE - first
    if sys.platform != "linux" or whole <= 0:
        return False
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return madvise(first, whole, MADV_COLLAPSE) == 0
