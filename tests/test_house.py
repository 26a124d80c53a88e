"""The walls: rooms import downwards only, and what is heavy has one home."""

import ast
import functools
import pathlib
import re
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).parents[1]
ROOT = REPOSITORY / "ple_jax"
# From the ground up, as the documentation has them: a room imports only earlier ones.
DESIGN = (REPOSITORY / "docs" / "design.md").read_text(encoding="utf-8")
MAP = re.search(r"```text\nple_jax/\n(.*?)\n\S", DESIGN, re.DOTALL)[1]
ROOMS = [*re.findall(r"^  (\w+)", MAP, re.MULTILINE), "__main__"]
# Rooms that must not know each other, although the order would let them.
APART = {
    "layers": {"disk", "schema", "layout", "plugins", "show", "parallel"},
    "models": {"disk", "schema", "layout", "show", "parallel"},
    "serve": {"studies"},
}
HOMES = {
    "orbax": {"train/storage.py"},
    "argparse": {"cli"},
    "shtab": {"cli/completion.py"},
    "rich": {"show"},
    "optuna": {"studies/search.py"},
    "tensorboard": {"sinks/tensorboard.py"},
    "mlflow": {"sinks/mlflow.py"},
    "wandb": {"sinks/wandb.py"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "pyspark": {"engines"},
    "ray": {"engines"},
    "distributed": {"engines"},
    "pyarrow": {"data", "datasets", "guess", "serve", "studies/tidy.py"},
}
MOST_FLOORS = 12  # a report stands on analyses, which stand on studies of runs


def module_of(path: pathlib.Path) -> str:
    """A file's module below the package: "train.step"; "models" of an `__init__`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and parts[1:] else parts)


FILES = {module_of(path): path for path in sorted(ROOT.rglob("*.py"))}
MODULES = sorted(set(FILES) - {"__init__"})


def room_of(module: str) -> str:
    return module.partition(".")[0]


def imported(path: pathlib.Path):
    """Dotted names that a file imports; `from a import b` gives a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


@functools.cache
def ours(module: str) -> frozenset[str]:
    """The modules of this package that a module imports."""
    ours = (n for n in imported(FILES[module]) if n.startswith("ple_jax"))
    names = [n.removeprefix("ple_jax.") for n in ours]
    found = {n if n in FILES else n.rpartition(".")[0] for n in names}
    return frozenset((found & set(FILES)) - {module, "__init__"})


def between_rooms() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {room: set() for room in ROOMS}
    for module in MODULES:
        graph[room_of(module)] |= {room_of(m) for m in ours(module)}
    return {room: others - {room} for room, others in graph.items()}


def test_the_documentation_lists_every_room_once():
    assert sorted(ROOMS) == sorted({room_of(module) for module in MODULES})


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_rooms_before_it(module):
    room = room_of(module)
    for other in {room_of(m) for m in ours(module)} - {room}:
        assert ROOMS.index(other) < ROOMS.index(room), (module, other)
        assert other not in APART.get(room, ()), (module, other)


def test_the_loop_does_not_serve():
    loops = {"train.loop", "train.group"}
    serving = [m for m in MODULES if room_of(m) == "serve"]
    assert not [(m, ours(m) & loops) for m in serving if ours(m) & loops]


def circle_from(module: str, path: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A circle of imports within a room that a walk from this file meets, or ()."""
    if module in path:
        return (*path[path.index(module) :], module)
    near = [m for m in ours(module) if room_of(m) == room_of(module)]
    circles = (circle_from(m, (*path, module)) for m in near)
    return next(filter(None, circles), ())


@pytest.mark.parametrize("module", MODULES)
def test_files_of_a_room_do_not_import_in_circles(module):
    assert not circle_from(module)


def test_the_house_has_few_floors():
    graph = between_rooms()

    @functools.cache
    def floor(room):
        return 1 + max(map(floor, graph[room]), default=0)

    assert max(map(floor, ROOMS)) <= MOST_FLOORS, {r: floor(r) for r in ROOMS}


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_have_one_home(module):
    place = FILES[module].relative_to(ROOT).as_posix()
    for name in imported(FILES[module]):
        homes = HOMES.get(name.partition(".")[0])
        assert homes is None or homes & {place, room_of(module)}, (module, name)


def test_the_core_needs_neither_the_command_line_nor_pictures():
    banned = ["ple_jax.cli", "matplotlib", "sklearn", "pandas"]
    program = (
        "import sys; import ple_jax.train.loop, ple_jax.serve.files; "
        f"sys.exit(' '.join(m for m in {banned} if m in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_help_does_not_import_jax():
    program = (
        "import sys; from ple_jax.cli.main import parser; parser(); "
        "sys.exit('jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
