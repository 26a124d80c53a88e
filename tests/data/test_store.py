"""A prepared data set on disk: copies, and damage."""

import numpy as np
import pytest
from lib.prepared import arrays_of

from ple_jax.data.store import Prepared


def test_prepared_data_is_copied_and_damage_is_seen(data, tmp_path):
    copy = data.copy_to(tmp_path / "copy")
    copy.verify()
    for key, array in arrays_of(copy).items():
        np.testing.assert_array_equal(array, arrays_of(data)[key])
    path = tmp_path / "copy" / "train" / "labels.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged: its fingerprint"):
        Prepared.open(tmp_path / "copy").verify()
    path.unlink()
    with pytest.raises(ValueError, match=r"labels.npy is missing"):
        Prepared.open(tmp_path / "copy").split("train")
