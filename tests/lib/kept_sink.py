"""A sink that keeps all that it gets, and fails when it is told to."""

from typing import Any

from ple_jax.sinks import About, Sink

NAME = __name__
opened: list[tuple[About, list[tuple[Any, ...]]]] = []
fails: set[int] = set()  # at these steps


def build(about: About) -> Sink:
    calls: list[tuple[Any, ...]] = []
    opened.append((about, calls))

    def write(step, numbers):
        if step in fails:
            raise ConnectionError("nobody answers")
        calls.append(("write", step, numbers))

    finish = lambda *given: calls.append(("finish", *given))
    return Sink(write, finish, lambda: calls.append(("close",)))
