"""A file of a run is damaged: noticed, or of no consequence; never silent."""

import os
import shutil

import numpy as np
import pytest
from lib.attempts import OLDER, attempt, is_refused
from lib.snapshots import differences, held
from lib.tables import raw, write_csv

FILES = {
    "experiment": "experiment.toml",
    "manifest": "manifest.json",
    "facts": "data/dataset.json",
    "encoder": "data/encoder.json",
    "vocabularies": "data/vocabularies/*",
    "train": "data/train/**/*.npy",
    "validation": "data/validation/**/*.npy",
    "test": "data/test/**/*.npy",
    "variables": "checkpoints/*/variables/**/*",
    "training": "checkpoints/*/training/**/*",
    "progress": "checkpoints/*/progress/*",
    "score": "checkpoints/*/metrics/*",
    "metadata": "checkpoints/*/_*",
    "journal": "metrics.jsonl",
    "result": "result.json",
}
COMMANDS = ("evaluate", "predict", "resume", "verify")


@pytest.fixture(scope="module")
def rows(shared):
    """A file to score."""
    write_csv(shared.folder / "new.csv", raw(41, seed=1))
    return shared.folder / "new.csv"


@pytest.fixture(scope="module")
def asked(stopped, whole, rows, tmp_path_factory):
    """(command) -> its run, and what it gives if nothing is damaged."""
    folder, runs = tmp_path_factory.mktemp("clean"), {}
    for command in COMMANDS:
        run = stopped if command == "resume" else whole("lone").directory
        copy = shutil.copytree(run, folder / command)
        runs[command] = run, ask(command, copy, rows)
        assert runs[command][1][0].status == 0, runs[command]
    return runs


def ask(command, run, rows):
    """How a command ends on a run, and what it leaves or prints."""
    if command == "predict":
        out = run.with_name("scores.csv")
        out.unlink(missing_ok=True)
        tried = attempt("predict", run, rows, "--out", out)
        return tried, out.read_bytes() if out.exists() else None
    if command == "resume":
        tried = attempt("train", "--resume", "--run-dir", run)
        return tried, held(run) if tried.status != 2 else None
    tried = attempt(command, run, *["--json"] * (command == "evaluate"))
    if command == "verify" and tried.status == 0:
        return tried, held(run) | data(run)  # what it vouches for
    return tried, tried.out


def data(run):
    """The bytes of a run's data set."""
    found = [path for path in sorted((run / "data").rglob("*")) if path.is_file()]
    return {str(path.relative_to(run)): path.read_bytes() for path in found}


def files(run, kind):
    return sorted(path for path in run.glob(FILES[kind]) if path.is_file())


# What may happen to a file.


def flip(path, rng):
    content = bytearray(path.read_bytes())
    bit = int(rng.integers(8 * len(content)))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return f"bit {bit} flipped"


def cut(path, rng):
    size = int(rng.integers(path.stat().st_size))
    os.truncate(path, size)
    return f"cut to {size} bytes"


def delete(path, rng):
    path.unlink()
    return "deleted"


def delete_some(path, rng):
    """What a process leaves that dies while it deletes the folder."""
    found = [p for p in sorted(path.parent.rglob("*")) if p.is_file()]
    gone = rng.permutation(len(found))[: rng.integers(1, len(found) + 1)]
    for i in gone:
        found[i].unlink()
    return f"deleted, and {len(gone) - 1} more files of its folder"


def is_same(command, got, wanted, allowed=()):
    """Whether a command gave what it gives without damage, but for some files."""
    if command in ("evaluate", "predict"):
        return got == wanted
    changed = differences(got, wanted)
    # Without a manifest a run is an old one. A damaged checkpoint is put aside.
    return all(
        name in ("manifest.json", *allowed) or ".damaged" in name for name in changed
    )


@pytest.mark.drawn(1)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", FILES)
def test_a_flipped_bit_is_noticed_or_harmless(
    kind, command, seed, asked, rows, tmp_path
):
    try_damage(flip, kind, command, seed, asked, rows, tmp_path)


@pytest.mark.drawn(1)
@pytest.mark.parametrize("damage", [cut, delete, delete_some])
@pytest.mark.parametrize("kind", FILES)
def test_a_cut_or_missing_file_is_noticed_or_harmless(
    kind, damage, seed, asked, rows, tmp_path
):
    drawn = np.random.default_rng([seed, *kind.encode(), *damage.__name__.encode()])
    command = COMMANDS[drawn.integers(len(COMMANDS))]
    try_damage(damage, kind, command, seed, asked, rows, tmp_path)


def try_damage(damage, kind, command, seed, asked, rows, tmp_path):
    """Damages a file of this kind in a copy of a run; checks what a command does."""
    (run, (_, wanted)), rng = asked[command], np.random.default_rng(seed)
    copy = shutil.copytree(run, tmp_path / "run")
    if not (found := files(copy, kind)):
        pytest.skip(f"the run has no {kind} yet")
    path = found[rng.integers(len(found))]
    what = damage(path, rng)
    print(f"{path.relative_to(copy)}: {what}; then {command}")
    check(command, copy, rows, wanted, str(path.relative_to(copy)))


def check(command, run, rows, wanted, damaged):
    """It was refused in one sentence, or gave the same; a warning may name the file."""
    tried, got = ask(command, run, rows)
    if is_refused(tried):
        return
    assert tried.status in (0, OLDER), tried
    allowed = [damaged] if f"{damaged} is gone" in tried.said else []
    assert is_same(command, got, wanted, allowed), f"silent: {tried}"


def test_a_control_without_checksums_is_caught(asked, rows, tmp_path, monkeypatch):
    """The same check finds one bit of the learning rate, if no checksum does."""
    monkeypatch.setattr("ple_jax.runs.manifest.check", lambda directory: True)
    run, (_, wanted) = asked["resume"]
    copy = shutil.copytree(run, tmp_path / "run")
    path = copy / "experiment.toml"
    path.write_text(path.read_text().replace("rate = 0.03", "rate = 0.07"))
    with pytest.raises(AssertionError, match="silent"):
        check("resume", copy, rows, wanted, path.name)
