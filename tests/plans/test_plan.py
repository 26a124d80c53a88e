"""A plan says what compiled programs of emulated devices say, and refuses the rest."""

import dataclasses
import json
import math

import jax
import numpy as np
import pytest
from lib.training import call, tiny

from ple_jax import config
from ple_jax.config import sweep
from ple_jax.config.sweep import Trial
from ple_jax.data.loader import Loader, shapes_of
from ple_jax.layout import Bag, IdColumn
from ple_jax.plans import kinds, plan
from ple_jax.plans.emulated import devices, emulate, split_on_device
from ple_jax.plans.job import Job, bytes_of, job_of, jobs_of, resized
from ple_jax.plans.program import memory
from ple_jax.runs.defaults import resolved
from ple_jax.show import planned
from ple_jax.train.setup import Setup

N = 4  # devices; as many as tests emulate
H100 = kinds.find("h100")


def job_on(data, seeds=1, **sections):
    sections.setdefault("train", {})
    sections["train"] = {"devices": N, "data_on": "host", **sections["train"]}
    rows = data.facts["splits"]["train"]["rows"]
    one = resolved(tiny(**sections), data.layout, rows)
    of = lambda seed: config.with_values(one, {"train.seed": seed})
    trials = tuple(Trial(f"seed={i}", "", of(i)) for i in range(seeds))
    return Job(one, data.layout, rows, trials)


@pytest.fixture(scope="module")
def emulated(data):
    return emulate(job_on(data), H100, devices(N))


@pytest.fixture(scope="module", params=[1, 3])
def of_trials(request, data, emulated):
    """A step of one trial, or of several as one program."""
    job = job_on(data, seeds=request.param)
    return emulated if request.param == 1 else emulate(job, H100, devices(N))


def test_memory_is_what_the_compiler_plans(of_trials):
    held = plan.memory_of(of_trials)
    arguments = memory(of_trials.compiled).arguments
    counted = (
        held["total"] - held["temporaries"] - held["batches"] * (1 - 1 / plan.HELD)
    )
    assert counted == pytest.approx(arguments, rel=0.01)
    assert held["temporaries"] == memory(of_trials.compiled).temporary > 0


def test_operations_and_bytes_are_what_the_compiler_counts(of_trials):
    found, counted = plan.costs(of_trials), of_trials.compiled.cost_analysis()
    assert found["operations"] == pytest.approx(counted["flops"], rel=0.02)
    # XLA takes a histogram for read and written whole where a batch is added to it.
    histogram = 2 * bytes_of(of_trials.state.stream.histogram)
    whole = found["memory"] + histogram
    assert whole == pytest.approx(counted["bytes accessed"], rel=0.05)


@pytest.mark.parametrize("update", ["dense", "rows"])
def test_several_trials_cost_what_as_many_runs_do(data, update):
    one, three = (
        plan.plan(job_on(data, seeds, inputs={"update": update}), N, "h100")
        for seeds in (1, 3)
    )
    assert three["trials"] == ["seed=0", "seed=1", "seed=2"]
    states = ("tables", "parameters", "optimizer", "metrics", "batches")
    for name in states:
        assert three["memory"][name] == 3 * one["memory"][name], name
    assert three["checkpoint"] == 3 * one["checkpoint"] > three["best"] > 0
    for name in ("operations", "network", "input"):
        assert three["step"][name] == pytest.approx(3 * one["step"][name], rel=0.05)


def test_a_sweep_is_planned_by_programs(data):
    rates, dims = (0.01, 0.02), ((3,), (5,))
    lists = {"model.expert_dims": dims, "train.learning_rate": rates}
    base = tiny(data={"kind": "synthetic", "examples": 700})
    of_kinds = lambda kinds: base
    jobs = jobs_of(sweep.of(of_kinds, lists).trials)
    assert [len(job.trials) for job in jobs] == [2, 2]
    assert [job.orders for job in jobs] == [1, 1]
    found = plan.plan(jobs[0], 2, "h100")
    sent = 64 * jobs[0].example_bytes / 2
    assert found["split_on_device"] or found["step"]["input"] == sent
    said = "\n".join(planned.lines(found))
    assert "2 trials as one program: expert_dims=3,learning_rate=0.01,seed=0" in said


def test_a_dense_step_sends_its_gradients_and_looked_up_rows(emulated, data):
    state, sent = emulated.state, plan.costs(emulated)["network"]
    summed = bytes_of(state.trained["model"]) + bytes_of(state.stream)
    # Rows of the whole batch are summed, their ids and gradients gathered.
    lookups = 64 * len(data.layout.ids)
    wanted = 2 * summed + (2 * 4 + 3 * 4 * 3) * lookups
    assert sent == pytest.approx(wanted * (N - 1) / N, rel=0.02)


def test_a_small_table_sends_its_gradient(data):
    """2,260 rows, of which a batch of 256 examples reads 12 each: each has a copy."""
    emulated = emulate(job_on(data, train={"batch_size": 256}), H100, devices(N))
    state, sent = emulated.state, plan.costs(emulated)["network"]
    summed = sum(map(bytes_of, (state.trained["model"], state.trained["tables"])))
    assert state.trained["tables"]["dim_3"].sharding.is_fully_replicated
    wanted = 2 * (summed + bytes_of(state.stream))
    assert sent == pytest.approx(wanted * (N - 1) / N, rel=0.02)


def test_an_exchange_sends_the_rows_of_a_slice(data):
    job = job_on(data, inputs={"update": "rows"})
    emulated = emulate(job, H100, devices(N))
    state, sent = emulated.state, plan.costs(emulated)["network"]
    summed = bytes_of(state.trained["model"]) + bytes_of(state.stream)
    room = math.ceil(1.25 / N * (64 // N * len(data.layout.ids)))
    # Ids go out to look rows up and again to move them; rows and gradients go once.
    exchanged = 2 * (4 + 3 * 4) * N * room
    wanted = (2 * summed + exchanged) * (N - 1) / N
    assert sent == pytest.approx(wanted, rel=0.02)


def test_experts_are_split_over_the_model_axis(data):
    whole = plan.plan(job_on(data), 2, "h100")
    split = plan.plan(job_on(data, train={"mesh": {"model": 2}}), 4, "h100")
    assert split["step"]["input"] == whole["step"]["input"]  # as many parts of a batch
    held = job_on(data, train={"mesh": {"model": 2}})
    model = emulate(held, H100, devices(4, 2)).state.trained["model"]
    parts = [
        leaf.size - math.prod(leaf.sharding.shard_shape(leaf.shape))
        for leaf in jax.tree.leaves(model)
    ]
    saved = whole["memory"]["parameters"] - split["memory"]["parameters"]
    assert saved == 4 * sum(parts) > 0
    with pytest.raises(ValueError, match=r"must divide the .*experts of each level"):
        plan.plan(job_on(data, train={"mesh": {"model": 4}}), 4, "h100")


def test_a_batch_has_the_shapes_that_a_loader_gives(everything):
    layout, loader = everything.layout, Loader(everything.split("train"), 16, 0)
    given = loader.batches(0, 0, 3)
    like = lambda x: (x.shape, np.dtype(x.dtype))
    assert jax.tree.map(like, shapes_of(layout, 3, 16)) == jax.tree.map(like, given)
    job = job_on(everything, train={"batch_size": 16})
    assert job.example_bytes == sum(x.nbytes for x in jax.tree.leaves(given)) / 48


def test_a_checkpoint_holds_what_the_state_does(data):
    job = job_on(data, train={"average_decay": 0.9})
    setup = Setup([tiny(train={"average_decay": 0.9})], data)
    state, found = setup.trainer.init(), emulate(job, H100, devices(1)).state
    arrays = sum(x.nbytes for x in jax.tree.leaves(state))
    assert plan.checkpoint_bytes(found) == arrays


def test_the_split_lies_where_a_run_would_put_it(data):
    on_host, free = job_on(data), job_on(data, train={"data_on": "auto"})
    there = plan.plan(free, 2, "h100")
    assert there["split_on_device"]
    assert there["memory"]["split"] == free.examples * free.example_bytes
    assert there["step"]["input"] == 4 * 64 / 2  # numbers of rows
    sent = plan.plan(on_host, 2, "h100")
    assert not sent["split_on_device"]
    assert sent["step"]["input"] == 64 * on_host.example_bytes / 2
    small = dataclasses.replace(H100, memory=3 * free.examples * free.example_bytes)
    assert split_on_device(free, H100)
    assert not split_on_device(free, small)


def test_the_bound_is_the_longest_of_its_parts(data):
    found = plan.plan(job_on(data), N, "h100")
    assert found["bound"] == max(found["seconds"].values())
    assert found["seconds"][found["binds"]] == found["bound"]
    assert found["examples_per_second"] * found["bound"] == pytest.approx(64)
    said = "\n".join(planned.lines(found))
    assert f"bound by {planned.BY[found['binds']]}" in said
    assert "it fits" in said
    small = found | {"memory_of_device": found["memory"]["total"] / 2}
    assert "it needs 2.00 times" in "\n".join(planned.lines(small))
    texts = [grid.csv() for grid in planned.grids(found)]
    assert "495 TFLOP/s" in texts[1]


@pytest.mark.parametrize(("count", "most"), [(1, 2**31 - 1), (4, 2**31 - 1)])
def test_a_table_of_all_ids_plans(data, count, most):
    layout = resized(data.layout, {data.layout.ids[0].table: most})
    own = dataclasses.replace(layout.ids[0], dim=5)
    layout = dataclasses.replace(layout, ids=(own, *layout.ids[1:]))
    job = job_on(data, inputs={"update": "rows"})._replace(layout=layout)
    found = plan.plan(job, count, "h100")
    assert found["memory"]["tables"] >= most * 5 * 4 // count
    assert found["checkpoint"] > 3 * most * 5 * 4  # a table, and its two moments
    assert found["step"]["memory"] < 1e8  # a step reads the rows of its batch


@pytest.mark.parametrize(
    ("kind", "count", "batch", "near"),
    [
        ("h100", 60, 1024, 64),
        ("h100", 9, 1024, 8),
        ("h100", 0, 1024, 1),
        ("v5e", 512, 4096, 256),
        ("v5p", 6, 1024, 4),
        ("h100", 3, 64, 2),
    ],
)
def test_an_impossible_number_of_devices_names_the_nearest(kind, count, batch, near):
    with pytest.raises(ValueError, match=f"nearest number is {near:,}\\."):
        kinds.check_count(kind, count, batch)
    with pytest.raises(ValueError, match=r"among them by 2 \(train.mesh.model\)"):
        kinds.check_count(kind, 2 * batch + 1, batch, 2)


@pytest.mark.parametrize(("kind", "count"), [("h100", 64), ("v5p", 4), ("a100", 8)])
def test_possible_numbers_pass(kind, count):
    kinds.check_count(kind, count, 1024)


def test_rows_of_tables_are_checked(data):
    with pytest.raises(ValueError, match="Did you mean 'category_0'"):
        resized(data.layout, {"categry_0": 5})
    with pytest.raises(ValueError, match=r"at most 2,147,483,647 \(2\^31 - 1\)"):
        resized(data.layout, {"category_0": 2**31})
    bag = Bag("bag", "category_0", 7, 3)
    layout = dataclasses.replace(data.layout, bags=(bag,))
    resized_layout = resized(layout, {"category_0": 11})
    assert resized_layout.bags[0].rows == resized_layout.ids[0].rows == 11
    assert isinstance(resized_layout.ids[0], IdColumn)


def test_data_that_is_not_prepared_is_missed(tmp_path, monkeypatch):
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    source = {"kind": "census_income", "data_dir": str(tmp_path)}
    with pytest.raises((ValueError, FileNotFoundError)):  # raw files are missing
        job_of(tiny(data=source))
    monkeypatch.setattr("ple_jax.plans.job.DRAWN", "")
    with pytest.raises(ValueError, match="is not prepared, and a plan needs the sizes"):
        job_of(tiny())
    assert not (tmp_path / "cache").exists()


def test_the_command_prints_tables_or_json(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "tiny.toml"
    file.write_text('[data]\nkind = "synthetic"\nexamples = 700\n')
    knobs = "--train.batch-size 32 --model.expert-dims 3 --model.tower-dims 3".split()
    line = ["plan", file, "--devices", 2, "--kind", "v5e", *knobs]
    assert call(*line, "--examples", "1e6", "--rows", "category_0=1e5", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["devices"], found["kind"], found["examples"]) == (2, "v5e", 10**6)
    assert found["memory"]["tables"] > 4 * 8 * 10**5 / 2
    assert call(*line, "--sweep.inputs.embedding-dim", 3, 5, "--json") == 0
    programs = json.loads(capsys.readouterr().out)["programs"]
    assert [of["trials"][0] for of in programs] == [
        "embedding_dim=3,seed=0",
        "embedding_dim=5,seed=0",
    ]
    assert call("plan", file, "--devices", 2, "--kind", "v5", *knobs) == 2
    assert "Did you mean 'v5" in capsys.readouterr().err
    for wrong in ("category_0", "category_0=0", "category_0=1.5", "=7"):
        assert call(*line, "--rows", wrong) == 2
        assert "expected" in capsys.readouterr().err
