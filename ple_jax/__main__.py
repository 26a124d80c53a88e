"""`python -m ple_jax` is `ple-jax`."""

import sys

if __name__ == "__main__":
    # Python puts the working directory first; what lies there would be imported, if it
    # has the name of a library.
    if not sys.flags.safe_path:
        del sys.path[0]

    from ple_jax.cli.main import main

    sys.exit(main())
