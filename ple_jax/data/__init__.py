"""One data set per file; the file name is the data set's name."""

from functools import partial

from ple_jax import registry

available = partial(registry.available, __name__)
find = partial(registry.find, __name__)
