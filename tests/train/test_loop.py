"""The step, the loop, checkpoints and the command line, end to end on tiny data."""

import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lib.damage import with_facts
from lib.tables import SCHEMA, source
from lib.training import (
    TINY,
    assert_same,
    call,
    check_resume,
    final_state,
    new_run,
    tiny,
)

from ple_jax import config, models, weightings
from ple_jax.config.experiment import Train
from ple_jax.data.loader import Loader
from ple_jax.data.prepare import prepare
from ple_jax.datasets import synthetic
from ple_jax.embeddings.tables import Tables
from ple_jax.optim import dense
from ple_jax.parallel.mesh import batch_shardings, make_mesh
from ple_jax.runs.directory import free_directory, open_run, same_run
from ple_jax.schema import Field, Schema, Task
from ple_jax.serve import files
from ple_jax.train import loop
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.setup import placed
from ple_jax.train.trainer import jitted, make_step, trainer_of
from ple_jax.weightings import Weighting


def test_a_run_learns_and_writes_all_that_it_promises(data, tmp_path):
    chosen = new_run(data, tmp_path / "run")
    result = loop.fit(chosen)
    names = {p.name for p in chosen.directory.iterdir()}
    assert names == {
        "experiment.toml",
        "manifest.json",
        "data",
        "checkpoints",
        "metrics.jsonl",
        "result.json",
    }
    records = [json.loads(line) for line in chosen.metrics.read_text().splitlines()]
    assert [r["epoch"] for r in records] == [0, 1, 2]
    assert records[-1]["loss"] < records[0]["loss"]
    assert json.loads((chosen.directory / "result.json").read_text()) == result
    best = max(records, key=lambda r: r["score"])
    assert result["step"] == best["step"]
    assert result["validation"] == best["validation"]


def test_the_same_run_twice_is_the_same_bit_for_bit(data, tmp_path):
    options = {"model": {"dropout_rate": 0.2, "batch_norm": True}}
    one, two = (new_run(data, tmp_path / n, **options) for n in ("one", "two"))
    assert loop.fit(one) == loop.fit(two)
    assert_same(final_state(one), final_state(two))


@pytest.mark.parametrize("dispatches", [2, 5, 8])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_stopped_run_resumes_to_the_same_bits(
    data, tmp_path, monkeypatch, dispatches, average
):
    experiment = tiny(train={"average_decay": average, "patience": 9})
    check_resume(experiment, data, tmp_path, monkeypatch, dispatches)


def test_checkpoints_within_an_epoch_do_not_change_the_run(data, tmp_path):
    wanted = loop.fit(new_run(data, tmp_path / "plain"))
    often = new_run(data, tmp_path / "often", train={"checkpoint_every": 5})
    assert loop.fit(often) == wanted


def test_how_many_steps_a_dispatch_runs_does_not_change_the_run(data, tmp_path):
    wanted = loop.fit(new_run(data, tmp_path / "four"))
    single = new_run(data, tmp_path / "one", train={"steps_per_dispatch": 1})
    got = loop.fit(single)
    for task, values in wanted["test"]["tasks"].items():
        for name, value in values.items():
            assert got["test"]["tasks"][task][name] == pytest.approx(value, rel=1e-4)


def test_a_run_is_trained_anew_only_elsewhere(data, tmp_path):
    chosen = new_run(data, tmp_path / "run", train={"epochs": 1})
    loop.fit(chosen)
    before = chosen.metrics.read_bytes(), chosen.result
    with pytest.raises(ValueError, match=r"never overwritten: .*resume=True"):
        loop.fit(chosen)
    assert (chosen.metrics.read_bytes(), chosen.result) == before


def test_resuming_with_other_data_batch_size_or_seed_is_refused(data, tmp_path):
    chosen = new_run(data, tmp_path / "run")
    loop.fit(chosen)
    changed = tiny(train={"batch_size": 32, "seed": 5})
    with pytest.raises(ValueError, match=r"batch_size: 64 -> 32\n  train.seed: 0 -> 5"):
        same_run(chosen, changed)
    with_facts(chosen.directory / "data", fingerprint="other")
    (chosen.directory / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"other data .*data set: .* -> 'other'"):
        loop.fit(open_run(chosen.directory), resume=True)


def test_a_run_is_never_overwritten(data, tmp_path):
    new_run(data, tmp_path / "run")
    with pytest.raises(FileExistsError, match="never overwritten"):
        new_run(data, tmp_path / "run")
    assert free_directory("run", tmp_path) == tmp_path / "run-2"


def test_a_checkpoint_that_orbax_declines_is_an_error(data, tmp_path):
    chosen = new_run(data, tmp_path / "run")
    trainer = trainer_of(chosen.experiment, data.layout)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(trainer.init(), {})
        with pytest.raises(ValueError, match=r"0 cannot be written .*already steps 0"):
            checkpoints.save(trainer.init(), {})


def test_early_stopping_spends_its_patience(data, tmp_path):
    options = {"epochs": 30, "learning_rate": 0.3, "patience": 2}
    chosen = new_run(data, tmp_path / "run", train=options)
    result = loop.fit(chosen)
    records = [json.loads(line) for line in chosen.metrics.read_text().splitlines()]
    best = max(range(len(records)), key=lambda i: records[i]["score"])
    assert len(records) == best + 3 < 30
    assert result["step"] == records[best]["step"]
    assert result["validation"] == records[best]["validation"]


def test_divergence_is_an_error(data, tmp_path):
    options = {"learning_rate": 1e30, "optimizer": "sgd"}
    with pytest.raises((FloatingPointError, ValueError), match=r"not finite|NaN"):
        loop.fit(new_run(data, tmp_path / "run", train=options))


def test_every_kind_of_field_trains_with_users_and_sample_spaces(everything, tmp_path):
    chosen = new_run(everything, tmp_path / "run", train={"metric": "log_loss/click"})
    result = loop.fit(chosen)
    assert set(result["test"]["domains"]) == {"s0", "s1", "s2"}
    tasks = result["test"]["tasks"]
    assert tasks["buy"]["examples"] < tasks["click"]["examples"]
    assert tasks["click"]["grouped_auc"] is not None


def test_a_squared_task_learns_a_number(tmp_path):
    number = np.random.default_rng(0).normal(size=900)
    rows = pa.table({"x": number, "click": np.int8(number > 0), "time": 3 * number + 1})
    schema = Schema(
        (Field("x", "numeric", ("standard",)),),
        (Task("click"), Task("time", loss="squared")),
    )
    data = prepare(source(rows, schema), tmp_path / "prepared")
    options = {"metric": "rmse/time", "epochs": 8}
    chosen = new_run(data, tmp_path / "run", train=options)
    assert loop.fit(chosen)["test"]["tasks"]["time"]["rmse"] < 1
    records = [json.loads(line) for line in chosen.metrics.read_text().splitlines()]
    assert records[-1]["score"] == -records[-1]["metric"]


@pytest.mark.parametrize("kind", models.available())
def test_every_model_trains_on_every_kind_of_field(kind, everything):
    tree = {"model": {"kind": kind}, "train": TINY["train"]}
    experiment = config.from_dict(tree)
    loader = Loader(everything.split("train"), 64, 0)
    trainer = trainer_of(experiment, everything.layout, loader.steps_per_epoch)
    state, _ = trainer.steps(trainer.init(), loader.batches(0, 0, 4), 4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.trained))


def one_step(data, weighting, batch_size=64, **sections):
    experiment = tiny(**sections)
    loader = Loader(data.split("train"), batch_size, 0)
    model = models.build("ple", num_tasks=2, expert_dims=(7,), tower_dims=(5,))
    tables = Tables(data.layout, experiment.inputs)
    trainer = jitted(make_step(model, tables, weighting, experiment.train, 10))
    return trainer, trainer.steps(trainer.init(), loader.batches(0, 0, 3), 3)[0]


def test_a_weighting_may_merge_each_tasks_own_gradient(data):
    fixed = weightings.build("fixed", weights=(1.0, 3.0))

    def merge(memory, losses, grads):
        weigh = lambda g: jnp.einsum("t,t...->...", memory, g)
        return jax.tree.map(weigh, grads), memory

    merging = Weighting(fixed.init, fixed.combine, merge)
    _, wanted = one_step(data, fixed, train={"optimizer": "sgd"})
    _, got = one_step(data, merging, train={"optimizer": "sgd"})
    for a, b in zip(
        jax.tree.leaves(wanted.trained), jax.tree.leaves(got.trained), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_the_step_donates_its_state_and_compiles_once(data):
    trainer, state = one_step(data, weightings.build("fixed"))
    loader = Loader(data.split("train"), 64, 0)
    for first, count in ((3, 3), (6, 2)):
        before = jax.tree.leaves(state.trained)[0]
        state, _ = trainer.steps(state, loader.batches(0, first, 3), count)
        assert before.is_deleted()
    assert trainer.steps._cache_size() == 1
    assert int(state.step) == 8


def test_four_devices_take_the_same_step_as_one(data):
    fixed = weightings.build("fixed")
    trainer, wanted = one_step(data, fixed)
    mesh = make_mesh(4)
    state = placed(trainer, mesh)
    batches = Loader(data.split("train"), 64, 0).batches(0, 0, 3)
    batches = jax.device_put(batches, batch_shardings(mesh, batches))
    got, _ = trainer.steps(state, batches, 3)
    for a, b in zip(
        jax.tree.leaves(wanted.trained), jax.tree.leaves(got.trained), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_weight_decay_spares_biases_and_weightings(data):
    _, state = one_step(data, weightings.build("fixed"))
    decayed = dense.decay_mask(state.trained)
    for path, decays in jax.tree.leaves_with_path(decayed):
        name = jax.tree_util.keystr(path)
        assert decays == ("kernel" in name or "tables" in name), name


def test_the_rate_climbs_then_falls():
    rate = dense.learning_rate(
        Train(learning_rate=0.1, warmup_steps=10, schedule="linear", final_rate=0.5),
        total_steps=110,
    )
    np.testing.assert_allclose([rate(0), rate(5), rate(10)], [0, 0.05, 0.1], rtol=1e-6)
    np.testing.assert_allclose([rate(60), rate(110)], [0.075, 0.05], rtol=1e-5)


# The command line.


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tiny.toml").write_text(config.to_toml(tiny()))
    return tmp_path


def test_train_evaluate_predict(here, capsys):
    assert (
        call("train", "tiny.toml", "--train.epochs", "2", "--model.num-levels", "1")
        == 0
    )
    assert "click" in capsys.readouterr().out
    assert call("evaluate", "runs/tiny", "--split", "test", "--json") == 0
    measured = json.loads(capsys.readouterr().out)
    result = json.loads((here / "runs/tiny/result.json").read_text())
    assert measured["tasks"] == result["test"]["tasks"]
    assert set(measured["tasks"]["click"]) >= {
        "auc_roc",
        "log_loss",
        "calibration",
        "examples",
        "positives",
    }
    rows = synthetic.draw(**synthetic_options(), seed=9).drop_columns(["click", "like"])
    pq.write_table(rows, here / "new.parquet")
    assert call("predict", "runs/tiny", "new.parquet", "--out", "scores.parquet") == 0
    scores = pq.read_table("scores.parquet")
    assert scores.column_names == ["click", "like"]
    assert len(scores) == len(rows)
    assert 0 < np.min(scores["click"]) < np.max(scores["click"]) < 1
    pq.write_table(rows.slice(17, 5), here / "some.parquet")
    assert (
        call("predict", "runs/tiny", "some.parquet", "--out", "some-scores.parquet")
        == 0
    )
    assert pq.read_table("some-scores.parquet").equals(scores.slice(17, 5))


def synthetic_options():
    known = config.options("data", "synthetic")
    drawn = set(inspect.signature(synthetic.draw).parameters) - {"seed"}
    return {k: known[k].default for k in drawn} | {"examples": 300}


def test_a_run_directory_moves_alone(here, capsys, tmp_path):
    assert call("train", "tiny.toml", "--train.epochs", "1", "--run-dir", "a") == 0
    (here / "a").rename(here / "elsewhere")
    for left_behind in ("cache", "tiny.toml"):
        (here / left_behind).rename(here / f"{left_behind}.gone")
    capsys.readouterr()
    assert call("evaluate", "elsewhere", "--json") == 0
    measured = json.loads(capsys.readouterr().out)["tasks"]
    result = json.loads((here / "elsewhere" / "result.json").read_text())
    assert measured == result["test"]["tasks"]
    assert call("train", "--resume", "--run-dir", "elsewhere") == 0


def test_prepare_models_and_datasets(here, capsys):
    assert call("prepare", "tiny.toml", "--out", "prepared") == 0
    assert "validation" in capsys.readouterr().out
    assert call("prepare", "tiny.toml", "--out", "prepared") == 2
    assert "already exists" in capsys.readouterr().err
    (here / "again.toml").write_text(
        '[data]\nkind = "prepared"\ndirectory = "prepared"\n[train]\nepochs = 1\n'
        "batch_size = 64\n"
    )
    assert call("train", "again.toml") == 0
    capsys.readouterr()
    assert call("models", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)) == set(models.available())
    assert call("datasets", "--json") == 0
    assert json.loads(capsys.readouterr().out)["census_income"]["rows"] == 299_285
    assert call("models") == call("datasets") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "Name an experiment"),
        (["train", "tni.toml"], "Did you mean 'tiny.toml'"),
        (["train", "tiny.toml", "--model.kind", "pel"], "Did you mean 'ple'"),
        (["train", "tiny.toml", "--train.metric", "auc"], "not a known metric"),
        (
            ["train", "tiny.toml", "--train.metric", "auc_roc/clik"],
            "Did you mean 'click'",
        ),
        (["train", "tiny.toml", "--train.metric", "rmse"], "metric of click, like"),
        (["train", "tiny.toml", "--train.batch-size", "9999"], "at most the"),
        (
            ["train", "tiny.toml", "--train.warmup-steps", "10000"],
            "warmup_steps must be below the 54 steps of the whole run, got 10,000",
        ),
        (["train", "tiny.toml", "--weighting.weights", "0", "0"], "weighting.weights"),
        (["train", "tiny.toml", "--model.expert-dims", "0"], "expert_dims"),
        (["train", "tiny.toml", "--resume"], "--resume needs --run-dir"),
        (
            ["train", "--resume", "--run-dir", "x", "--train.epochs", "3"],
            "run directory",
        ),
        (["evaluate", "nowhere"], "not a run directory"),
        (["evaluate", ".", "--split", "tset"], "invalid choice"),
        (["train", "tiny.toml", "--train.epochz", "1"], "epochs"),
        (["predict", "nowhere", "x.csv", "--out", "y.csv"], "not a run directory"),
    ],
)
def test_mistakes_are_one_message(here, capsys, arguments, message):
    assert call(*arguments) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert not (here / "runs").exists()  # nor does a mistake leave a run behind


def test_predict_names_a_missing_column(data, here, capsys):
    loop.fit(new_run(data, here / "run", train={"epochs": 1}))
    pq.write_table(pa.table({"categry_0": ["v1"]}), here / "new.parquet")
    with pytest.raises(ValueError, match="Did you mean 'categry_0'"):
        files.predict_file(open_run(here / "run"), "new.parquet", here / "out.parquet")


def test_help_shows_the_knobs_of_the_experiment(here, capsys):
    assert call("train", "tiny.toml", "--help") == 0
    shown = capsys.readouterr().out
    assert "--model.experts-per-task" in shown
    assert "Experts that a task owns" in shown
    assert SCHEMA.tasks[0].name == "click"
