"""The synthetic tasks follow their recipe."""

import numpy as np
import pytest

from ple_jax.data.prepare import prepare
from ple_jax.datasets import synthetic
from ple_jax.splits import SPLITS


def test_synthetic_data_are_a_function_of_the_seed(tmp_path):
    one, same = (
        prepare(synthetic.build(examples=500), tmp_path / str(i)) for i in (1, 2)
    )
    other = prepare(synthetic.build(examples=500, seed=1), tmp_path / "3")
    assert one.fingerprint == same.fingerprint != other.fingerprint
    many = prepare(synthetic.build(examples=900, domains=3), tmp_path / "4")
    assert len(many.layout.domains) == 3
    with pytest.raises(ValueError, match="correlation must be in"):
        synthetic.build(correlation=2.0)


@pytest.mark.parametrize("correlation", [-0.3, 0.0, 0.8, 1.0])
def test_synthetic_scores_follow_the_papers_recipe(correlation):
    options = {"categorical": 0, "numeric": 11, "waves": 0, "scale": 2.0}
    source = synthetic.build(
        examples=3000, correlation=correlation, labels="real", **options
    )
    assert [task.loss for task in source.schema.tasks] == ["squared", "squared"]
    (chunk,) = source.chunks()
    rows = chunk.table
    x = np.stack([rows[f"number_{i}"].to_numpy() for i in range(11)], axis=1)
    y = np.stack([rows[name].to_numpy() for name in synthetic.TASKS], axis=1)
    w, *_ = np.linalg.lstsq(x, y, rcond=None)
    np.testing.assert_allclose(np.linalg.norm(w, axis=0), 2.0, atol=0.02)
    np.testing.assert_allclose(w[:, 0] @ w[:, 1] / 4, correlation, atol=0.01)
    np.testing.assert_allclose((y - x @ w).std(axis=0), synthetic.NOISE, rtol=0.05)


def test_synthetic_waves_are_sines_along_the_direction():
    options = {"categorical": 0, "numeric": 5, "labels": "real", "correlation": 1.0}
    (few,) = synthetic.build(examples=2000, waves=0, **options).chunks()
    (many,) = synthetic.build(examples=2000, waves=3, **options).chunks()
    bent = [c.table["click"].to_numpy() for c in (few, many)]
    assert np.abs(bent[1] - bent[0]).max() < 3 + 8 * synthetic.NOISE


def test_synthetic_last_domain_shrinks_in_train_alone(tmp_path):
    sizes, rows = {}, {}
    for share in (1.0, 0.5, 0.1):
        source = synthetic.build(examples=3000, domains=2, last_domain_share=share)
        data = prepare(source, tmp_path / str(share))
        sizes[share] = {
            split: data.facts["splits"][split]["domains"] for split in SPLITS
        }
        if share < 1:
            (chunk,) = source.chunks()
            rows[share] = set(chunk.table["number_0"].to_pylist())
    whole = sizes[1.0]
    for share in (0.5, 0.1):
        assert sizes[share]["test"] == whole["test"]
        assert sizes[share]["validation"] == whole["validation"]
        assert sizes[share]["train"]["d0"] == whole["train"]["d0"]
        kept = sizes[share]["train"]["d1"] / whole["train"]["d1"]
        assert abs(kept - share) < 0.06
    assert rows[0.1] < rows[0.5]


def test_synthetic_share_of_a_lone_domain_is_that_of_all():
    (whole,), (part,) = (
        synthetic.build(examples=3000, last_domain_share=share).chunks()
        for share in (1.0, 0.25)
    )
    held = [split for split in part.table["split"].to_pylist() if split != "train"]
    assert abs(len(held) / 3000 - 0.2) < 0.03
    kept = (len(part.table) - len(held)) / (3000 - len(held))
    assert abs(kept - 0.25) < 0.04
    rows = [set(chunk.table["number_0"].to_pylist()) for chunk in (whole, part)]
    assert rows[1] < rows[0]


def test_synthetic_share_of_the_last_domain_is_checked():
    with pytest.raises(ValueError, match="last_domain_share"):
        synthetic.build(domains=2, last_domain_share=0.0)
