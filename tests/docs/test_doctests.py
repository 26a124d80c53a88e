"""Every example in a docstring of the package gives what it says."""

import doctest
import importlib

import pytest
from lib.site import load

names = load("extensions/names.py")
FLAGS = doctest.ELLIPSIS
WITH_EXAMPLES = [
    module
    for module, file in names.modules()
    if ">>> " in file.read_text(encoding="utf-8")
]


def failures(module):
    """The examples of a module that fail, and how many there are."""
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=FLAGS)
    for test in finder.find(module, module.__name__):
        runner.run(test)
    return runner.failures, runner.tries


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_give_what_they_say(module):
    failed, tried = failures(importlib.import_module(module))
    assert tried
    assert not failed


def test_the_main_functions_have_examples():
    assert len(WITH_EXAMPLES) >= 10
