"""The two files of `init`: read back by the strict readers, and trained as they are."""

import json
import re
import tomllib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lib.training import call

from ple_jax import config
from ple_jax.data.schema_file import read_schema
from ple_jax.datasets import table
from ple_jax.guess.columns import sample_of
from ple_jax.guess.roles import Asked, guess
from ple_jax.guess.start import next_steps, start
from ple_jax.schema import Task

ODD = ['it"em.[x]', "two\nlines", "#no", "ключ", "a\\b\x7f", "\u202eevil", "=", "'"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path


def write_odd(path, rows=601, **more):
    """A file with columns of odd names and values, lists, times and chained labels."""
    rng = np.random.default_rng(0)
    click = rng.random(rows) < 0.4
    columns = {name: [ODD[i] for i in rng.integers(0, 8, rows)] for name in ODD}
    columns["tags [odd]"] = ["|".join(rng.choice(ODD, 3)) for _ in range(rows)]
    columns["history"] = [list(map(int, rng.integers(0, 9, 4))) for _ in range(rows)]
    columns["watch_time"] = rng.random(rows)
    columns["when"] = pa.array(np.arange(rows) * 10**9, pa.timestamp("ns"))
    columns["is_click"] = click
    columns["is_conversion"] = click & (rng.random(rows) < 0.5)
    pq.write_table(pa.table(columns | more), path)


def test_odd_names_are_read_back(here):
    write_odd(here / "odd [1].parquet")
    made = start(["odd [1].parquet"], Asked(), here / "new")
    assert made.schema == here / "new/odd_1_schema.toml"
    schema = read_schema(made.schema)
    assert [f.name for f in schema.fields] == [*ODD, "tags [odd]", "history"]
    assert [(t.name, t.given) for t in schema.tasks] == [
        ("is_click", None),
        ("is_conversion", "is_click"),
    ]
    assert (schema.split.by, schema.split.column) == ("time", "when")
    assert schema.fields[-2].separator == "|"
    data = config.load_as_written(made.experiment)["data"]
    assert data["files"] == ["../odd [1].parquet"]
    assert data["schema"] == "odd_1_schema.toml"
    experiment = config.from_dict(config.load(made.experiment))
    source = table.build(**experiment.data.options)
    assert sum(len(chunk.table) for chunk in source.chunks()) == 601


def test_all_that_is_switched_off_can_be_switched_on(here):
    rng = np.random.default_rng(0)
    words = [" ".join(rng.choice(list("abcdefgh"), 6)) for _ in range(601)]
    write_odd(here / "odd.parquet", note=words, shop=rng.choice(["n", "s"], 601))
    made = start(["odd.parquet"], Asked(time="none"))
    text = made.schema.read_text(encoding="utf-8")
    _, rest = text.split("\n\n", 1)
    on = re.sub("^# ", "", rest, flags=re.MULTILINE)
    on, times = re.subn('    "note",  # text.*\n', "", on)
    assert times == 1
    assert 'and take "note" out of `ignored`' in on
    made.schema.write_text(on, encoding="utf-8")
    schema = read_schema(made.schema)
    assert schema.tasks[-1] == Task("watch_time", loss="squared")
    assert {c.name: c.of for c in schema.derived} == {"note_words": ("note",)}
    assert (schema.domain, schema.unseen_domain) == ("shop", "own")
    assert (schema.split.by, schema.split.column) == ("time", "when")
    made = start(["odd.parquet"], Asked(), here / "by")
    text = made.schema.read_text(encoding="utf-8")
    assert '# [derived.when_hour]\n# kind = "hour"\n# of = "when"\n' in text


def test_other_encodings_are_read(here):
    rows = "".join(f"{'Zürich' if i % 3 else 'Bern'},{i % 2}\n" for i in range(60))
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "latin-1"):
        (here / "rows.csv").write_bytes(("city,click\n" + rows).encode(encoding))
        made = start(["rows.csv"], Asked(), here / encoding)
        assert made.guess.sample.columns["city"].texts == ["Zürich", "Bern"]
        known = {"latin-1": "cp1252"}.get(encoding, encoding)
        assert read_schema(made.schema).format.encoding == known
        said = f"The text is read as {known}: [format] says so."
        assert next_steps(made)[0] == said
        schema = read_schema(made.schema)
        chunks = table.source_of([here / "rows.csv"], schema).chunks()
        assert sum(len(chunk.table) for chunk in chunks) == 60


def test_editors_find_the_schema_of_schemas(here):
    jsonschema = pytest.importorskip("jsonschema")
    write_odd(here / "odd.parquet")
    made = start(["odd.parquet"], Asked(), here / "new")
    first = made.schema.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("#:schema ./")
    path = made.schema.parent / first.removeprefix("#:schema ")
    written = tomllib.loads(made.schema.read_text(encoding="utf-8"))
    jsonschema.validate(written, json.loads(path.read_text(encoding="utf-8")))


def test_the_format_is_read_back(here):
    rows = "".join(f"{i % 7};NULL;{i % 2}\n" for i in range(60))
    (here / "bare.csv").write_text(rows)
    made = start(["bare.csv"], Asked())
    form = read_schema(made.schema).format
    assert form == guess(sample_of(["bare.csv"])).sample.form
    assert (form.delimiter, form.header, form.missing) == (";", False, ("NULL",))
    assert len(form.columns) == 3


def test_without_a_label_the_line_to_edit_is_said(here, capsys):
    rows = "".join(f"{i % 7},{i % 5}\n" for i in range(60))
    (here / "none.csv").write_text("a,b\n" + rows)
    assert call("init", "none.csv") == 0
    said = capsys.readouterr().err
    number = int(said.split("in line ")[1].split(" ")[0])
    line = (here / "none_schema.toml").read_text().splitlines()[number - 1]
    assert line == 'column = "EDIT THIS: the column to predict"'
    assert call("train", "none.toml") == 2
    assert "no column 'EDIT THIS: the column to predict'" in capsys.readouterr().err
    assert call("init", "none.csv", "--label", "b", "--overwrite") == 0
    assert "next: ple-jax train none.toml" in capsys.readouterr().err


def test_nothing_is_overwritten(here, capsys):
    (here / "rows.csv").write_text("a,click\n" + "1,0\n2,1\n2,0\n" * 30)
    (here / "rows.toml").write_text("mine")
    assert call("init", "rows.csv") == 2
    assert "rows.toml already exists" in capsys.readouterr().err
    assert (here / "rows.toml").read_text() == "mine"
    assert not (here / "rows_schema.toml").exists()
    assert call("init", "rows.csv", "--name", "other") == 0
    assert call("init", "rows.csv", "--overwrite") == 0
    assert (here / "rows.toml").read_text() != "mine"


def test_what_is_no_table_to_learn_from_is_said(here, capsys):
    keys = "".join(f"{i},{i % 2}\n" for i in range(60))
    files = {
        "keys": ("id,click\n" + keys, "No column is left to learn from: "),
        "twice": ("a,a,click\n1,2,0\n3,4,1\n", "column 'a' more than once"),
        "empty": ("", "cannot be read"),
    }
    for name, (text, message) in files.items():
        (here / f"{name}.csv").write_text(text)
        assert call("init", f"{name}.csv") == 2
        said = " ".join(capsys.readouterr().err.split())
        assert message in said
    assert list(here.glob("*.toml")) == []


@pytest.mark.parametrize("asked", [["none.csv"], ["rows.csv", "--label", "clik"]])
def test_mistakes_are_one_sentence(here, capsys, asked):
    (here / "rows.csv").write_text("a,click\n" + "1,0\n2,1\n2,0\n" * 30)
    assert call("init", *asked) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "Did you mean" in said
    assert list(here.glob("*.toml")) == []


def test_three_commands_from_a_file_to_scores(here, capsys):
    write_odd(here / "odd.parquet", 1601)
    assert call("init", "odd.parquet") == 0
    shown = capsys.readouterr()
    assert "label, given is_click" in shown.out
    assert "next: ple-jax train odd.toml" in shown.err
    tiny = "--model.expert-dims 3 --train.epochs 1 --train.devices 1".split()
    assert call("train", "odd.toml", *tiny) == 0
    assert call("predict", "runs/odd", "odd.parquet", "--out", "scores.parquet") == 0
    assert pq.read_table("scores.parquet").num_rows == 1601


def test_the_last_line_says_what_to_do(here):
    (here / "rows.csv").write_text("a,click\n" + "1,0\n2,1\n2,0\n" * 30)
    made = start(["rows.csv"], Asked(), here / "my files")
    assert next_steps(made) == [f"next: ple-jax train '{here}/my files/rows.toml'"]
