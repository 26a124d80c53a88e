"""A search that is killed goes on, and finds what it would have found."""

import json
import signal
from functools import partial

import pytest
from lib import in_child

SPACE = ("--tune.train.learning-rate", "1e-3", "1e-1")
SIZE = ("--trials", 3, "--batch", 2, "--pruner", "none")
POINTS = {
    "a trial has its result and the other has not": ("trials/00002/result.json", 1),
    "the result of all is written": ("search/result.json", 1),
}


def search(shared, where, *faults):
    asked = (shared.experiment, "--run-dir", where, *SPACE, "--train.epochs", 1)
    return shared.run("tune", *asked, *SIZE, faults=faults)


def found(where):
    """The points in their order with their metrics, and the best one's."""
    result = json.loads((where / "result.json").read_text())
    by_number = sorted(result["trials"].items(), key=lambda item: int(item[0]))
    points = [(row["values"], row["metric"]) for _, row in by_number]
    best = {half: result["best"][half] for half in ("validation", "estimate")}
    return points, best


@pytest.fixture(scope="module")
def unharmed(shared):
    pytest.importorskip("optuna")
    where = shared.folder / "unharmed" / "search"
    ended = search(shared, where)
    assert ended.status == 0, ended.said
    return found(where)


@pytest.mark.parametrize("name", POINTS)
def test_a_search_that_is_killed_goes_on(name, shared, unharmed, tmp_path):
    where, (path, nth) = tmp_path / "search", POINTS[name]
    ended = search(shared, where, partial(in_child.die_at, "os.rename", path, nth))
    assert ended.status == -signal.SIGKILL, f"{path} never came: {ended.said}"
    again = shared.run("tune", "--resume", "--run-dir", where, *SIZE)
    assert again.status == 0, again.said
    (points, best), (wanted, best_wanted) = found(where), unharmed
    assert [values for values, _ in points] == [values for values, _ in wanted]
    assert [m for _, m in points] == pytest.approx([m for _, m in wanted])
    assert best == pytest.approx(best_wanted)
    kept = {row.name for row in (where / "trials").iterdir()}
    numbers = json.loads((where / "result.json").read_text())["trials"]
    assert kept == {f"{int(number):05}" for number in numbers}
    assert [path.name for path in tmp_path.iterdir()] == [where.name]
