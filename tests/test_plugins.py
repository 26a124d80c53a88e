"""Plugins by file name, and their options read from the code."""

import dataclasses
import functools

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
