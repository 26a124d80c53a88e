"""Every benchmark runs in its quick form and prints JSON; figures are not judged."""

import ast
import importlib
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from ple_jax.data.examples import Examples
from ple_jax.data.prepare import prepare
from ple_jax.schema import Task

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
SCRIPTS = {path.stem: path for path in sorted(FOLDER.glob("*.py"))}
SHARED = {path.parent.name for path in FOLDER.glob("*/__init__.py")}
PEERS = ("--environment", sys.prefix, "--libraries", "ple-jax")  # ours alone
# Draws its data on the spot, so that no file is needed.
EXPERIMENT = """
[data]
kind = "synthetic"
examples = 3000
[model]
kind = "ple"
num_levels = 2
experts_per_task = 1
shared_experts = 1
expert_dims = [8]
tower_dims = [4]
[train]
epochs = 2
batch_size = 128
eval_batch_size = 256
"""


def quick(name: str, folder: pathlib.Path, *arguments: str):
    """What a benchmark prints; the package is that of this checkout."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    settings = {
        "PLE_JAX_CACHE": str(folder / "cache"),
        "TMPDIR": str(folder),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # as in this process: compiles fast
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    ran = subprocess.run(
        [sys.executable, SCRIPTS[name], "--quick", "--json", *arguments],
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture
def experiment(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(EXPERIMENT, encoding="utf-8")
    return str(path)


@pytest.fixture
def lib(monkeypatch):
    """Lets a test import `benchmarks.lib`; its modules import each other relatively."""
    monkeypatch.syspath_prepend(str(ROOT))


def imported(path: pathlib.Path) -> set[str]:
    """First names of the modules that a file imports absolutely."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda p: p.stem)
def test_no_script_is_the_library_of_another(path):
    assert not imported(path) & SCRIPTS.keys()


def test_no_name_shadows_another_module():
    # The folder of a script is the first place where Python looks for a module.
    ours = [p.relative_to(ROOT).with_suffix("") for p in ROOT.glob("ple_jax/**/*.py")]
    package = {part for path in ours for part in path.parts}
    installed = set(importlib.metadata.packages_distributions())
    taken = package | installed | sys.stdlib_module_names
    assert not (SCRIPTS.keys() | SHARED) & taken


def test_torch_has_one_home():
    of_torch = {"torch", "torch_rechub", "deepctr_torch"}
    outside = [p for p in FOLDER.rglob("*.py") if p.parent.name != "peers"]
    assert not any(imported(path) & of_torch for path in outside)
    # Only what needs torch: what the package's Python can run belongs to lib.
    for path in FOLDER.glob("peers/*.py"):
        assert "torch" in imported(path) or path.name == "__init__.py"


def test_readme_has_every_script():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}.py`" in text for name in SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_is_a_question_and_names_the_script(name):
    text = ast.get_docstring(ast.parse(SCRIPTS[name].read_text(encoding="utf-8")))
    question, _, usage = text.partition("\n")
    assert question.endswith("?")
    assert f"python benchmarks/{name}.py " in usage


def test_input_speed_loads_prepares_and_feeds(tmp_path):
    loader, preparing, feed = quick("input_speed", tmp_path)["results"]
    assert loader["warm, rows/s"] > 0
    assert preparing["rows"] == 20_000
    ways = ("sent", "trained, sent", "trained, from disk", "scored")
    assert min(feed[way] for way in ways) > 0


@pytest.mark.slow
def test_preparing_is_measured_over_all_of_its_processes(tmp_path):
    (record,) = quick("prepare_scale", tmp_path, "--part", "rows")["results"]
    assert (record["rows"], record["workers"]) == (25_000, 2)
    assert record["with files, MB"] >= record["peak, MB"] > 100  # of three processes


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "cost_of_domains",
        "cost_of_tables",
        "cost_of_trials",
        "cost_of_weightings",
        "exchange",
        "step_by_part",
        "step_vs_floor",
    ],
)
def test_steps_are_timed(tmp_path, name):
    printed = quick(name, tmp_path)
    assert printed["machine"]["processor"]
    figures = [v for record in printed["results"] for v in record.values()]
    assert all(v > 0 for v in figures if isinstance(v, float))


@pytest.mark.slow
def test_cost_of_tables_times_what_auto_chooses_by(tmp_path):
    (record,) = quick("cost_of_tables", tmp_path, "--auto")["results"]
    assert record["rows an id"] < 3
    assert record["auto"] == "dense"
    assert record["dense / rows"] > 0


@pytest.mark.slow
def test_one_gpu_answers_every_question(tmp_path):
    printed = quick("one_gpu", tmp_path)
    sections = printed["sections"]
    for name in ("rates", "step", "tables", "domains", "trials", "input"):
        figures = [v for r in sections[name]["results"] for v in r.values()]
        assert min(v for v in figures if isinstance(v, int | float)) > 0
    assert {r["model"] for r in sections["step"]["results"]} == {"ple", "mmoe"}
    assert "updates by rows are faster" in sections["tables"]["notes"][0]
    if jax.default_backend() == "cpu":
        assert "no GPU figure" in printed["verdict"]


def test_one_gpu_says_what_does_not_fit_its_time(tmp_path):
    sections = quick("one_gpu", tmp_path, "--minutes", "0")["sections"]
    assert not any(section["results"] for section in sections.values())
    assert "skipped" in sections["step"]["notes"][0]


def test_crossing_is_where_straight_logarithms_meet_one(lib):
    from benchmarks.lib.tables import crossing

    # rows / 700 is above one from 700 on; the reading at 3 is noise below it.
    ratios = {3: 1.4, 100: 1 / 7, 1000: 10 / 7, 5000: 50 / 7}
    assert crossing(ratios) == "from about 700 rows on"
    assert crossing({100: 0.5, 900: 0.9}) == "nowhere up to 900 rows"
    assert crossing({1100: 1.5, 9000: 3.0}) == "from 1,100 rows or fewer on"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["main_job", "time_to_first_step", "epochs_vs_peers"])
def test_experiments_are_timed(tmp_path, experiment, name):
    of_peers = PEERS if name == "epochs_vs_peers" else ()
    (record,) = quick(name, tmp_path, "--experiment", experiment, *of_peers)["results"]
    assert any(v > 0 for v in record.values() if isinstance(v, float))


@pytest.mark.slow
def test_scoring_speed_scores_prepared_and_raw_rows(tmp_path, experiment):
    (record,) = quick("scoring_speed", tmp_path, "--experiments", experiment)["results"]
    assert record["raw rows"] == 3000
    assert min(record[k] for k in ("prepared", "csv", "parquet")) > 0


# A column of numbers, one computed from it, and a label; the split is a column.
DERIVED = """
categorical = ["tens"]
numeric = ["a"]
[derived.tens]
kind = "difference"
of = ["a", "b"]
edges = [10, 20]
[[tasks]]
name = "y"
[split]
by = "column"
column = "split"
"""


@pytest.fixture
def derived(tmp_path):
    """A schema with a derived column, and its file."""
    splits = ["train", "train", "validation", "test"]
    rows = [
        f"{i % 31},{i % 7},{i % 2},{splits[i % 4 - i // 4 % 4]}" for i in range(400)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,y,split", *rows, ""]))
    (tmp_path / "schema.toml").write_text(DERIVED)
    return tmp_path


@pytest.mark.slow
def test_scoring_speed_reads_derived_columns(derived):
    data = f'kind = "table"\nschema = "{derived}/schema.toml"\n'
    data += f'files = ["{derived}/rows.csv"]\n'
    synthetic = 'kind = "synthetic"\nexamples = 3000\n'
    text = EXPERIMENT.replace(synthetic, data).replace("128", "64")
    (derived / "small.toml").write_text(text)
    asked = "--experiments", str(derived / "small.toml")
    (record,) = quick("scoring_speed", derived, *asked)["results"]
    assert record["read and encode"] > 0


def test_trees_read_derived_columns(derived, lib):
    pytest.importorskip("sklearn")
    trees = importlib.import_module("benchmarks.lib.trees")
    sets = importlib.import_module("benchmarks.lib.sets")
    source = sets.source_of(f"{derived}/schema.toml:{derived}/rows.csv")
    encoded = sets.with_encodings(source, trees.NUMBERS)
    own = trees.Inputs.of(prepare(encoded, derived / "prepared"))
    seen = [own.seen(split, 0) for split in trees.SPLITS]
    x, labels = (np.concatenate(each) for each in zip(*seen, strict=True))
    assert labels.sum() == len(x) / 2 == 200
    assert len(np.unique(x[:, 0])) == 3  # buckets
    assert (own.rows > 0).sum() == 1
    assert x.shape[1] == len(own.rows) > 2  # a count and a mean beside the id
    values = own.data.encoder.vocabularies["tens"].to_pydict()
    named = dict(zip(values["id"], values["value"], strict=True))
    before, after = (one.x["train"][:, 0] for one in (own, own.by_value()))
    ranked = dict(zip(after.tolist(), before.tolist(), strict=True))
    assert [named[ranked[rank]] for rank in sorted(ranked)] == sorted(named.values())


def test_trees_are_searched_and_their_scores_kept(tmp_path):
    pytest.importorskip("sklearn")
    kept = tmp_path / "trees.npz"
    asked = "--scores", str(kept)
    records = quick("auc_of_trees", tmp_path, *asked)["results"]
    assert all(r["first, validation"] <= r["validation"] <= 1 for r in records)
    with np.load(kept) as scores:
        assert {r["task"] for r in records} == scores.keys()
        assert all(len(scores[r["task"]]) == len(r["each"]) for r in records)
    assert all(len(r["each"]) == (1 if r["trial"] == 0 else 2) for r in records)


def test_a_run_is_above_trees_by_its_own_area(lib):
    pairs = importlib.import_module("benchmarks.lib.pairs")
    labels = np.array([[0.0], [1.0], [0.0], [1.0], [1.0]])
    test = Examples.of(
        {
            "ids": np.zeros((5, 0), np.int32),
            "numbers": np.zeros((5, 0), np.float32),
            "domain": np.zeros(5, np.int32),
            "labels": labels.astype(np.float32),
            "observed": np.array([[True]] * 4 + [[False]]),
            "weights": np.ones(5, np.float32),
        }
    )
    run = np.array([[0.0, 2, 1, 3, -9], [0, 1, 2, 3, -9]])  # areas 1 and 3/4
    trees = np.array([[3.0, 1, 0, 2, 9]])  # area 1/2
    found = pairs.difference(test, 0, Task("like", "l"), run, trees)
    assert (found["run"], found["trees"]) == (0.875, 0.5)
    assert found["difference"] == 0.375
    low, high = found["interval"]
    assert low < 0.375 < high


@pytest.mark.slow
def test_out_of_the_box_holds_a_contest(tmp_path):
    pytest.importorskip("sklearn")
    contenders = ["single_task", "trees+"]
    records = quick("out_of_the_box", tmp_path, "--contenders", *contenders)["results"]
    assert {r["contender"] for r in records} == {*contenders}
    assert len(records) == 2 * len({r["task"] for r in records})
    assert all(0 < r["auc"] < 1 for r in records)
    assert all(r["test error"] > 0 for r in records if r["contender"] == "trees+")


def test_wide_inputs_cost_what_they_hold(tmp_path):
    cases = "common", "histories"
    common, long = quick("wide_inputs", tmp_path, "--cases", *cases)["results"]
    # Ids and numbers; domain; labels and whether they are observed; weight.
    assert common["loader, bytes"] == 4 * (16 + 8) + 4 + 2 * 5 + 4
    assert long["loader, bytes"] - common["loader, bytes"] == 4 * 5 * 200
    assert common["gather, bytes"] == 4 * 16 * 16
    assert long["gather, bytes"] == 4 * 16 * (16 + 5 * 200)
    assert all(v > 0 for r in (common, long) for k, v in r.items() if "us" in k)
    assert common["most together"] == long["most together"] == 32


@pytest.mark.slow
def test_step_vs_peers_times_our_step(tmp_path):
    records = quick("step_vs_peers", tmp_path, *PEERS)
    assert {r["model"] for r in records} == {"ple", "mmoe"}
    assert all(r["median"] > 0 for r in records)
