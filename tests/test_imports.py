"""Imports point down, and what is heavy has one home."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent / "ple_jax"
# A room imports only from rooms of a lower number, or from itself.
FLOORS = [
    {"types", "registry", "schema", "traced"},
    {"config", "sweep", "typed", "layers", "losses", "metrics", "streaming", "writers"},
    {"models", "weightings", "data", "domains", "optimizers", "row_optimizers"},
    {"sharding", "checkpoint", "state", "train", "feed", "evaluate", "run", "process"},
    {"loop", "predict", "replicas", "replica_loop", "study"},
    {"cli", "flags", "__main__", "__init__"},
]
HOMES = {
    "orbax": {"checkpoint"},
    "tyro": {"flags"},
    "argparse": {"cli"},
    "rich": {"writers"},
    "pyarrow": {"data", "predict"},
}


def room_of(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[0].removesuffix(".py")


def imports(path: pathlib.Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module == "ple_jax":
                yield from (f"ple_jax.{name.name}" for name in node.names)
            else:
                yield node.module


def floor_of(room: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    room = room_of(path)
    for name in imports(path):
        if name.startswith("ple_jax."):
            other = name.split(".")[1]
            if other.startswith("__"):
                continue
            same_floor = floor_of(other) == floor_of(room)
            assert floor_of(other) < floor_of(room) or same_floor, (room, other)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_libraries_have_one_home(path):
    for name in imports(path):
        allowed = HOMES.get(name.split(".")[0])
        assert allowed is None or room_of(path) in allowed, (path, name)


def test_the_core_needs_neither_the_command_line_nor_pictures():
    banned = ["tyro", "matplotlib", "sklearn", "pandas"]
    program = (
        "import sys; import ple_jax.loop, ple_jax.predict; "
        f"sys.exit(' '.join(m for m in {banned} if m in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_help_does_not_import_jax():
    program = (
        "import sys; from ple_jax.cli import parser; parser(); "
        "sys.exit('jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
