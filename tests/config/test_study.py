"""Study files: from axes to cells, and mistakes in them."""

import pytest

from ple_jax.config import study

MODELS = {
    "single_task": {"model": {"kind": "single_task"}},
    "ple": {"model": {"kind": "ple", "num_levels": 1}},
}
SIZES = {"small": {"data": {"examples": 700}}, "large": {"data": {"examples": 1100}}}


def tree(**changed):
    return {
        "study": {"title": "Which?"},
        "base": {"data": {"kind": "synthetic"}, "model": {"expert_dims": [7]}},
        "axes": {"size": SIZES, "model": MODELS},
        **changed,
    }


def test_cells_are_the_product_of_the_axes():
    plan = study.of(tree())
    assert [cell.name for cell in plan.cells] == [
        "small,single_task",
        "small,ple",
        "large,single_task",
        "large,ple",
    ]
    assert plan.axes == ("size", "model")
    assert (plan.asked.compare, plan.asked.reference) == ("model", "single_task")
    last = plan.cells[-1].experiment
    assert last.data.options["examples"] == 1100
    assert last.model.options["expert_dims"] == (7,)
    assert last.model.options["num_levels"] == 1
    assert last.train.seeds == 5


def test_cells_that_are_compared_differ_on_one_axis():
    plan = study.of(tree(study={"title": "Which?", "compare": "size"}))
    assert [[cell.name for cell in group] for group in plan.compared()] == [
        ["small,single_task", "large,single_task"],
        ["small,ple", "large,ple"],
    ]


def test_choices_that_do_not_go_together_are_left_out():
    without = [["size.large", "model.ple"]]
    plan = study.of(tree(study={"title": "Which?", "without": without}))
    assert [cell.name for cell in plan.cells][-1] == "large,single_task"


def test_a_later_axis_has_the_last_word():
    axes = {
        "seeds": {"few": {"train": {"seeds": 2, "epochs": 3}}},
        "train": {"long": {"train": {"epochs": 7}}},
    }
    (cell,) = study.of(tree(axes=axes)).cells
    assert (cell.experiment.train.seeds, cell.experiment.train.epochs) == (2, 7)


def asked(**values):
    return {"study": {"title": "Which?", **values}}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"bases": {}}, "Did you mean 'base'"),
        ({"study": {}}, "title must be given"),
        (asked(compare="modle"), "Did you mean 'model'"),
        (asked(reference="pel"), "Did you mean 'ple'"),
        (asked(without=[["size.larg"]]), "Did you mean 'size.large'"),
        (asked(without=[["size.large"], ["size.small"]]), "leaves no cell"),
        (asked(without=[["model.single_task", "size.small"]]), "without the reference"),
        (asked(search=-1), "at least 0"),
        ({"axes": {}}, "needs an axis"),
        ({"axes": {"model": {}}}, "has no choice"),
        ({"axes": {"model": {"ple": 3}}}, "must be a table"),
        ({"axes": {"model": {"ple": {"modle": {}}}}}, "Did you mean 'model'"),
        ({"base": {"model": {"expert_dim": [7]}}}, "No cell takes base.model.exp"),
        (
            {"axes": {"model": {"ple": {"model": {"kind": "ple", "levels": 2}}}}},
            "The cell of model ple: ",
        ),
    ],
)
def test_mistakes_are_named(changed, says):
    with pytest.raises(ValueError, match=says):
        study.of(tree(**changed))


def test_a_file_is_read(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        '[study]\ntitle = "Which?"\n[base.data]\nkind = "synthetic"\n'
        "[axes.model]\nple.model.kind = 'ple'\nmmoe = {model = {kind = 'mmoe'}}\n"
    )
    assert [cell.name for cell in study.load(path).cells] == ["ple", "mmoe"]
    with pytest.raises(ValueError, match="no study file"):
        study.load(tmp_path / "stud.toml")
