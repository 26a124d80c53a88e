"""Ali-CCP, on the samples of its published tables."""

import numpy as np
from lib.prepared import domain_sizes, over_all, sizes
from lib.tables import built

from ple_jax.data.prepare import prepare
from ple_jax.datasets import ali_ccp

SAMPLES = {
    "train": "fixtures/ali_ccp_train_sample.csv",
    "validation": "fixtures/ali_ccp_val_sample.csv",
    "test": "fixtures/ali_ccp_test_sample.csv",
}


def test_ali_ccp_reads_the_samples(tmp_path):
    source = built(ali_ccp, **SAMPLES, min_count=1)
    data = prepare(source, tmp_path / "prepared")
    assert sizes(data) == [100, 50, 50]
    assert domain_sizes(data) == {"1": 146, "2": 32, "3": 22}
    train, labels = data.split("train"), over_all(data, "labels")
    assert train.labels.sum(axis=0).tolist() == [7, 1]
    assert labels.sum(axis=0).tolist() == [16, 3]
    np.testing.assert_array_equal(over_all(data, "observed")[:, 1], labels[:, 0] == 1)
    assert len(source.schema.fields) == 23 + 8
