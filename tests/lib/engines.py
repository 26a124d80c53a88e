"""Which engines are installed; and one of this process, which sends all by pickle."""

import functools
import importlib.util
import os
import pickle
import random
import shutil
from typing import NamedTuple

import pytest

NEEDS = {"spark": "pyspark", "ray": "ray", "dask": "distributed"}


def has_java():
    return bool(os.environ.get("JAVA_HOME") or shutil.which("java"))


def installed(kind):
    """Skips the test, with the reason, where the engine cannot run."""
    library = NEEDS.get(kind)
    if library and not importlib.util.find_spec(library):
        pytest.skip(f"{library} is not installed")
    if kind == "spark" and not has_java():
        pytest.skip("Spark needs a Java runtime, and there is no `java`")
    return kind


class Pickles(NamedTuple):
    """Calls functions here, in any order; what goes in and comes out is pickled."""

    workers: int = 2
    seed: int = 0

    def map(self, function, items):
        found = {i: sent(sent(function)(sent(items[i]))) for i in self.order(items)}
        return [found[i] for i in range(len(items))]

    def map_reduce(self, function, merge, items):
        found = self.map(function, items)
        return functools.reduce(merge, [found[i] for i in self.order(items)])

    def order(self, items):
        return random.Random(self.seed).sample(range(len(items)), len(items))


def sent(value):
    return pickle.loads(pickle.dumps(value))
