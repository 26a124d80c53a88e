"""Plugins by file name and entry point, and their options read from the code."""

import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import flax.linen as nn
import pytest
from lib.training import call, new_run

from ple_jax import config, plugins
from ple_jax.runs import manifest


def build(first: int, *rest, second: tuple[int, ...] = (1,), **more):
    """Something.

    Args:
        first: One
            or another.
        second: Two: three.

    Reference: nobody.
    """


class Model(nn.Module):
    """A model.

    Attributes:
        widths: Of the layers, from the input up, even where
            note: the line is long.
        rate: Share dropped.
    """

    widths: tuple[int, ...]
    rate: float = 0.1
    unexplained: str = ""


class Wider(Model, kw_only=True):
    """A model with one more option than its base, and better words for another.

    Attributes:
        rate: Share of units dropped.
        depth: Number of layers.
    """

    depth: int


@dataclasses.dataclass
class Settings:
    made: list = dataclasses.field(default_factory=lambda: [1])


def test_options_of_a_function():
    options = plugins.options_of(build)
    assert list(options) == ["first", "second"]
    first = options["first"]
    assert (first.type, first.required, first.help) == (int, True, "One or another.")
    assert options["second"] == (tuple[int, ...], (1,), False, "Two: three.")


def test_options_of_a_linen_module():
    options = plugins.options_of(Model)
    assert list(options) == ["widths", "rate", "unexplained"]
    widths = options["widths"]
    assert (widths.type, widths.required) == (tuple[int, ...], True)
    assert widths.help == (
        "Of the layers, from the input up, even where note: the line is long."
    )
    assert options["rate"] == (float, 0.1, False, "Share dropped.")
    assert options["unexplained"].help == ""


def test_a_default_may_come_from_a_factory():
    assert plugins.options_of(Settings)["made"] == (list, [1], False, "")


def test_a_module_inherits_the_help_of_its_base_and_may_say_it_better():
    options, base = plugins.options_of(Wider), plugins.options_of(Model)
    assert list(options) == ["depth", "widths", "rate", "unexplained"]
    assert options["widths"] == base["widths"]
    assert options["rate"] == (float, 0.1, False, "Share of units dropped.")
    depth = options["depth"]
    assert (depth.type, depth.required, depth.help) == (int, True, "Number of layers.")


def test_what_partial_fixes_is_no_option():
    options = plugins.options_of(functools.partial(Wider, depth=3))
    whole = plugins.options_of(Wider)
    assert options == {k: o for k, o in whole.items() if k != "depth"}
    assert list(plugins.options_of(functools.partial(build, first=1))) == ["second"]


def test_plugins_are_found_by_file_name():
    package = "ple_jax.weightings"
    assert {"fixed", "schedule"} <= set(plugins.available(package))
    assert not [n for n in plugins.available(package) if n.startswith("_")]
    fixed = plugins.find(package, "fixed")
    assert plugins.find(package, "ple_jax.weightings.fixed") is fixed
    with pytest.raises(ValueError, match=r"weighting\. Did you mean 'fixed'"):
        plugins.find(package, "fixd")


# Plugins of other packages.

MODELS = "ple_jax.models"
GOOD = "def build(num_tasks, num_domains=1): ..."


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """outside(package, name=module text, ...) puts an installed package on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(package, **models):
        lines = [f"{name} = {package}_{name}" for name in models]
        info = tmp_path / f"{package}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {package}\nVersion: 1\n")
        (info / "entry_points.txt").write_text("\n".join([f"[{MODELS}]", *lines]))
        for name, text in models.items():
            (tmp_path / f"{package}_{name}.py").write_text(text)

    yield install
    for module in [m for m in sys.modules if m.startswith("acme_")]:
        del sys.modules[module]


def test_an_entry_point_names_a_plugin(outside):
    outside("acme", tower=GOOD)
    assert "tower" in plugins.available(MODELS)
    assert plugins.find(MODELS, "tower").__name__ == "acme_tower"
    with pytest.raises(ValueError, match="Did you mean 'tower'"):
        plugins.find(MODELS, "towr")


def test_a_built_in_plugin_keeps_its_name(outside):
    outside("acme", ple=GOOD)
    assert plugins.find(MODELS, "ple").__name__ == "ple_jax.models.ple"
    clash = r"'ple' \(acme_ple\) of acme .* ple_jax\.models\.ple\."
    with pytest.raises(ValueError, match=clash):
        plugins.available(MODELS)


def test_two_packages_that_offer_one_name_are_both_named(outside):
    outside("acme", tower=GOOD)
    outside("acme_two", tower=GOOD)
    both = r"\(acme_tower\) of acme and .*\(acme_two_tower\) of acme_two|"
    both += r"\(acme_two_tower\) of acme_two and .*\(acme_tower\) of acme"
    for ask in (
        lambda: plugins.find(MODELS, "tower"),
        lambda: plugins.available(MODELS),
    ):
        with pytest.raises(ValueError, match=both):
            ask()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("built = 1", "must define `build`"),
    ],
)
def test_a_broken_plugin_is_named_with_its_package(outside, text, why):
    outside("acme", tower=text)
    assert "tower" in plugins.available(MODELS)
    with pytest.raises(ValueError, match=rf"'tower' \(acme_tower\) of acme .*{why}"):
        plugins.find(MODELS, "tower")


# Modules that nobody offers.

MARKS = "import pathlib; pathlib.Path(__file__).with_suffix('.mark').touch()\n"


@pytest.fixture
def nobody(monkeypatch):
    """As when the process begins: nothing is allowed."""
    monkeypatch.setattr(plugins, "_allowed", set())
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])


@pytest.fixture
def stranger(tmp_path, monkeypatch, nobody):
    """A package whose modules leave a mark when they are imported."""
    package = tmp_path / "acme_inc"
    package.mkdir()
    (package / "__init__.py").write_text(MARKS)
    (package / "tower.py").write_text(MARKS + GOOD)
    (package / "other.py").write_text(MARKS + GOOD)
    monkeypatch.chdir(tmp_path)
    yield package
    for module in [m for m in sys.modules if m.startswith("acme_inc")]:
        del sys.modules[module]


def marks(package):
    return sorted(mark.stem for mark in package.glob("*.mark"))


def test_a_module_is_imported_only_after_it_was_allowed(stranger, monkeypatch):
    monkeypatch.syspath_prepend(stranger.parent)
    with pytest.raises(plugins.NotAllowed, match=r"--plugin acme_inc\.tower, or") as no:
        plugins.find(MODELS, "acme_inc.tower")
    assert no.value.module == "acme_inc.tower"
    assert marks(stranger) == []
    plugins.allow("acme_inc.tower")
    assert marks(stranger) == []
    assert plugins.find(MODELS, "acme_inc.tower").__name__ == "acme_inc.tower"
    assert marks(stranger) == ["__init__", "tower"]


def test_just_the_module_that_was_allowed_is_imported(stranger, monkeypatch):
    monkeypatch.syspath_prepend(stranger.parent)
    plugins.allow("acme_inc.tower")
    with pytest.raises(ValueError, match=r"Did you mean 'acme_inc\.tower'\?"):
        plugins.find(MODELS, "acme_inc.towr")
    for other in ("acme_inc.other", "acme_inc.tower.build", "ple_jax.plugins"):
        with pytest.raises(plugins.NotAllowed):
            plugins.find(MODELS, other)
    assert marks(stranger) == []


def test_a_module_may_lie_in_a_folder_that_is_named(stranger, monkeypatch):
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    plugins.allow("acme_inc.tower")
    with pytest.raises(ValueError, match="No module named 'acme_inc'"):
        plugins.find(MODELS, "acme_inc.tower")
    plugins.allow("acme_inc.tower", str(stranger.parent))
    assert plugins.find(MODELS, "acme_inc.tower").build


def test_no_other_package_of_the_folder_can_be_imported(stranger):
    (stranger.parent / "acme_twin.py").touch()
    plugins.allow("acme_inc.tower", str(stranger.parent))
    assert importlib.util.find_spec("acme_inc")
    assert not importlib.util.find_spec("acme_twin")


def test_python_comes_before_the_folder(stranger):
    (stranger.parent / "json").mkdir()
    plugins.allow("json.decoder", str(stranger.parent))
    assert importlib.util.find_spec("json").origin == json.__spec__.origin


@pytest.mark.parametrize(
    "name", ["../x", "a..b", ".a", "a.", "a.b c", "a/b.c", "a.1", "a.b\n", "a.b\x00"]
)
def test_what_is_no_dotted_name_is_refused(name, nobody):
    for ask in (plugins.allow, lambda n: plugins.find(MODELS, n)):
        with pytest.raises(ValueError, match="is not a module's dotted name, such as"):
            ask(name)


def test_a_plugin_without_dots_is_not_allowed_by_name(nobody):
    with pytest.raises(ValueError, match=r"'tower' is not a module's dotted name"):
        plugins.allow("tower")


def test_a_dotted_name_that_is_no_module_is_explained(nobody):
    plugins.allow("acme_nowhere.tower")
    nowhere = r"'acme_nowhere\.tower' cannot be imported: Module"
    with pytest.raises(ValueError, match=nowhere):
        plugins.find(MODELS, "acme_nowhere.tower")


# Runs that name a module.


class Everything(set):
    """The allow-list switched off."""

    def __contains__(self, module):
        return True


@pytest.fixture
def hostile(data, stranger, monkeypatch):
    """hostile(section) is a recorded run, whole by its manifest, that names a module.

    The module lies in Python's path, and in the run directory itself.
    """
    monkeypatch.syspath_prepend(stranger.parent)

    def made(section):
        folder = stranger.parent / f"run_{section}"
        experiment = config.to_dict(new_run(data, folder).experiment)
        old = f'[{section}]\nkind = "{experiment[section]["kind"]}"'
        file = folder / "experiment.toml"
        new = f'[{section}]\nkind = "acme_inc.tower"'
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        manifest.write(folder, manifest.read(folder)["files"])
        (folder / "acme_inc.py").write_text("1 / 0")
        return folder

    return made


COMMANDS = {
    "evaluate": ["evaluate", "{run}"],
    "predict": ["predict", "{run}", "x.csv", "--out", "y.csv"],
    "verify": ["verify", "{run}"],
    "resume": ["train", "--resume", "--run-dir", "{run}"],
    "train": ["train", "{run}/experiment.toml"],
    "prepare": ["prepare", "{run}/experiment.toml", "--out", "p"],
    "help": ["train", "--help", "{run}/experiment.toml"],
}


@pytest.mark.parametrize("section", ["data", "model", "weighting"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_that_names_a_module_runs_nothing_of_it(
    command, section, hostile, stranger, capsys
):
    folder = hostile(section)
    line = [part.format(run=folder) for part in COMMANDS[command]]
    status = call(*line)
    said = capsys.readouterr().err
    if command != "verify":  # it reads bytes, and asks no plugin
        assert status == 2
        assert said.endswith(f"ple-jax {' '.join(line)} --plugin acme_inc.tower\n")
        assert said.count("\n") == 1
    assert marks(stranger) == []


def test_an_allow_list_that_is_switched_off_is_noticed_control(
    hostile, stranger, monkeypatch
):
    monkeypatch.setattr(plugins, "_allowed", Everything())
    call("evaluate", hostile("model"))
    assert marks(stranger) == ["__init__", "tower"]


def test_the_working_directory_is_not_on_the_path_of_the_module(hostile, stranger):
    """`python -m` puts it there: libraries would be taken from it."""
    folder = hostile("model").parent
    (folder / "numpy.py").write_text(MARKS)
    (folder / "numpy.mark").unlink(missing_ok=True)
    house = str(pathlib.Path(plugins.__file__).parents[1])
    command = [sys.executable, "-m", "ple_jax", "evaluate", "run_model"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment | {"PYTHONPATH": house},
        capture_output=True,
        text=True,
    )
    assert "--plugin acme_inc.tower" in done.stderr
    assert done.returncode == 2
    assert not list(folder.rglob("*.mark"))
