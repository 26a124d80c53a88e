"""`python -m ple_jax` is `ple-jax`."""

import sys

from ple_jax.cli.main import main

sys.exit(main())
