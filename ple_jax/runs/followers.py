"""What follows a run as it trains: its sinks, which get every number of its journal.

RUN/sinks.json has the identity of the run, and up to which step each sink has it:

    {"identity": "5a0c61f2", "steps": {"tensorboard": 682}, "finished": []}

So a sink that failed, or came later, gets on resuming what it lacks, and no sink gets
the epochs again that a resumed run repeats.
"""

import pathlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, TypeAlias

from ple_jax import config, sinks
from ple_jax.disk import read_json, write_json
from ple_jax.runs.directory import OLD_TRIALS, TRIALS, Run, say_once
from ple_jax.runs.journal import read_records
from ple_jax.runs.numbers import Number, of_epoch, of_result
from ple_jax.show.results import of_result as tables_of

FOLLOWED = "sinks.json"
WITHIN = (TRIALS, OLD_TRIALS, "cells", "search")  # folders of runs that go together


class Follower:
    """The sinks of a run, each of which opens with the first number that it gets.

    A sink that raises is told of once, and gets no more from this process; training
    goes on.
    """

    def __init__(self, run: Run):
        self._run, self._place = run, run.directory / FOLLOWED
        self._left = list(run.experiment.train.sinks)
        self._open: dict[str, sinks.Sink] = {}

    def write(self, record: Mapping[str, Any]) -> None:
        """Gives each sink a line of the journal, after those that it lacks."""
        for name in tuple(self._left):
            with self._forgiving(name):
                self._give(name, self._opened(name), record)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Gives each sink the final table, if it has not got it."""
        for name in tuple(self._left):
            with self._forgiving(name):
                sink = self._opened(name)
                if name not in self._kept["finished"]:
                    page = "\n".join(grid.markdown() for grid in tables_of(result))
                    step, numbers = result["step"] or 0, of_result(result)
                    sink.finish(step, known(numbers, "best/"), page)
                    self._kept["finished"].append(name)
                    write_json(self._place, self._kept)

    def close(self) -> None:
        """Closes the sinks."""
        for name in tuple(self._open):
            with self._forgiving(name):
                self._open.pop(name).close()

    @cached_property
    def _kept(self) -> dict[str, Any]:
        if self._place.exists():
            return read_json(self._place)
        new = {"identity": secrets.token_hex(4), "steps": {}, "finished": []}
        write_json(self._place, new)
        return new

    def _opened(self, name: str) -> sinks.Sink:
        if name not in self._open:
            sinks.check([name])
            about = about_run(self._run, name, self._kept)
            self._open[name] = sinks.find(name).build(about)
            for record in read_records(self._run.metrics):
                self._give(name, self._open[name], record)
        return self._open[name]

    def _give(self, name: str, sink: sinks.Sink, record: Mapping[str, Any]) -> None:
        steps = self._kept["steps"]
        if "epoch" in record and record["step"] > steps.get(name, 0):
            sink.write(record["step"], known(of_epoch(record)))
            steps[name] = record["step"]
            write_json(self._place, self._kept)

    @contextmanager
    def _forgiving(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of a library that is not ours, or its network
            with suppress(Exception):
                self._left.remove(name)
                self._open.pop(name).close()
            say_once(
                f"warning: the sink {name!r} failed and gets no more of this training, "
                f"which goes on; metrics.jsonl has it all. {type(error).__name__}: "
                f"{error}"
            )


Followers: TypeAlias = Sequence[Follower]


@contextmanager
def following(runs: Sequence[Run]) -> Iterator[Followers]:
    """The followers of runs, closed at the end."""
    each = [Follower(run) for run in runs]
    try:
        yield each
    finally:
        for one in each:
            one.close()


def about_run(run: Run, sink: str, kept: Mapping[str, Any]) -> sinks.About:
    """What a sink is told of a run."""
    names, home = place_of(run.directory)
    return sinks.About(
        name="/".join(names),
        group="/".join(names[:-1]),
        identity=kept["identity"],
        knobs=config.flat(run.experiment),
        folder=run.directory / sink,
        home=home,
        step=kept["steps"].get(sink, 0),
    )


def place_of(directory: pathlib.Path) -> tuple[list[str], pathlib.Path]:
    """The name of a run after those of the sweep and study it is of; their folder.

    Example:
        >>> place_of(pathlib.Path("/runs/ple/trials/seed=1"))[0]
        ['ple', 'seed=1']
    """
    place = directory.resolve()
    names = [place.name]
    while place.parent.name in WITHIN:
        place = place.parent.parent
        names.insert(0, place.name)
    return names, place.parent


def known(numbers: Iterator[Number], before: str = "") -> dict[str, float]:
    """The numbers that are defined, by name."""
    each = ((before + one.name, one.value) for one in numbers)
    return {name: float(value) for name, value in each if value is not None}
