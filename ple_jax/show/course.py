"""Lines on how the epochs of a training went."""

from collections.abc import Mapping
from typing import Any

from ple_jax.show.escape import one_line

MOST_TRIALS = 10


def course_lines(result: Mapping[str, Any]) -> list[str]:
    """One line for a run, or for each of up to ten trials.

    It has the best epoch, what the others say, and each task's own best if it differs.
    """
    trials = result.get("trials", {"": result})
    lines = [_line(name, of) for name, of in trials.items() if "course" in of]
    more = len(lines) - MOST_TRIALS
    if more > 0:
        return [*lines[:MOST_TRIALS], f"and {more} more trials: see result.json"]
    return lines


def _line(name: str, result: Mapping[str, Any]) -> str:
    course = result["course"]
    line = f"{one_line(name)}: " * bool(name)
    line += f"best epoch {course['best_epoch']} of {result['epochs']}"
    own = {t: e for t, e in course["best_epoch_by_task"].items() if e is not None}
    if not set(own.values()) <= {course["best_epoch"]}:
        listed = ", ".join(f"{one_line(task)} {epoch}" for task, epoch in own.items())
        line += f" (by task: {listed})"
    return line + "".join(f"; {note}" for note in course["notes"])
