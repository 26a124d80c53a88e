"""Settings of the whole test session: 4 fake devices, strict ranks, fast compiles."""

import functools
import os
import pathlib
import tempfile

# Compiling is most of a test's time: share compiled programs between runs.
_cache = pathlib.Path(tempfile.gettempdir()) / "ple_jax_test_compile_cache"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_cache))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax  # noqa: E402
import pytest  # noqa: E402
from lib.tables import built, raw, source  # noqa: E402

from ple_jax import datasets  # noqa: E402
from ple_jax.data.prepare import prepare  # noqa: E402

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)


def pytest_addoption(parser):
    about = "how many times as many faults are tried as by default (tests/faults)"
    parser.addoption("--faults", type=int, default=1, metavar="N", help=about)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """(kind, options) -> the prepared data set, made once for all tests.

    If its files cannot be found, the test fails with the finder's own error; without a
    folder of raw files, it is skipped with that error.
    """

    @functools.cache
    def made(kind, **options):
        folder = tmp_path_factory.mktemp(kind) / "prepared"
        return prepare(built(datasets.find(kind), **options), folder)

    return made


@pytest.fixture(scope="session")
def data(prepared):
    """Two synthetic tasks; what most tests of the step and the loop train on."""
    return prepared("synthetic", examples=1500)


@pytest.fixture(scope="session")
def everything(tmp_path_factory):
    """A data set with every kind of field, domains, users and sample spaces."""
    return prepare(source(raw(997)), tmp_path_factory.mktemp("all") / "prepared")
