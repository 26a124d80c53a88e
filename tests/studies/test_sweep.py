"""Sweeps: from lists to points, to groups that train together, to one table."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from lib.training import TINY, assert_near, assert_same, call, final_state, records

from ple_jax import config
from ple_jax.config import flags, sweep
from ple_jax.metrics.spread import spread
from ple_jax.runs.directory import create_run, open_run
from ple_jax.show.escape import printable
from ple_jax.studies import sweeps
from ple_jax.train import loop
from ple_jax.train.grouping import together


@pytest.fixture(scope="module")
def data(prepared):
    return prepared("synthetic", examples=600)


def of(lists, **sections):
    """The sweep of the tiny experiment with these lists."""
    tree = {s: {**TINY.get(s, {}), **sections.get(s, {})} for s in {*TINY, *sections}}
    tree, lists = sweep.taken(tree | {"sweep": lists})
    plain = lambda kinds: config.from_dict(config.with_kinds(tree, kinds)[0])
    return sweep.of(plain, lists)


def names(asked):
    return [r.name for r in asked.trials]


# From lists to points.


def test_points_are_the_product_of_the_lists_and_each_has_its_seeds():
    lists = {"train": {"learning_rate": [0.1, 1]}, "model.num_levels": [1, 2]}
    asked = of(lists, train={"seeds": 2, "seed": 5})
    assert names(asked) == [
        f"learning_rate={rate},num_levels={levels},seed={seed}"
        for rate in ("0.1", "1")
        for levels in (1, 2)
        for seed in (5, 6)
    ]
    last = asked.trials[-1]
    assert last.point == "learning_rate=1,num_levels=2"
    assert last.experiment.train.learning_rate == 1.0
    assert last.experiment.train.seed == 6
    assert last.experiment.train.seeds == 1
    assert last.experiment.model.options["num_levels"] == 2


def test_seeds_without_a_sweep():
    assert names(of({}, train={"seeds": 3})) == ["seed=0", "seed=1", "seed=2"]
    assert names(of({"train": {"seed": [7, 3]}})) == ["seed=7", "seed=3"]


def test_names_are_folders_and_tell_sections_apart():
    lists = {
        "model.kind": ["ple", "mmoe"],
        "weighting.kind": ["fixed"],
        "weighting.weights": [[1.0, 2.5]],
        "train.metric": ["auc_roc/click"],
    }
    assert names(of(lists))[1] == (
        "model.kind=mmoe,weighting.kind=fixed,weights=1.0+2.5,metric=auc_roc_click,"
        "seed=0"
    )


ODD = [
    "../../evil",
    ".._.._evil",
    "/etc/passwd",
    "a\nb",
    "[/red]",
    "\x1b[31m",
    "..",
    "",
]


def test_names_are_no_paths_and_tell_values_apart():
    asked = of({"inputs.frozen": [[name] for name in ODD]})
    assert len(set(names(asked))) == len(ODD)
    for name in names(asked):
        assert pathlib.PurePath(name).name == name
        assert printable(name) == name
        assert "/" not in name
    again = of({"inputs.frozen": [[name] for name in ODD]})
    assert names(again) == names(asked)


@pytest.mark.parametrize("letter", ["x", "é", "用"])
def test_a_long_name_is_cut_and_stays_its_own(letter, tmp_path):
    asked = of({"inputs.frozen": [[letter * 300 + end] for end in "ab"]})
    assert len(set(names(asked))) == 2
    for name in names(asked):
        assert len(name.encode()) <= 255
        (tmp_path / name).mkdir()


def test_a_sweep_of_too_many_trials_is_refused_at_once():
    with pytest.raises(ValueError, match=r"asks for 4,000,000,000 trials, and at most"):
        of({"train.learning_rate": [0.1, 0.2]}, train={"seeds": 2 * 10**9})


def test_another_kind_takes_the_options_that_fit():
    asked = of({"model.kind": ["ple", "shared_bottom"]}, model={"num_levels": 1})
    options = asked.trials[1].experiment.model.options
    assert "num_levels" not in options
    assert options["tower_dims"] == (5,)


def test_a_sweep_reads_back_as_it_was(tmp_path):
    lists = {"train.learning_rate": [0.1, 1e-3], "model.expert_dims": [[7], [5, 3]]}
    asked = of(lists, train={"seeds": 2})
    path = tmp_path / "experiment.toml"
    path.write_text(asked.to_toml())
    tree, again = sweep.taken(config.load(path))
    assert config.from_dict(tree) == asked.base
    by_name = {r.name: r.experiment for r in asked.trials}
    assert sweep.recorded(asked.base, again, by_name.get).trials == asked.trials


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (3, r"\[sweep\] must be a table"),
        ({"trian.seed": [1]}, "Did you mean 'train'"),
        ({"train.sede": [1]}, "Did you mean 'seed'"),
        ({"model.num_level": [1]}, "Did you mean 'num_levels'"),
        ({"model.kind": ["pel"]}, "Did you mean 'ple'"),
        ({"model.kind": [3]}, "model.kind: expected str, got 3"),
        ({"train.learning_rate": 0.1}, "must be a list of values, got 0.1"),
        ({"train": {"learning_rate": "0.1"}}, "must be a list of values, got '0.1'"),
        ({"train.learning_rate": []}, "is an empty list"),
        (
            {"train.learning_rate": ["x"]},
            "learning_rate: expected float or 'auto', got 'x'",
        ),
        ({"train.learning_rate": [-1.0]}, "must be above 0"),
        ({"train.epochs": [1.5]}, "train.epochs: expected int or 'auto', got 1.5"),
        ({"weighting.weights": [1.0]}, "expected a list of float, got 1.0"),
        ({"train": [1]}, "must name a knob"),
        ({"data.seed": [1, 2]}, "all trials read one data set"),
        ({"train.seeds": [1, 2]}, "sweep train.seed"),
        ({"train.seed": [1, 1]}, "the same trial twice: seed=1"),
    ],
)
def test_mistakes_are_explained(lists, message):
    with pytest.raises(ValueError, match=message):
        of(lists)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"model.dropout_rate": [0.5, 1.5]}, r"dropout_rate must be in \[0, 1\)"),
        ({"weighting.weights": [[], [1.0, 2.0, 3.0]]}, "each of the 2 tasks"),
        ({"train.metric": ["auc_roc", "auc"]}, "not a known metric"),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(lists, message, data, tmp_path):
    with pytest.raises(ValueError, match=message):
        sweeps.create(tmp_path / "s", of(lists), data)
    assert not (tmp_path / "s").exists()


def test_flags_name_lists_too():
    line = "--train.epochs 2 --sweep.train.learning-rate 1e-3 3 --model.kind mmoe"
    line += " --sweep.model.expert-dims=[7] --sweep.train.optimizer adam sgd"
    _, knobs = flags.split(line.split())
    single, lists = flags.split_sweep(knobs)
    assert single == {"train.epochs": ["2"], "model.kind": ["mmoe"]}
    assert lists == {
        "train.learning_rate": [0.001, 3],
        "model.expert_dims": [[7]],
        "train.optimizer": ["adam", "sgd"],
    }
    with pytest.raises(ValueError, match="learning_rate is swept"):
        flags.check_not_swept(["train.learning_rate"], ["train.learning_rate"])


# From points to groups.


def grouped(data, folder, lists, **sections):
    asked = of(lists, **sections)
    made = sweeps.create(folder, asked, data)
    return [[one.directory.name for one in g] for g in together(made.runs)]


def test_what_keeps_shapes_trains_together(data, tmp_path):
    lists = {"train.learning_rate": [0.1, 0.2], "model.discriminator_weight": [0.1, 1]}
    found = grouped(data, tmp_path / "a", lists, model={"kind": "mulann"})
    assert [len(g) for g in found] == [4]


def test_a_zero_that_leaves_a_part_out_goes_apart(data, tmp_path):
    lists = {"model.dropout_rate": [0.0, 0.1, 0.2]}
    found = grouped(data, tmp_path / "a", lists, train={"seeds": 2})
    assert [len(g) for g in found] == [2, 4]


def test_what_decides_a_shape_or_a_branch_goes_apart(data, tmp_path):
    lists = {"model.num_levels": [1, 2], "train.learning_rate": [0.1, 0.2]}
    assert [len(g) for g in grouped(data, tmp_path / "a", lists)] == [2, 2]
    # Python looks at this number: initial values are made of it by NumPy.
    lists = {"model.same": [0.5, 0.9], "train.seed": [1, 2]}
    options = {"kind": "cross_stitch"}
    found = grouped(data, tmp_path / "b", lists, model=options)
    assert found == [
        [f"same={same},seed={seed}" for seed in (1, 2)] for same in (0.5, 0.9)
    ]


# To one table.


def test_the_spread_is_numpys_and_students():
    # Quantiles of Student's t at 0.975 for 1, 4 and 29 degrees, as tables have them.
    for count, t in ((2, 12.706), (5, 2.776), (30, 2.045)):
        values = np.random.default_rng(count).normal(size=count)
        found = spread(values.tolist())
        assert found["trials"] == count
        assert found["mean"] == pytest.approx(values.mean(), rel=1e-12)
        deviation = values.std(ddof=1)
        assert found["standard_deviation"] == pytest.approx(deviation, rel=1e-12)
        half = t * deviation / np.sqrt(count)
        wanted = [values.mean() - half, values.mean() + half]
        assert found["interval"] == pytest.approx(wanted, abs=3e-4 * half)


def test_the_spread_of_one_of_none_and_of_undefined_values():
    nothing = {"standard_deviation": None, "interval": None}
    assert spread([0.5]) == {"trials": 1, "mean": 0.5, **nothing}
    assert spread([None]) == {"trials": 0, "mean": None, **nothing}
    assert spread([0.5, None]) == {"trials": 1, "mean": 0.5, **nothing}


def test_points_of_different_shapes_run_one_after_another(data, tmp_path, monkeypatch):
    kinds = ("ple", "mmoe")
    lists = {"model.kind": [*kinds], "train.learning_rate": [0.01, 1e30]}
    settings = {"epochs": 1, "seeds": 2, "optimizer": "sgd"}
    made = sweeps.create(tmp_path / "s", of(lists, train=settings), data)
    groups, fit = [], loop.fit_group
    noted = lambda runs, *rest: groups.append(len(runs)) or fit(runs, *rest)
    monkeypatch.setattr(loop, "fit_group", noted)
    result = sweeps.fit(made)
    assert groups == [4, 4]
    assert list(result["trials"]) == names(made.sweep)
    assert json.loads((tmp_path / "s" / "result.json").read_text()) == result
    assert not (tmp_path / "s" / "checkpoints").exists()
    for kind in kinds:
        point = result["points"][f"kind={kind},learning_rate=0.01"]
        each = [
            result["trials"][f"kind={kind},learning_rate=0.01,seed={i}"] for i in (0, 1)
        ]
        values = [r["test"]["tasks"]["click"]["auc_roc"] for r in each]
        assert point["test"]["click"]["auc_roc"] == spread(values)
        assert "examples" not in point["test"]["click"]
        diverged = result["trials"][f"kind={kind},learning_rate=1e+30,seed=0"]
        assert diverged["diverged"] > 0
    assert result["points"]["kind=ple,learning_rate=1e+30"]["test"] == {}
    against = result["differences"]
    best, (other,) = against["best"], against["tasks"]["click"]
    assert {best, other} == {f"kind={kind},learning_rate=0.01" for kind in kinds}
    means = {k: result["points"][k]["test"]["click"]["auc_roc"] for k in (best, other)}
    found = against["tasks"]["click"][other]
    wanted = means[best]["mean"] - means[other]["mean"]
    assert found["mean"] == pytest.approx(wanted)
    assert found["over_rows"][0] < found["mean"] < found["over_rows"][1]
    assert found["over_seeds"][0] < found["mean"] < found["over_seeds"][1]
    groups.clear()
    assert sweeps.fit(made, resume=True) == result
    assert groups == []


def test_a_lone_point_is_its_lone_run_to_the_bit(data, tmp_path):
    lists = {"model.kind": ["ple", "mmoe"]}
    settings = {"average_decay": 0.9, "epochs": 2}
    made = sweeps.create(tmp_path / "s", of(lists, train=settings), data)
    result = sweeps.fit(made)
    for run in made.runs:
        name = run.directory.name
        lone = create_run(tmp_path / name, run.experiment, data)
        assert result["trials"][name] == loop.fit(lone)
        assert records(run) == records(lone)
        (state, record), (wanted, of_lone) = map(final_state, (run, lone))
        assert_same(state, wanted)
        assert record == of_lone


def test_a_lone_point_that_diverges_does_not_stop_the_others(data, tmp_path):
    lists = {"train.clip_norm": [0.0, 1e-30]}  # the second hardly moves
    settings = {"epochs": 1, "optimizer": "sgd", "learning_rate": 1e30}
    made = sweeps.create(tmp_path / "s", of(lists, train=settings), data)
    one, two = sweeps.fit(made)["trials"].values()
    assert one == {"step": None, "epochs": 0, "diverged": two["step"]}
    assert two["epochs"] == 1


def test_all_that_diverge_stop_the_study(data, tmp_path):
    settings = {"epochs": 1, "seeds": 2, "optimizer": "sgd", "learning_rate": 1e30}
    made = sweeps.create(tmp_path / "s", of({}, train=settings), data)
    with pytest.raises(FloatingPointError, match="all trials"):
        sweeps.fit(made)


def test_the_old_names_still_work(data, tmp_path):
    """`train.replicas` and a folder `replicas`, as directories of before have them."""
    made = sweeps.create(tmp_path / "s", of({}, train={"seeds": 2, "epochs": 1}), data)
    folder = made.directory
    (folder / "trials").rename(folder / "replicas")
    for path in (folder, *(folder / "replicas").iterdir()):
        (path / "manifest.json").unlink()
        file = path / "experiment.toml"
        file.write_text(file.read_text().replace("seeds = ", "replicas = "))
    with pytest.raises(ValueError, match=r"holds 2 trials.* in .*/replicas: seed=0"):
        open_run(folder)
    again = sweeps.open_sweep(folder, sweeps.recorded(folder))
    assert again.sweep.base.train.seeds == 2
    assert list(sweeps.fit(again, resume=True)["trials"]) == ["seed=0", "seed=1"]
    assert not (folder / "trials").exists()


def test_other_trials_or_knobs_are_not_resumed(data, tmp_path):
    made = sweeps.create(tmp_path / "s", of({}, train={"seeds": 2}), data)
    with pytest.raises(ValueError, match="other trials"):
        sweeps.open_sweep(made.directory, of({}, train={"seeds": 3}))
    with pytest.raises(ValueError, match="epochs: 3 -> 4"):
        sweeps.open_sweep(made.directory, of({}, train={"seeds": 2, "epochs": 4}))
    with pytest.raises(FileExistsError, match="never overwritten"):
        sweeps.create(tmp_path / "s", made.sweep, data)
    lone = create_run(tmp_path / "lone", made.sweep.trials[0].experiment, data)
    with pytest.raises(ValueError, match="as a sweep"):
        sweeps.open_sweep(lone.directory, made.sweep)


# The command line.


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    text = config.to_toml(config.from_dict(TINY))
    lists = "[sweep]\ntrain.learning_rate = [0.01, 0.03]\n[sweep.model]\nkind = "
    (tmp_path / "tiny.toml").write_text(f'{text}{lists}["ple", "mmoe"]\n')
    return tmp_path


def test_train_evaluate_resume(here, capsys):
    flags = ["--train.seeds", "2", "--train.epochs", "1"]
    assert call("train", "tiny.toml", *flags, "--sweep.model.kind", "mmoe", "star") == 0
    shown = capsys.readouterr().out
    result = json.loads(pathlib.Path("runs/tiny/result.json").read_text())
    assert len(result["trials"]) == 8
    name = "learning_rate=0.03,kind=star,seed=1"
    assert name in shown
    assert f"test, {result['differences']['best']} against the others" in shown
    assert call("evaluate", f"runs/tiny/trials/{name}", "--json") == 0
    measured = json.loads(capsys.readouterr().out)
    assert_near(measured["tasks"], result["trials"][name]["test"]["tasks"])
    assert call("evaluate", "runs/tiny") == 2
    assert "holds 8 trials" in capsys.readouterr().err
    assert call("train", "--resume", "--run-dir", "runs/tiny") == 0
    assert capsys.readouterr().out == shown
    assert call("table", "runs/tiny") == 0
    assert capsys.readouterr().out == shown
    assert call("table", "runs/tiny", "--metric", "calibration", "--format", "csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "task,point,n,calibration,95 % over seeds,95 % over examples" in lines
    assert call("table", f"runs/tiny/trials/{name}", "--json") == 0
    assert json.loads(capsys.readouterr().out) == result["trials"][name]
    assert call("evaluate", f"runs/tiny/trials/{name}", "--metric", "auc_rok") == 2
    assert "Did you mean 'auc_roc'" in capsys.readouterr().err
    assert call("table", "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err
    resume = ["--resume", "--run-dir", "runs/tiny", "--train.epochs", "2"]
    assert call("train", *resume) == 2
    assert "name no knobs" in capsys.readouterr().err
    assert call("prepare", "tiny.toml", "--out", "prepared") == 0


def test_mistakes_of_the_command_line(here, capsys):
    for arguments, message in (
        (["--train.learning-rate", "1"], "train.learning_rate is swept"),
        (["--sweep.train.learning-rate"], "is an empty list"),
        (["--sweep.train.learning-rat", "1"], "Did you mean 'learning_rate'"),
        (["--train.seeds", "0"], "train.seeds must be at least 1"),
    ):
        assert call("train", "tiny.toml", *arguments) == 2
        assert message in capsys.readouterr().err.replace("\n", " ")
    assert not pathlib.Path("runs").exists()
    assert call("train", "tiny.toml", "--help") == 0
    shown = capsys.readouterr().out
    assert "--sweep.SECTION.KNOB" in shown
    assert "--train.seeds" in shown


def test_a_stopped_process_is_continued(here):
    """The whole way, through a process of its own and a real signal."""
    command = [sys.executable, "-m", "ple_jax", "train"]
    knobs = ["--train.seeds", "2", "--train.epochs", "200", "--run-dir", "run"]
    knobs += ["--sweep.model.kind", "mmoe", "--sweep.train.learning-rate", "0.01"]
    knobs += ["--train.steps-per-dispatch", "1", "--train.patience", "3"]
    process = subprocess.Popen(
        [*command, "tiny.toml", *knobs], stderr=subprocess.PIPE, text=True
    )
    journal = here / "run/trials/learning_rate=0.01,kind=mmoe,seed=1/metrics.jsonl"
    while process.poll() is None and not (journal.exists() and journal.read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert "--resume --run-dir run" in said
    assert not (here / "run/result.json").exists()
    done = subprocess.run(
        [*command, "--resume", "--run-dir", "run"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((here / "run/result.json").read_text())
    for name, one in result["trials"].items():
        lines = (here / "run/trials" / name / "metrics.jsonl").read_text()
        epochs = [json.loads(line)["epoch"] for line in lines.splitlines()]
        assert epochs == list(range(one["epochs"]))
        assert name in done.stdout


def test_a_record_that_is_older_than_a_knob_may_have_it_in_some_trials(data, tmp_path):
    """One kind of model had the knob before the base's had it."""

    def asked(window):
        tree = {**TINY, "model": {"kind": "shared_bottom", "norm_window": window}}
        of = lambda kinds: config.from_dict(config.with_kinds(tree, kinds)[0])
        return sweep.of(of, {"model.kind": ("shared_bottom", "star")})

    made = sweeps.create(tmp_path / "s", asked(0.1), data)
    for folder in (made.directory, made.runs[0].directory):
        file = folder / "experiment.toml"
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(x for x in lines if not x.startswith("norm_window")))
        (folder / "manifest.json").unlink()
    again = sweeps.open_sweep(made.directory, asked(0.0))  # as for a file without it
    windows = [run.experiment.model.options["norm_window"] for run in again.runs]
    assert windows == [0.0, 0.1]
    with pytest.raises(ValueError, match=r"model.norm_window: 0.0 -> 0.2"):
        sweeps.open_sweep(made.directory, asked(0.2))
