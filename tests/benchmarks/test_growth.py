"""A compiled step computes little more than its model's equations need."""

import dataclasses
import functools
import inspect
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ple_jax import models, plugins
from tests.benchmarks.test_benchmarks import ROOT, quick

SMALL = {"rows": 7, "fields": 3, "width": 5, "numbers": 2}


@pytest.fixture(autouse=True)
def lib(monkeypatch):
    """Lets a test import `benchmarks.lib`; its modules import each other relatively."""
    monkeypatch.syspath_prepend(str(ROOT))


def compiled(function, *arguments):
    return jax.jit(function).lower(*arguments).compile()


def test_operations_of_known_programs():
    from ple_jax.plans.program import operations

    x, w = jnp.ones((11, 7)), jnp.ones((7, 5))
    of = lambda *given: operations(compiled(*given).as_text())
    assert of(jnp.matmul, x, w) == 2 * 11 * 7 * 5
    assert of(lambda x: jnp.maximum(3 * x, 0), x) == 2 * 11 * 7
    assert of(jnp.exp, x) == 0
    assert of(lambda x: x.sum(), x) == 11 * 7 - 1


def test_a_loop_counts_as_often_as_it_runs():
    from ple_jax.plans.program import operations

    x = jnp.ones((7, 7))
    body = lambda i, x: jnp.tanh(x @ x)
    known = compiled(lambda x: jax.lax.fori_loop(0, 13, body, x), x)
    assert 13 * 2 * 7**3 <= operations(known.as_text()) < 13 * (2 * 7**3 + 9)
    asked = compiled(lambda n, x: jax.lax.fori_loop(0, n, body, x), 13, x)
    once, often = (operations(asked.as_text(), lambda _, n=n: n) for n in (1, 13))
    assert often == 13 * once
    # Without loops around it, the compiler counts the same.
    assert once == pytest.approx(asked.cost_analysis()["flops"], abs=3)


@pytest.mark.parametrize("kind", models.available())
@pytest.mark.parametrize("groups", ["tasks", "domains", "tasks_domains"])
def test_parameters_are_those_of_the_equations(kind, groups):
    from benchmarks.lib import needs, problem
    from benchmarks.lib.sizes import Size

    size = Size(**SMALL, tasks=3, domains=5, groups=groups)
    options = problem.options_of(kind, size)
    model = models.build(kind, num_tasks=3, num_domains=5, **options)
    given = np.zeros((4, size.inputs), np.float32), np.zeros(4, np.int32)
    made = jax.eval_shape(lambda: model.init(jax.random.key(0), *given))["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(made))
    assert needs.work(kind, size, options).parameters == count


def test_the_need_of_mmoe_is_as_by_hand():
    from benchmarks.lib import needs
    from benchmarks.lib.sizes import Size

    size = Size(**SMALL, batch=11, tasks=3)
    options = {"num_experts": 2, "expert_dims": (13,), "tower_dims": (17,)}
    # Products by input: 17 numbers, 15 of them embeddings; then 13; then 17.
    of_input = (2 * 13 + 3 * 2) * (2 * 2 * 17 + 2 * 15)
    towers = 3 * (13 * 17 + 17) * 6
    mixing = 3 * 2 * 13 * 6
    # Biases, rectifiers, softmax, loss.
    rest = 2 * (2 * 13 + 3 * 17 + 3) + 2 * (2 * 13 + 3 * 17) + 8 * 6 + 12 * 3
    need = needs.work("mmoe", size, options)
    assert need.operations == 11 * (of_input + towers + mixing + rest)
    assert need.kept == 11 * (17 + 2 * 13 + 6 + 3 * 13 + 3 * 17 + 3)


@pytest.mark.parametrize("kind", models.available())
def test_a_model_says_whether_its_cost_grows_with_domains(kind):
    from benchmarks.lib import needs, problem
    from benchmarks.lib.sizes import Size

    def needed(domains):
        size = Size(**SMALL, tasks=3, domains=domains, groups="tasks_domains")
        return needs.work(kind, size, problem.options_of(kind, size)).operations

    model = plugins.unwrap(plugins.find("ple_jax.models", kind).build)
    (cost,) = re.findall(r"\n\nCost: (.*?)\n\n", inspect.getdoc(model), re.DOTALL)
    assert ("flat in N" in cost) == (needed(17) == needed(1))


DOMAINS = {"domains": 4, "groups": "tasks_domains"}
MANY = DOMAINS | {"domains": 32}
POINTS = [
    pytest.param("adatt", {"tasks": 2}, id="adatt"),
    pytest.param("adatt", {"tasks": 8}, id="adatt, 8 tasks"),
    pytest.param("ple", {"tasks": 2}, id="ple"),
    pytest.param("ple", {"tasks": 16}, id="ple, 16 tasks"),
    pytest.param("mmoe", {"tasks": 8}, id="mmoe, 8 tasks"),
    pytest.param("ml_mmoe", {"tasks": 8}, id="ml_mmoe, 8 tasks"),
    pytest.param("asymmetric", {"tasks": 8}, id="asymmetric, 8 tasks"),
    pytest.param("ple", DOMAINS, id="ple, 4 domains"),
    pytest.param("ple", MANY, id="ple, 32 domains"),
    pytest.param("cgc", DOMAINS, id="cgc, 4 domains"),
    pytest.param("star", DOMAINS, id="star, 4 domains"),
    pytest.param("cross_stitch", DOMAINS, id="cross_stitch, 4 domains"),
]


@pytest.mark.parametrize(("kind", "changes"), POINTS)
def test_a_step_costs_little_more_than_needed(kind, changes):
    from benchmarks.lib import cost
    from benchmarks.lib.sizes import Size

    # Nothing runs, so that sizes may be those of the table.
    step = cost.of_step(kind, Size(1000, **changes))
    assert step.operations_ratio > 0.95  # or else the equations are wrong
    # The whole state is donated: no table or moment is copied.
    assert step.memory.results - step.memory.donated < 1000
    assert step.operations_ratio <= 1.15
    if (tasks := changes.get("tasks")) in (2, 8):  # the table's columns
        gflop, megabytes = stated(kind)[tasks == 8]
        assert step.operations == pytest.approx(1e9 * gflop, rel=0.02)
        assert step.memory.temporary <= 1.03e6 * megabytes


def stated(kind):
    """GFLOP and temporary MB of each column of the table in benchmarks/README.md."""
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    cell = r"([\d.]+) \([\d.]+\) ([\d.]+) \([\d.]+\)"
    found = re.search(rf"^\| {kind} \| {cell} \| {cell} \|$", text, re.M)
    a, b, c, d = map(float, found.groups())
    return (a, b), (c, d)


@pytest.mark.parametrize("kind", ["single_task", "star"])
def test_with_many_domains_the_rest_is_empty_places(kind):
    from benchmarks.lib import cost, needs, problem
    from benchmarks.lib.sizes import Size

    size = Size(1000, domains=500, groups="tasks_domains")
    step = cost.of_step(kind, size)
    padded = dataclasses.replace(size, batch=step.places)
    most = needs.operations(kind, padded, problem.options_of(kind, padded))
    assert 1.15 * step.needed < step.operations <= 1.05 * most


def test_growth_is_counted_timed_kept_and_drawn(tmp_path):
    records, figure = tmp_path / "records.json", tmp_path / "growth.svg"
    kept = "--records", str(records), "--plot", str(figure)
    # Without PyTorch here, ours is timed beside the floor alone.
    one, three = quick("growth", tmp_path, "--time", *kept)["results"]
    assert three["GFLOP"] > one["GFLOP"]
    assert 0.95 < one["GFLOP"] / one["needed, GFLOP"] == one["/ equations"] < 1.5
    assert one["/ kept"] > 0
    assert min(r[k] for r in (one, three) for k in ("ms", "floor, ms")) > 0
    assert json.loads(records.read_text()) == [one, three]
    drawn = figure.read_text()
    for line in ("step, ms", "floor, ms", "tasks", "mmoe"):
        assert f"<!-- {line} -->" in drawn
    assert "GFLOP" not in drawn
    # What is kept is not measured again.
    assert quick("growth", tmp_path, "--time", *kept)["results"] == [one, three]


def test_the_floor_is_as_by_hand():
    from benchmarks.lib import floor, needs
    from benchmarks.lib.sizes import Size

    size = Size(**SMALL, batch=11, tasks=3, experts=2)
    assert floor.distinct_rows(size) == pytest.approx(3 * 7 * (1 - (6 / 7) ** 11))
    assert floor.distinct_rows(Size(1, fields=3)) == 3
    dense, by_rows = (floor.work("mmoe", size, rows) for rows in (False, True))
    saved = 5 * (3 * 7 - floor.distinct_rows(size))  # numbers that do not move
    assert dense.bytes - by_rows.bytes == pytest.approx(4 * 6 * saved)
    assert dense.operations - by_rows.operations == pytest.approx(13 * saved)
    need = needs.work("mmoe", size, {"num_experts": 2, "expert_dims": (64,)})
    rest = 11 * (3 + 2 + 3) + 4 * need.kept + 8 * need.parameters
    tables = 5 * (3 * floor.distinct_rows(size) + 6 * 21)
    assert dense.bytes == pytest.approx(4 * (rest + tables))


@pytest.mark.parametrize("kind", ["ple", "mmoe"])
def test_programs_grow_with_neither_fields_nor_domains(kind):
    few = {"domains": 3, "groups": "tasks_domains"}
    for more in ({"domains": 37}, {"fields": 101}):
        pairs = zip(lines(kind, **few), lines(kind, **few | more), strict=True)
        assert all(b <= 1.1 * a for a, b in pairs)  # equal shapes share some lines


def test_programs_grow_little_with_tasks():
    init, steps = lines("ple", tasks=3)
    init_of_many, steps_of_many = lines("ple", tasks=13)
    assert init_of_many <= 1.1 * init
    assert steps_of_many - steps <= 10 * 65


@functools.cache
def lines(kind, **changes):
    """Lines of the programs that make a state and move it, as XLA is given them."""
    from benchmarks.lib import problem
    from benchmarks.lib.sizes import Size, arrays

    size = Size(**SMALL | changes, batch=64)
    trainer = problem.trainer_for(kind, size, update="dense")
    batches = trainer.prepare(problem.batches_of(arrays(size, 1)))
    steps = trainer.steps.lower(trainer.shapes(), batches, 1)
    return tuple(p.as_text().count("\n") for p in (trainer.init.lower(), steps))
