"""The front door: rows in memory train the run that the same rows in a file do."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lib.tables import SCHEMA, SCHEMA_TEXT, raw, write_csv
from lib.training import TINY, assert_same, call, final_state, records

import ple_jax
from ple_jax.data.frames import chunks_of, table_of
from ple_jax.runs.directory import open_run

MODEL = TINY["model"]
KNOBS = {"inputs": TINY["inputs"], "train": {**TINY["train"], "epochs": 1}}


def typed():
    """The raw rows, with numbers as numbers."""
    rows = raw()
    for name, kind in {"price": pa.float64(), "click": pa.int8()}.items():
        rows = rows.set_column(
            rows.column_names.index(name), name, rows[name].cast(kind)
        )
    return rows


class Capsule:
    """Rows that are known by their Arrow interface alone."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def as_pandas(table):
    return pytest.importorskip("pandas").DataFrame(table.to_pydict())


def as_polars(table):
    return pytest.importorskip("polars").from_arrow(table)


FORMS = {
    "arrow": lambda table: table,
    "capsule": Capsule,
    "dict of lists": lambda table: table.to_pydict(),
    "dict of arrays": lambda table: {
        name: np.array(column.to_pylist()) if name != "price" else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    },
    "pandas": as_pandas,
    "polars": as_polars,
    "categories": lambda table: table.set_column(
        0, "shop", table["shop"].dictionary_encode()
    ),
    "views": lambda table: table.set_column(
        0, "shop", table["shop"].cast(pa.string_view())
    ),
}


@pytest.fixture(scope="module")
def by_file(tmp_path_factory):
    """A folder with rows.csv, and the run that the command line trains on it."""
    folder = tmp_path_factory.mktemp("by_file")
    write_csv(folder / "rows.csv")
    (folder / "schema.toml").write_text(SCHEMA_TEXT)
    knobs = {"model": MODEL, **KNOBS}
    data = {"kind": "table", "schema": str(folder / "schema.toml")}
    tree = {"data": {**data, "files": [str(folder / "rows.csv")]}, **knobs}
    lines = []
    for section, values in tree.items():
        lines += [
            f"[{section}]",
            *(f"{k} = {json.dumps(v)}" for k, v in values.items()),
        ]
    (folder / "experiment.toml").write_text("\n".join(lines))
    place = folder / "run"
    assert call("train", folder / "experiment.toml", "--run-dir", place) == 0
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run that the front door trains on the same rows."""
    place = tmp_path_factory.mktemp("front") / "run"
    return ple_jax.fit(typed(), SCHEMA, model=MODEL, run_dir=place, **KNOBS)


def test_the_run_is_that_of_the_command_line_to_the_bit(by_file, run):
    other = open_run(by_file / "run")
    assert run.data.fingerprint == other.data.fingerprint
    assert_same(final_state(run.run)[0], final_state(other)[0])
    assert records(run.run) == records(other)
    ours, theirs = (one.directory / "result.json" for one in (run, other))
    assert ours.read_bytes() == theirs.read_bytes()
    names = lambda place: sorted(p.name for p in place.iterdir())
    assert names(run.directory) == names(other.directory)
    same = dataclasses.replace(run.run.experiment, data=other.experiment.data)
    assert same == other.experiment


def test_what_it_records_trains_again(run, tmp_path):
    again = tmp_path / "again"
    file = run.directory / "experiment.toml"
    assert call("train", file, "--run-dir", again) == 0
    assert ple_jax.open(again).result == run.result


def test_scores_are_those_of_the_command_line(by_file, run, tmp_path):
    out = tmp_path / "scores.parquet"
    rows = by_file / "rows.csv"
    assert call("predict", by_file / "run", rows, "--out", out) == 0
    assert run.predict(typed()).equals(pq.read_table(out))
    assert ple_jax.open(by_file / "run").predict(raw()).equals(pq.read_table(out))


def test_measures_are_those_of_the_command_line(by_file, run, capsys):
    assert call("evaluate", by_file / "run", "--split", "validation", "--json") == 0
    assert run.evaluate("validation") == json.loads(capsys.readouterr().out)
    assert run.evaluate()["tasks"] == run.result["test"]["tasks"]
    with pytest.raises(ValueError, match="Did you mean 'validation'"):
        run.evaluate("validaton")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_rows_is_the_same_data(run, form):
    rows = form(typed())
    scored, wanted = run.predict(rows), run.predict(typed())
    np.testing.assert_array_equal(scored["click"], wanted["click"])
    assert table_of(rows).column_names == typed().column_names


@pytest.mark.parametrize("form", ["dict of lists", "pandas", "polars"])
def test_every_form_of_rows_prepares_the_same_data(run, form, tmp_path):
    again = ple_jax.fit(
        FORMS[form](typed()), SCHEMA, model=MODEL, run_dir=tmp_path / "run", **KNOBS
    )
    assert again.data.fingerprint == run.data.fingerprint


def test_files_are_data_too(by_file, run, tmp_path):
    files = [by_file / "rows.csv"]
    again = ple_jax.fit(files, SCHEMA, model=MODEL, run_dir=tmp_path / "run", **KNOBS)
    wanted = open_run(by_file / "run").data.fingerprint
    assert again.data.fingerprint == wanted == run.data.fingerprint


def test_rows_are_not_copied_where_they_need_not_be():
    price = np.arange(7.0)
    rows = table_of({"price": price, "shop": ["a"] * 7})
    address = lambda column: column.chunk(0).buffers()[1].address
    assert address(rows["price"]) == price.ctypes.data
    (chunk,) = chunks_of(rows)
    for name in rows.column_names:
        assert address(chunk.table[name]) == address(rows[name])


def test_chunks_are_bounded_and_numbered(monkeypatch):
    monkeypatch.setattr("ple_jax.data.frames.MOST_ROWS", 3)
    chunks = list(chunks_of(table_of({"a": range(7)})))
    assert [(c.first, len(c.table)) for c in chunks] == [(0, 3), (3, 3), (6, 1)]


def test_a_pandas_frame_keeps_its_index(run):
    pandas = pytest.importorskip("pandas")
    frame = as_pandas(typed().slice(0, 5)).set_index(pandas.Index([9, 7, 7, 5, 3]))
    scored = run.predict(frame)
    assert isinstance(scored, pandas.DataFrame)
    assert list(scored.columns) == ["click", "buy", "stars"]
    assert scored.index.equals(frame.index)
    assert set(scored.dtypes) == {np.dtype(np.float32)}


def test_a_polars_frame_gives_one(run):
    polars = pytest.importorskip("polars")
    scored = run.predict(as_polars(typed().slice(0, 5)))
    assert isinstance(scored, polars.DataFrame)
    assert scored.schema == dict.fromkeys(["click", "buy", "stars"], polars.Float32)


def test_rows_to_score_need_inputs_alone(run):
    inputs = typed().select(["history", "price", "shop", "item", "tags"])
    assert run.predict(inputs).equals(run.predict(typed()))
    assert len(run.predict(inputs.slice(0, 0))) == 0
    with pytest.raises(ValueError, match=r"the data has no column 'tags'"):
        run.predict(inputs.drop_columns(["tags"]))


def test_unknown_ids_follow_the_rules_of_files(run, capsys):
    rows = typed().set_column(1, "item", pa.array(["x"] * len(typed())))
    with pytest.raises(ValueError, match=r"'item' are unknown.*allow_unknown"):
        run.predict(rows)
    assert len(run.predict(rows, allow_unknown=True)) == len(rows)
    assert "warning: 100.00% of the values of field 'item'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"trian": {}}, "Did you mean 'train'"),
        ({"modl": "ple"}, r"argument of fit. .*'model'.* seeds, run_dir, model, weigh"),
        ({"data": "rowz.csv"}, "There is no file 'rowz.csv'"),
        ({"data": ["a.csv", 3]}, "got list"),
        ({"train": {"epoch": 3}}, "Did you mean 'epochs'"),
        ({"model": "pel"}, "Did you mean 'ple'"),
        ({"train": 3}, r"\[train\] must be a table"),
        ({"seeds": 2, "train": {"seeds": 3}}, "given twice"),
        ({"sweep": {"train": {"learning_rat": [1.0]}}}, "Did you mean 'learning_rate'"),
        ({"schema": {"categorcal": ["shop"]}}, "Did you mean 'categorical'"),
        (
            {"schema": {"ignored": ["*"], "numeric": ["prize"]}},
            "one field and one task",
        ),
        ({"schema": 7}, "schema must be the path"),
        ({"data": [1, 2]}, "Expected a pandas or polars frame.* got list"),
        ({"data": {"a": [1], "b": [1, 2]}}, "columns are no table"),
        ({"data": {"shop": ["a"]}}, "no column 'item'"),
        ({"data": typed().slice(0, 0)}, "no rows"),
        ({"train": {"batch_size": 10**6}}, "batch_size must be at most"),
    ],
)
def test_a_mistake_leaves_nothing_behind(knobs, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = {"data": typed(), "schema": SCHEMA, **knobs}
    with pytest.raises(ValueError, match=message):
        ple_jax.fit(**arguments)
    assert [p for p in tmp_path.rglob("*") if p != tmp_path / "runs"] == []


def test_errors_name_row_and_column():
    rows = typed().to_pydict()
    rows["click"][12] = 3
    with pytest.raises(ValueError, match=r"the data, row 13, column 'click'.* got 3"):
        ple_jax.fit(rows, SCHEMA)


def test_the_directory_has_the_models_name(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fitted = ple_jax.fit(run.data, model=MODEL, **KNOBS)
    assert fitted.directory == pathlib.Path("runs/ple")
    assert "run directory: runs/ple" in capsys.readouterr().err
    assert fitted.result == run.result
    with pytest.raises(FileExistsError, match="not empty"):
        ple_jax.fit(run.data, run_dir="runs/ple")
    with pytest.raises(ValueError, match="name no other"):
        ple_jax.fit(run.data, SCHEMA)


@pytest.fixture(scope="module")
def seeds(run, tmp_path_factory):
    """Three seeds of the same, with numbers of NumPy among the knobs."""
    place = tmp_path_factory.mktemp("seeds") / "run"
    train = {**KNOBS["train"], "learning_rate": np.float64(0.01)}
    inputs = KNOBS["inputs"]
    return ple_jax.fit(
        run.data, model=MODEL, inputs=inputs, train=train, seeds=3, run_dir=place
    )


def test_several_seeds_are_trials_and_the_best_predicts(run, seeds):
    assert list(seeds.trials) == ["seed=0", "seed=1", "seed=2"]
    scores = {name: trial.score for name, trial in seeds.trials.items()}
    best = seeds.trials[max(scores, key=scores.get)]
    assert seeds.best is best
    assert seeds.score == max(scores.values())
    validation = best.evaluate("validation")["tasks"]
    means = [m["auc_roc"] for m in validation.values()]
    assert seeds.score == pytest.approx(np.mean(means), abs=1e-12)
    assert seeds.predict(typed()).equals(best.predict(typed()))
    assert seeds.evaluate() == best.evaluate()
    assert seeds.trials["seed=0"].result["step"] == run.result["step"]


def test_a_run_is_opened_and_resumed(seeds, run):
    again = ple_jax.open(str(seeds.directory))
    assert repr(again) == f"TrainedRun({str(seeds.directory)!r}, 3 trials)"
    assert again.resume().result == seeds.result
    assert ple_jax.open(run.directory).resume().result == run.result
    with pytest.raises(ValueError, match="not a run directory"):
        ple_jax.open(run.directory.parent)


def test_a_stopped_run_says_how_to_continue(run, tmp_path, monkeypatch):
    def stop(asked):
        raise ple_jax.front.loop.Stopped("SIGINT")

    place = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(ple_jax.front.loop, "stop_if", stop)
        with pytest.raises(ple_jax.front.loop.Stopped) as stopped:
            ple_jax.fit(run.data, model=MODEL, run_dir=place, **KNOBS)
    call_again = str(stopped.value).partition("continue with ")[2]
    with pytest.raises(ValueError, match="is not finished"):
        _ = ple_jax.open(place).result
    assert eval(call_again).result == run.result


def test_tables_are_text_and_html(run, seeds):
    text = repr(run.table())
    auc = run.result["test"]["tasks"]["click"]["auc_roc"]
    assert "validation" in text
    assert f"{auc:.4f}" in text
    page = run.table()._repr_html_()
    assert "<caption>test</caption>" in page
    assert "by domain</caption>" in page
    assert "<th>95 % over users</th>" in page
    assert f"<td>{auc:.4f}</td>" in page
    assert "seed=2" in repr(seeds.table())
    assert "<th>95 % over seeds</th>" in seeds.table()._repr_html_()
    assert "± " in repr(seeds.table("log_loss", by_domain=True))
    with pytest.raises(ValueError, match="Did you mean 'log_loss'"):
        run.table("log_los")
    assert [r["epoch"] for r in run.history] == [0]


def test_importing_the_package_imports_nothing_heavy():
    program = (
        "import sys, ple_jax; 'fit' in dir(ple_jax) or sys.exit('no fit');"
        "heavy = {'jax', 'numpy', 'pyarrow', 'rich'} & set(sys.modules);"
        "assert not heavy, heavy; ple_jax.fit; assert 'jax' in sys.modules;"
        "assert not {'pandas', 'polars', 'sklearn', 'IPython'} & set(sys.modules);"
        "ple_jax.sklearn.MultiTaskClassifier"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        _ = ple_jax.fitt
