"""The modules of the documentation, which are no package."""

import importlib.util
import pathlib
import sys

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def load(path):
    """A module below docs; those beside it can be imported by it."""
    file = DOCS / path
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
