"""Planted links and hostile names: nothing outside of its place is written."""

import contextlib
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lib.attempts import OLDER, attempt, is_refused
from lib.tables import raw, write_csv

# What an attacker, or a careless person, leaves where a command will write.
IN_A_RUN = {
    "metrics.jsonl": "file",
    "metrics.partial": "file",
    "result.json": "nowhere",
    "result.partial": "file",
    "checkpoints/14.orbax-checkpoint-tmp": "folder",
    "checkpoints/14": "folder",
}
BESIDE_OUT = ("s.csv", "s.partial", "s.csv.partial", ".partial-0")
SECRET = "a secret"


def contents(folder):
    """Every path below a folder, and the bytes of its files."""
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def outside(tmp_path):
    """A folder that nothing may be written to."""
    (tmp_path / "outside" / "folder").mkdir(parents=True)
    (tmp_path / "outside" / "file").write_text(SECRET)
    return tmp_path / "outside"


def check_ends(tried, outside, before):
    """A command succeeded or was refused, and nothing outside has changed."""
    assert tried.status in (0, OLDER) or is_refused(tried), tried
    assert contents(outside) == before


@pytest.mark.parametrize(("name", "target"), IN_A_RUN.items())
def test_a_link_in_a_run_is_not_followed(name, target, stopped, outside, tmp_path):
    run, before = shutil.copytree(stopped, tmp_path / "run"), contents(outside)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(outside / target)
    tried = attempt("train", "--resume", "--run-dir", run)
    check_ends(tried, outside, before)


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
@pytest.mark.parametrize("target", ["file", "nowhere"])
@pytest.mark.parametrize("name", BESIDE_OUT)
def test_a_link_beside_scores_is_not_followed(
    name, target, options, whole, outside, tmp_path
):
    before = contents(outside)
    write_csv(tmp_path / "rows.csv", raw(41))
    (tmp_path / name).symlink_to(outside / target)
    asked = "predict", whole("lone").directory, tmp_path / "rows.csv"
    tried = attempt(*asked, "--out", tmp_path / "s.csv", *options)
    check_ends(tried, outside, before)


@pytest.mark.parametrize("target", ["file", "folder", "nowhere"])
@pytest.mark.parametrize("command", ["prepare", "train"])
def test_a_link_in_place_of_a_new_directory(
    command, target, shared, outside, tmp_path, stopped
):
    """An empty folder behind a link may be filled by a run; all else is refused."""
    (outside / "folder" / "kept").touch()
    before = contents(outside)
    (tmp_path / "new").symlink_to(outside / target)
    option = {"prepare": "--out", "train": "--run-dir"}[command]
    tried = attempt(command, shared.experiment, option, tmp_path / "new")
    assert is_refused(tried) or target == "nowhere", tried
    if target != "nowhere":
        assert contents(outside) == before


def test_a_control_that_writes_through_a_link_is_caught(
    stopped, outside, tmp_path, monkeypatch
):
    """The same check finds a journal that is written in place."""
    in_place = contextlib.contextmanager(lambda path: iter([path]))
    monkeypatch.setattr("ple_jax.runs.journal.replace_file", in_place)
    run, before = shutil.copytree(stopped, tmp_path / "run"), contents(outside)
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").symlink_to(outside / "nowhere")
    with pytest.raises(AssertionError, match="nowhere"):
        check_ends(attempt("train", "--resume", "--run-dir", run), outside, before)


# Names.

NAMES = {
    "up": "../../evil",
    "absolute": "/tmp/evil-of-ple-jax",
    "dots": "..",
    "slash": "a/b",
    "markup": "[/red]",
    "escape": "\x1b[31mred\x1b[0m",
    "C1": "\x9b31m",
    "bidi": "\u202egnp.exe",
    "long": "x" * 300,
    "nul": "a\x00b",
    "line": "a\nb",
    "empty": "",
    "spaces": "  ",
    "dataset": "labels",
}
ROLES = ("categorical", "numeric", "multi_valued", "task", "label", "domain")
ORDERS = "\x1b\x9b\u202e"  # what a terminal obeys


def schema(role, name):
    """A schema file in which this name has this role."""
    named = {r: r for r in ROLES} | {role: name}
    quoted = {r: json.dumps(n) for r, n in named.items()}
    return """
categorical = [{categorical}]
numeric = [{numeric}]
domain = "shop"
[fields.{multi_valued}]
kind = "multi_valued"
max_length = 3
[fields.other]
kind = "multi_valued"
table = {multi_valued}
[[tasks]]
name = {task}
column = {label}
[split]
seed = 3
fractions = [0.6, 0.2, 0.2]
""".format(**quoted)


def rows(role, name):
    """A table whose columns, or whose domains, have this name."""
    table = raw(199).to_pydict()
    columns = {
        "categorical": table["item"],
        "numeric": [float(p or 0) for p in table["price"]],
        "multi_valued": table["tags"],
        "other": table["history"],
        "label": table["click"],
        "shop": [name if role == "domain" and s == "s1" else s for s in table["shop"]],
    }
    return pa.table({name if k == role else k: v for k, v in columns.items()})


def made(role, name, folder):
    """An experiment of this name in a folder of its own."""
    pq.write_table(rows(role, name), folder / "rows.parquet")
    (folder / "schema.toml").write_text(schema(role, name))
    (folder / "tiny.toml").write_text(
        f'[data]\nkind = "table"\nschema = "{folder}/schema.toml"\n'
        f'files = ["{folder}/rows.parquet"]\n'
        '[model]\nkind = "separate"\ntower_dims = [3]\n'
        "[train]\nbatch_size = 32\nepochs = 1\ndevices = 1\n"
    )
    return folder / "tiny.toml"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_is_a_name_and_no_place(name, role, tmp_path):
    above = tmp_path / "a" / "b" / "c"
    above.mkdir(parents=True)
    experiment, before = made(role, name, above), contents(tmp_path)
    tried = attempt("prepare", experiment, "--out", above / "out")
    assert tried.status == 0 or is_refused(tried), tried
    assert not set(tried.out + tried.said) & set(ORDERS)
    new = set(contents(tmp_path)) - set(before)
    assert all(path.startswith(str(above / "out")) for path in new), new
    assert (above / "out").exists() == (tried.status == 0)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("up", "multi_valued"),
        ("markup", "task"),
        ("escape", "task"),
        ("bidi", "domain"),
    ],
)
def test_a_run_with_such_names_trains_and_scores(
    name, role, shared, tmp_path, monkeypatch
):
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    experiment, run = made(role, NAMES[name], tmp_path), tmp_path / "run"
    out, rows = tmp_path / "s.parquet", tmp_path / "rows.parquet"
    for command in (
        ("train", experiment, "--run-dir", run),
        ("evaluate", run),
        ("predict", run, rows, "--out", out),
        ("verify", run),
    ):
        tried = attempt(*command)
        assert not set(tried.out + tried.said) & set(ORDERS)
        if is_refused(tried) and command[0] == "train":
            return  # such a name may be refused, before anything is trained
        assert tried.status == 0, tried
    assert len(pq.read_table(out)) == 199
    made_here = {"cache", "run", "s.parquet", "rows.parquet", "schema.toml"}
    assert {path.name for path in tmp_path.iterdir()} == made_here | {"tiny.toml"}
