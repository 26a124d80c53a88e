"""Plugins by file name and entry point, and their options read from the code."""

import dataclasses
import functools
import sys

import flax.linen as nn
import pytest

from ple_jax import plugins


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
    with pytest.raises(ValueError, match=r"weightings plugin\. Did you mean 'fixed'"):
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


def test_a_dotted_name_that_is_no_module_is_explained():
    with pytest.raises(
        ValueError, match=r"'ple_jax\.modles' cannot be imported: Module"
    ):
        plugins.find(MODELS, "ple_jax.modles")
