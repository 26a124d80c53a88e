"""Prepared data sets with many small blocks."""

import pytest

from ple_jax.data import blocks
from ple_jax.data.prepare import prepare

ROWS = 16  # of a block


def in_blocks(source, folder, rows=ROWS):
    """A prepared data set whose blocks have so many rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "rows_of_block", lambda row_bytes: rows)
        return prepare(source, folder)
