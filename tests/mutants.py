"""Scores the tests by mutants: changes one place of the code, and runs its tests.

    python tests/mutants.py                    40 mutants of each room, seed 0
    python tests/mutants.py losses --sample 0  all of one room

cosmic-ray makes the mutants, in a copy of the last commit. A mutant of `step.py` meets
`test_step.py` first, then tests that name `step`, then the others, until one fails.
Left out are operators that nobody confuses (`a | b` for `a + b`), lest a score be
flattered by mutants that die when they are imported.
"""

import argparse
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import WorkerOutcome, WorkItem, WorkResult

ROOT = pathlib.Path(__file__).parents[1]
# Room: its code, and the tests that speak of it.
ROOMS = {
    "losses": ("losses.py", "tests/test_losses.py"),
    "metrics": ("metrics", "tests/metrics"),
    "data": ("data", "tests/data tests/serve"),
    "train": ("train", "tests/train tests/weightings"),
}
CONFIG = """
[cosmic-ray]
module-path = "ple_jax/{code}"
timeout = {timeout}
excluded-modules = []
test-command = "{python} {script} --try-out {room}"
[cosmic-ray.distributor]
name = "local"
"""
ARITHMETIC = "Add_Sub|Sub_Add|Mul_Div|Div_Mul|Mod_Mul|FloorDiv_Mul|Pow_Mul"
BOUNDS = "Eq_NotEq|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Lt_GtE|Gt_LtE|Is_IsNot|IsNot_Is"
WORDS = "AddNot|NumberReplacer|ZeroIterationForLoop|BreakWithContinue|AndWithOr"
WORDS += "|OrWithAnd|TrueWithFalse|FalseWithTrue|Delete_USub|Delete_Not"
KEPT = re.compile(f"core/.*({ARITHMETIC}|{BOUNDS}|{WORDS})$")


def main() -> None:
    asked = arguments()
    if asked.try_out:
        sys.exit(try_out(asked.try_out, pathlib.Path.cwd()))
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch) / "copy"
        call("git", "clone", "--quiet", ROOT, copy, cwd=ROOT)
        for room in asked.rooms or ROOMS:
            print(score(room, copy, asked), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rooms", nargs="*", choices=[*ROOMS, []])
    parser.add_argument("--try-out", choices=ROOMS, help="only test the copy as it is")
    parser.add_argument("--sample", type=int, default=40, help="of each room; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=int, default=900, help="seconds a mutant")
    return parser.parse_args()


def score(room: str, copy: pathlib.Path, asked: argparse.Namespace) -> str:
    """Runs a room's mutants; prints those that survive, and returns the summary."""
    code, _ = ROOMS[room]
    config, session = (copy.parent / f"{room}.{end}" for end in ("toml", "sqlite"))
    config.write_text(
        CONFIG.format(
            code=code,
            python=sys.executable,
            script=pathlib.Path(__file__).resolve(),
            room=room,
            timeout=asked.timeout,
        )
    )
    cosmic = [sys.executable, "-m", "cosmic_ray.cli"]
    call(*cosmic, "init", config, session, cwd=copy)
    with use_db(session, WorkDB.Mode.open) as items:
        population = keep(items, asked.sample, asked.seed)
    call(*cosmic, "baseline", config, cwd=copy)
    call(*cosmic, "exec", config, session, cwd=copy)
    with use_db(session, WorkDB.Mode.open) as items:
        done = [r for _, r in items.completed_work_items if r.test_outcome is not None]
    alive = [result.diff for result in done if not result.is_killed]
    print(*alive, sep="\n")
    killed = len(done) - len(alive)
    return (
        f"{room}: {killed} of {len(done)} killed, from {population} (seed {asked.seed})"
    )


def try_out(room: str, copy: pathlib.Path) -> int:
    """Runs a room's tests until one fails, those nearest to the changed file first."""
    shown = subprocess.check_output(["git", "diff", "--name-only"], cwd=copy, text=True)
    changed = {pathlib.Path(path).stem for path in shown.split()}
    places = [copy / place for place in ROOMS[room][1].split()]
    files = [f for place in places for f in sorted(place.rglob("test_*.py")) or [place]]
    pytest = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "auto"]
    near = sorted(files, key=lambda file: distance(file, changed))
    return subprocess.call([*pytest, *near], cwd=copy)


def distance(test: pathlib.Path, changed: set[str]) -> int:
    """0: the test of a changed module, 1: a test that names it, 2: another."""
    if test.stem.removeprefix("test_") in changed:
        return 0
    words = set(re.findall(r"\w+", test.read_text()))
    return 1 if words & changed else 2


def keep(items: WorkDB, sample: int, seed: int) -> int:
    """Skips all mutants but a sample; returns how many there were to draw from."""
    every = sorted(items.work_items, key=place)
    chosen = [item for item in every if KEPT.match(item.mutations[0].operator_name)]
    drawn = random.Random(seed).sample(chosen, min(sample or len(chosen), len(chosen)))
    kept = {item.job_id for item in drawn}
    skipped = [item.job_id for item in every if item.job_id not in kept]
    items.set_multiple_results(skipped, WorkResult(WorkerOutcome.SKIPPED))
    return len(chosen)


def place(item: WorkItem) -> tuple[str, tuple[int, int], str, int]:
    mutation = item.mutations[0]
    where = str(mutation.module_path), mutation.start_pos
    return *where, mutation.operator_name, mutation.occurrence


def call(*command: object, cwd: pathlib.Path) -> None:
    """Runs a command on the copy's code, wherever the package is installed."""
    environment = {**os.environ, "PYTHONPATH": str(cwd)}
    subprocess.run([str(c) for c in command], cwd=cwd, env=environment, check=True)


if __name__ == "__main__":
    main()
