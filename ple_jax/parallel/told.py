"""What a process tells: the launcher its run and last step, a person how to go on."""

import os
import pathlib

# What the launcher sets: this process's number, how many there are, and where to tell.
NUMBER, COUNT, FOLDER = "PLE_JAX_PROCESS", "PLE_JAX_PROCESSES", "PLE_JAX_TOLD"
RUN = "run"
_again: list[str] = []  # the command that continues what is trained


def is_launched() -> bool:
    """Whether `ple-jax launch` started this process."""
    return FOLDER in os.environ


def launched_count() -> int:
    """How many processes the launcher started; 0 if it did not start this one."""
    return int(os.environ[COUNT]) if is_launched() else 0


def tell_run(directory: pathlib.Path) -> None:
    """Tells which run directory is trained."""
    if is_launched():
        path = pathlib.Path(os.environ[FOLDER]) / RUN
        path.write_text(str(directory), encoding="utf-8")


def tell_step(step: int) -> None:
    """Tells which step was begun last."""
    if is_launched():
        path = pathlib.Path(os.environ[FOLDER]) / os.environ[NUMBER]
        path.write_text(f"{step}\n", encoding="utf-8")


def run_told(folder: pathlib.Path) -> str:
    """The run directory, or "" before there is one."""
    path = folder / RUN
    return path.read_text(encoding="utf-8") if path.exists() else ""


def step_told(folder: pathlib.Path, number: int) -> int | None:
    """The last step that a process began, or None."""
    path = folder / str(number)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return int(text) if text.endswith("\n") else None  # it may be half written


def step_told_here() -> int | None:
    """The last step that this process told, or None."""
    if not is_launched():
        return None
    return step_told(pathlib.Path(os.environ[FOLDER]), int(os.environ[NUMBER]))


def tell_again(command: str) -> None:
    """Tells which command would continue what is trained."""
    _again[:] = [command]


def again_told() -> str:
    """The command that would continue what is trained, or "" if none is told."""
    return "".join(_again)
