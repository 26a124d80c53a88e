"""Whose fault an error is, and what is said of it."""

import errno

import jax
import numpy as np
import pyarrow as pa
import pytest

from ple_jax.cli import main
from ple_jax.show.errors import sentence


def of_system(number, *names):
    return OSError(number, "No words", *names)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("x: expected int."), "x: expected int."),
        (FileExistsError("a already exists."), "a already exists."),
        (of_system(errno.EACCES, "a/b"), "a/b: No words."),
        (of_system(errno.EXDEV, "a", None, "b"), "a -> b: No words."),
        (of_system(errno.EIO), "No words."),
        (of_system(errno.ENOSPC, "a"), "a: the disk is full."),
        (of_system(errno.ENOSPC), "The disk is full."),
        (MemoryError(), "There is not enough memory."),
        (pa.ArrowMemoryError("8 TB"), "There is not enough memory: 8 TB"),
        (pa.ArrowNotImplementedError("no map"), "ArrowNotImplementedError: no map"),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory.\nmore"),
            "There is not enough memory: Out of memory.",
        ),
        (
            jax.errors.JaxRuntimeError("INTERNAL: at work: Out of memory: 3 bytes."),
            "There is not enough memory: Out of memory: 3 bytes.",
        ),
        (jax.errors.JaxRuntimeError("INTERNAL: a bug"), None),
        (TypeError("a bug"), None),
        (KeyError("a bug"), None),
        (RecursionError("a bug"), None),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_faults_are_told_and_our_own_mistakes_are_not(error, told):
    assert sentence(error) == told


def test_how_much_memory_was_asked_for_is_said():
    with pytest.raises(MemoryError) as caught:
        np.zeros((2**25, 2**30), np.int8)
    assert "Unable to allocate 32.0 PiB" in sentence(caught.value)


def fails(error):
    def run(arguments):
        raise error

    return run


def test_a_fault_is_one_escaped_line_and_status_2(monkeypatch, capsys):
    monkeypatch.setattr(main, "run", fails(of_system(errno.EACCES, "\x1b[31ma")))
    assert main.main([]) == 2
    assert capsys.readouterr().err == "error: \\x1b[31ma: No words.\n"


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(main, "run", fails(KeyError("a bug")))
    with pytest.raises(KeyError):
        main.main([])
