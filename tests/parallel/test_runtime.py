"""What a process is set up with."""

import subprocess
import sys

import pytest

from ple_jax.parallel import runtime

ALLOCATE = """
import resource
import numpy as np
from ple_jax.parallel import runtime

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def allocate():
    for _ in range(11):
        np.ones(2**23)  # 64 MB

assert {keep}
allocate()
before = faults()
allocate()
print(faults() - before)
"""


def faults(keep: str) -> int:
    """Page faults of the second round of allocations, after `assert keep`."""
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATE.format(keep=keep)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc only")
def test_memory_that_is_freed_is_kept():
    if not runtime.keep_memory():
        pytest.skip("this C library keeps memory in its own way")
    assert faults("runtime.keep_memory()") < faults("True") / 20


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(runtime.sys, "platform", "darwin")
    assert runtime.keep_memory() is False
