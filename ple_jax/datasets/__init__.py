"""One data set per file; the file name is the data set's name."""

from functools import partial

from ple_jax import plugins

available = partial(plugins.available, __name__)
find = partial(plugins.find, __name__)
