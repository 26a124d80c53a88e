"""What a process is set up with."""

import subprocess
import sys

import pytest

from ple_jax.parallel import runtime

ALLOCATE = """
import resource
import threading
import numpy as np
from ple_jax.parallel import runtime

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def allocate():
    for _ in range(11):
        np.ones({numbers})

def in_a_thread():
    thread = threading.Thread(target=allocate)
    thread.start()
    thread.join()

assert {keep}
{where}()
before = faults()
{where}()
print(faults() - before)
"""


def faults(keep: str, **setting) -> int:
    """Page faults of the second round of allocations, after `assert keep`."""
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATE.format(keep=keep, **setting)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc only")
@pytest.mark.parametrize("where", ["allocate", "in_a_thread"])
@pytest.mark.parametrize("numbers", [2**22, 2**24], ids=["32 MB", "128 MB"])
def test_memory_that_is_freed_is_kept(where, numbers):
    if not runtime.keep_memory():
        pytest.skip("this C library keeps memory in its own way")
    setting = {"where": where, "numbers": numbers}
    assert faults("runtime.keep_memory()", **setting) < faults("True", **setting) / 20


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(runtime.sys, "platform", "darwin")
    assert runtime.keep_memory() is False


HUGE = """
import numpy as np
from ple_jax.parallel import runtime

array = np.ones(2**25, np.uint8)  # 32 MB
print(runtime.use_huge_pages(array.ctypes.data, array.nbytes))
inside, middle = False, array.ctypes.data + 2**24
for line in open("/proc/self/smaps"):
    first, *rest = line.split()
    if first == "AnonHugePages:" and inside:
        print(rest[0])
    if not first.endswith(":"):
        start, end = first.split("-")
        inside = int(start, 16) <= middle < int(end, 16)
print(array.sum())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's madvise only")
def test_memory_moves_to_huge_pages_and_stays_the_same():
    ran = subprocess.run(
        [sys.executable, "-c", HUGE], capture_output=True, text=True, check=True
    )
    moved, kilobytes, total = ran.stdout.split()
    assert int(total) == 2**25
    if moved == "False":
        pytest.skip("this system has no huge pages to give")
    assert int(kilobytes) >= 2**15 - 2 * 2**11  # but for the ends


def test_small_memory_and_other_systems_have_no_huge_pages(monkeypatch):
    assert runtime.use_huge_pages(2**30 + 1, 2**22 - 2) is False
    monkeypatch.setattr(runtime.sys, "platform", "darwin")
    assert runtime.use_huge_pages(2**30, 2**30) is False
