"""Plugins of another package: installed, found by name, trained; public names only."""

import ast
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import ple_jax

HERE = pathlib.Path(__file__).parent
PACKAGE = HERE / "plugin"
EXPERIMENT = """
[data]
kind = "{data}"
visits = 503

[model]
kind = "{model}"
bottom_dims = [7]

[weighting]
kind = "{weighting}"
sharpness = 3.0

[inputs]
embedding_dim = 3

[train]
epochs = 15
learning_rate = 0.03
batch_size = 64
devices = 1
"""
SHORT = {"data": "visits", "model": "factorised", "weighting": "worst_first"}


def install(package: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """Installs a package's folder, as a stranger does, but without a network."""
    copy = shutil.copytree(package, target / "source")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *options]
    subprocess.run([*command, "--target", target / "site", copy], check=True)
    return target / "site"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return install(PACKAGE, tmp_path_factory.mktemp("plugin"))


def python(site: pathlib.Path, folder: pathlib.Path, *arguments: str):
    """A new process that finds what is installed in `site`."""
    house = str(pathlib.Path(ple_jax.__file__).parents[1])
    paths = os.pathsep.join([str(site), house])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths, "PLE_JAX_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("dotted", [False, True], ids=["short", "dotted"])
def test_an_outside_model_trains_on_outside_data(site, tmp_path, dotted):
    kinds = {k: f"shop.{v}" if dotted else v for k, v in SHORT.items()}
    (tmp_path / "visits.toml").write_text(EXPERIMENT.format(**kinds))
    knobs = ["--model.dropout-rate", "0.1", "--weighting.sharpness=2"]
    allowed = [f"--plugin=shop.{v}" for v in SHORT.values() if dotted]
    command = ["-m", "ple_jax", "train", "visits.toml", *allowed, *knobs]
    done = python(site, tmp_path, *command)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "runs/visits/result.json").read_text())
    assert set(result["test"]["tasks"]) == {"look", "buy"}
    assert set(result["test"]["domains"]) == {"north", "south"}
    assert result["test"]["tasks"]["look"]["auc_roc"] > 0.8


def test_outside_plugins_are_listed_beside_the_built_in_ones(site, tmp_path):
    listing = (
        "import json; from ple_jax import datasets, models, weightings; "
        "rooms = [room.available() for room in (datasets, models, weightings)]; "
        "print(json.dumps([*rooms, models.describe('factorised')]))"
    )
    done = python(site, tmp_path, "-c", listing)
    *found, described = json.loads(done.stdout)
    built_in = "synthetic", "ple", "fixed"
    for names, own, others in zip(found, SHORT.values(), built_in, strict=True):
        assert {own, others} <= set(names)
        assert names == sorted(names)
    assert described["summary"].startswith("A logit is a product")
    assert set(described["options"]) == {"bottom_dims", "dropout_rate"}


def test_mistakes_in_outside_options_are_explained(site, tmp_path):
    (tmp_path / "visits.toml").write_text(EXPERIMENT.format(**SHORT))
    train = ["-m", "ple_jax", "train", "visits.toml"]
    for knob, message in (
        ("--model.bottom-dim=3", "Did you mean 'bottom_dims'"),
        ("--model.kind=factorized", "Did you mean 'factorised'"),
    ):
        done = python(site, tmp_path, *train, knob)
        assert done.returncode == 2
        assert message in done.stderr


def names_of_ours(path: pathlib.Path):
    """Dotted names of ple_jax that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (n.name for n in node.names if n.name.startswith("ple_jax"))
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith(
            "ple_jax"
        ):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_the_package_imports_public_names_only():
    names = [n for path in sorted(PACKAGE.rglob("*.py")) for n in names_of_ours(path)]
    assert len(names) > 5
    assert not [n for n in names if any(p.startswith("_") for p in n.split("."))]
