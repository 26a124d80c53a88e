"""One data set per file, named by it."""

from functools import partial

from ple_jax import plugins

available = partial(plugins.available, __name__)
find = partial(plugins.find, __name__)
