"""How the epochs of a training went, in lines."""

from ple_jax.show.course import MOST_TRIALS, course_lines


def result(best, by_task, *notes):
    course = {"best_epoch": best, "best_epoch_by_task": by_task, "notes": [*notes]}
    return {"epochs": 9, "course": course}


def test_a_run_says_its_best_epoch_and_what_to_change():
    assert course_lines(result(3, {"click": 3})) == ["best epoch 3 of 9"]
    (line,) = course_lines(result(3, {"a\nb": 3, "buy": 5, "x": None}, "overfits"))
    assert line == r"best epoch 3 of 9 (by task: a\nb 3, buy 5); overfits"


def test_each_trial_has_a_line_while_they_are_few():
    of = lambda n: {"trials": {f"seed={i}": result(2, {"click": 2}) for i in range(n)}}
    assert course_lines(of(2))[1] == "seed=1: best epoch 2 of 9"
    assert course_lines(of(MOST_TRIALS + 3))[-1].startswith("and 3 more trials")
    assert course_lines({"trials": {"seed=0": {"epochs": 1}}}) == []  # an older one
