"""What the process does beside reading and writing files: nothing."""

import os
import pathlib
import subprocess
import sys

import pyarrow.csv
import pytest
from lib.training import TINY

import ple_jax
from ple_jax import config
from ple_jax.datasets import synthetic

# Python's own audit events: unpickling, network, other programs.
PROGRAM = """
import sys
BANNED = {"pickle.find_class", "marshal.loads", "subprocess.Popen", "os.system",
          "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind",
          "socket.getaddrinfo", "socket.sendto", "webbrowser.open"}
seen = set()
def note(event, arguments):
    if event in BANNED and not (event == "marshal.loads" and imports()):
        seen.add(event)
def imports():
    # Python reads its compiled modules so.
    frame = sys._getframe(2)
    return "importlib" in frame.f_code.co_filename
import jax, orbax.checkpoint, pyarrow.parquet  # what they do when they are imported
sys.addaudithook(note)
from ple_jax.cli.main import main
WORK
print(*sorted(seen), sep="\\n", file=open("seen", "w"), end="")
"""
WORK = """
for line in [
    "train tiny.toml --run-dir run",
    "evaluate run",
    "verify run",
    "predict run rows.csv --out scores.csv",
    "train --resume --run-dir run",
]:
    assert main(line.split()) == 0, line
"""
CONTROLS = {
    "socket.connect": "import socket; socket.socket().connect_ex(('127.0.0.1', 9))",
    "socket.bind": "import socket; socket.socket().bind(('127.0.0.1', 0))",
    "pickle.find_class": "import pickle; pickle.loads(pickle.dumps(main))",
    "subprocess.Popen": "import subprocess; subprocess.run(['true'])",
}


def events(work, folder):
    """The banned events of a new process that does this work."""
    house = str(pathlib.Path(ple_jax.__file__).parents[1])
    paths = {"PYTHONPATH": house, "PLE_JAX_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("WORK", work)],
        cwd=folder,
        env=os.environ | paths,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return (folder / "seen").read_text().split()


def test_no_network_no_port_no_pickle_and_no_other_program(tmp_path):
    tiny = {**TINY, "train": {**TINY["train"], "epochs": 1}}
    (tmp_path / "tiny.toml").write_text(config.to_toml(config.from_dict(tiny)))
    rows = next(iter(synthetic.build(examples=5).chunks())).table
    pyarrow.csv.write_csv(rows, tmp_path / "rows.csv")
    assert events(WORK, tmp_path) == []


@pytest.mark.parametrize("event", CONTROLS)
def test_such_an_event_is_seen_control(event, tmp_path):
    assert event in events(CONTROLS[event], tmp_path)
