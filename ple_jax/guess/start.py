"""From files to a schema and an experiment on disk."""

import pathlib
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ple_jax.config import json_schema
from ple_jax.data import schema_reference
from ple_jax.data.read import expand_patterns
from ple_jax.disk import check_new, replace_file
from ple_jax.guess.columns import sample_of
from ple_jax.guess.inputs import Decision
from ple_jax.guess.roles import Asked, Guess, guess
from ple_jax.guess.written import (
    EDITOR_SCHEMA,
    PLACEHOLDER,
    experiment_text,
    schema_text,
)


class Start(NamedTuple):
    """What was guessed, and the two files that say so."""

    guess: Guess
    schema: pathlib.Path
    experiment: pathlib.Path


def start(
    files: Sequence[str],
    asked: Asked,
    folder: pathlib.Path = pathlib.Path(),
    name: str | None = None,
    overwrite: bool = False,
) -> Start:
    """Writes NAME_schema.toml and NAME.toml for these files.

    Beside them is a JSON Schema, which the first line of the schema names for editors.

    Raises:
        FileExistsError: One of them exists, and is not to be replaced.
        ValueError: A file cannot be read, or a column that was asked for is not there.
    """
    folder = pathlib.Path(folder)
    name = name or name_of(expand_patterns(files)[0])
    schema, experiment = folder / f"{name}_schema.toml", folder / f"{name}.toml"
    if not overwrite:
        for path in (schema, experiment):
            check_new(path, "folder (--out) or name (--name), or add --overwrite")
    guessed = guess(sample_of(files), asked)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        folder / EDITOR_SCHEMA: json_schema.text(schema_reference.of_schemas()),
        schema: schema_text(guessed),
        experiment: experiment_text(
            schema.name, files, folder, train_command(experiment)
        ),
    }
    for path, text in texts.items():
        with replace_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    return Start(guessed, schema, experiment)


def name_of(path: pathlib.Path) -> str:
    """A file's name without its endings, fit for a file and a folder."""
    stem = path.name.partition(".")[0] or path.name
    return re.sub(r"[^\w-]+", "_", stem).strip("_") or "table"


def train_command(experiment: pathlib.Path) -> str:
    """The command that trains it."""
    return shlex.join(["ple-jax", "train", str(experiment)])


def rows(guessed: Guess) -> Iterator[tuple[str, str, str]]:
    """Each column, what it is, and why."""
    for name, decision in guessed.decisions.items():
        yield name, role_of(name, decision, guessed), decision.reason


def role_of(name: str, decision: Decision, guessed: Guess) -> str:
    """What a column is, in a word or two."""
    given = {t.label_column: t.given for t in guessed.tasks}
    role: str = decision.field.kind if decision.field else decision.role
    if given.get(name):
        role += f", given {given[name]}"
    beside = [r for r in ("domain", "user") if getattr(guessed, r) == name]
    return ", ".join([role.replace("weight", "ignored"), *beside])


def next_steps(made: Start) -> list[str]:
    """What to do now: edit a line, or train."""
    train, encoding = train_command(made.experiment), made.guess.sample.form.encoding
    said = (
        []
        if encoding == "utf-8"
        else [f"The text is read as {encoding}: [format] says so."]
    )
    if made.guess.tasks:
        return [*said, f"next: {train}"]
    text = made.schema.read_text(encoding="utf-8").splitlines()
    line = next(i for i, found in enumerate(text, 1) if PLACEHOLDER in found)
    return [
        *said,
        f"No column is a label beyond doubt: name it in line {line} of {made.schema}, "
        "or by --label COLUMN --overwrite.",
        f"then: {train}",
    ]
