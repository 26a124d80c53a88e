"""The small data set that the tests of this room share."""

import pytest
from lib.tables import source

from ple_jax.data.prepare import prepare


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Every kind of field, three domains, users and sample spaces: `lib.tables.raw`."""
    return prepare(source(), tmp_path_factory.mktemp("data") / "prepared")
