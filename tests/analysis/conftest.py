"""A sweep of two models with two seeds each, that all tests of analyses read."""

import pytest
from lib.training import TINY, call

from ple_jax import config
from ple_jax.runs.directory import create_run
from ple_jax.studies.sides import sides_of

KINDS = ["ple", "shared_bottom"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory, prepared):
    """The sweep in `kinds`, and a run of other data in `other`."""
    folder = tmp_path_factory.mktemp("analysed")
    sections = dict(TINY)
    sections["data"] = {"kind": "synthetic", "examples": 701}
    sections["model"] = {"kind": KINDS[0], "expert_dims": [7], "tower_dims": [5]}
    sections["train"] = TINY["train"] | {"epochs": 1}
    experiment = config.from_dict(sections)
    other = create_run(
        folder / "other", experiment, prepared("synthetic", examples=509)
    )
    other.write_result({"validation": {}})
    (folder / "kinds.toml").write_text(config.to_toml(experiment))
    asked = ["--sweep.model.kind", *KINDS, "--train.seeds", "2"]
    place = folder / "kinds"
    assert not call("train", folder / "kinds.toml", "--run-dir", place, *asked)
    return folder


@pytest.fixture(scope="session")
def sides(folder):
    """PLE, and the shared bottom."""
    return sides_of([folder / "kinds"])
