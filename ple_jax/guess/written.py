"""A guess as files that people edit: a schema and an experiment in TOML."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ple_jax.config.paths import from_folder
from ple_jax.guess.roles import Guess
from ple_jax.guess.times import clock_of
from ple_jax.schema import Field, Format, Task
from ple_jax.splits import Split

EDITOR_SCHEMA = "ple_jax.schema.json"  # lies beside, for completion in editors
PLACEHOLDER = "EDIT THIS: the column to predict"
EDITORS = (
    "# For editors: ple-jax schema --json-schema --experiment --out "
    "ple_jax.experiment.json,\n# and #:schema ./ple_jax.experiment.json as first line."
)
LATE = "a time; no split by it: its name says"
OF_ROLE = {"leaking": ("leaking",), "ignored": ("ignored", "weight")}


def toml(value: Any) -> str:
    """A plain value as TOML, on one line."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    # JSON's strings are TOML's, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    """A name as a key of TOML."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml(name)


def schema_text(guess: Guess) -> str:
    """The schema as TOML; reasons are comments, and so is what may be switched on."""
    parts = [
        f"#:schema ./{EDITOR_SCHEMA}\n{heading(guess)}",
        *lists(guess),
        roles(guess),
        *bags(guess),
    ]
    parts += [*derived(guess), *tasks(guess), *other_tasks(guess)]
    if not guess.tasks:
        parts.append(table("[[tasks]]", {"name": "label", "column": PLACEHOLDER}))
    parts += [split_table(guess), defaults("[format]", guess.sample.form, Format())]
    return "\n\n".join(filter(None, parts)) + "\n"


def heading(guess: Guess) -> str:
    """Says what the file is, and what to look at."""
    sample = guess.sample
    first = "" if sample.is_all else "first "
    files = ", ".join(map(toml, sample.files[:3])) + ", ..." * (len(sample.files) > 3)
    return (
        f"# What the columns of {files} mean:\n"
        f"# a guess from its {first}{sample.rows:,} rows. See the tasks, the split, "
        "and\n# what is left out. A line that starts with # and holds a value can be "
        "switched on."
    )


def lists(guess: Guess) -> Iterable[str]:
    """The columns of each list, one a line with its reason."""
    kinds: dict[str, dict[str, str]] = {"categorical": {}, "numeric": {}}
    for name, decision in guess.decisions.items():
        if decision.field and decision.field.kind in kinds:
            kinds[decision.field.kind][name] = decision.reason
    for name, roles in OF_ROLE.items():
        kinds[name] = {
            n: d.reason for n, d in guess.decisions.items() if d.role in roles
        }
    return [listed(name, columns) for name, columns in kinds.items() if columns]


def listed(name: str, columns: Mapping[str, str]) -> str:
    """A list with one string and one comment a line."""
    lines = [f"    {toml(n)},  # {comment(why)}" for n, why in columns.items()]
    return "\n".join([f"{name} = [", *lines, "]"])


def comment(text: str) -> str:
    """A text that may stand behind #: on one line, without what a terminal obeys."""
    return toml(text)[1:-1].replace('\\"', '"').replace("\\\\", "\\")


def roles(guess: Guess) -> str:
    """The columns of domains, users and weights, and those that may be it."""
    lines = []
    for role in ("domain", "user"):
        if column := getattr(guess, role):
            lines.append(f"{role} = {toml(column)}")
            lines += [unseen(guess)] if role == "domain" else []
    for role, columns in guess.perhaps.items():
        lines += [f"# {role} = {toml(n)}  # {comment(w)}" for n, w in columns.items()]
    return "\n".join(lines)


def unseen(guess: Guess) -> str:
    """What to do with domains that train lacks, switched on if some may come."""
    why = "  # a domain for rows without one, and for those that train lacks"
    return f'{"" if guess.unseen else "# "}unseen_domain = "own"{why}'


def bags(guess: Guess) -> list[str]:
    """A table for each field that holds lists."""
    fields = [d.field for d in guess.decisions.values() if d.field]
    return [bag(f, guess) for f in fields if f.kind in ("multi_valued", "sequence")]


def bag(field: Field, guess: Guess) -> str:
    """The table of a field of lists; lists of Parquet need no separator."""
    values: dict[str, str] = {"kind": field.kind}
    if not guess.sample.columns[field.name].is_list:
        values["separator"] = field.separator
    why = comment(guess.decisions[field.name].reason)
    return table(f"[fields.{key(field.name)}]  # {why}", values)


def derived(guess: Guess) -> list[str]:
    """Inputs that may be made of columns left out, switched off."""
    found = []
    for name, decision in guess.decisions.items():
        if decision.reason.startswith("text"):
            words = off(f"{name}_words", "multi_valued", "text", name, values=10_000)
            also = f"  # and take {comment(toml(name))} out of `ignored`"
            found.append(words.replace("\n", f"{also}\n", 1))
        if decision.role == "time":
            clock = clock_of(guess.sample.columns[name])
            found += [
                off(f"{name}_{part}", "categorical", part, name, **clock.options)
                for part in clock.parts
            ]
    return found


def off(name: str, field: str, kind: str, of: str, **options: Any) -> str:
    """A field that is derived, as comments."""
    values = {"kind": kind, "of": of, **options}
    text = table(f"[fields.{key(name)}]", {"kind": field})
    return commented(f"{text}\n{table(f'[derived.{key(name)}]', values)}")


def commented(text: str) -> str:
    """Lines as comments."""
    return re.sub("^", "# ", text, flags=re.MULTILINE)


def tasks(guess: Guess) -> Iterable[str]:
    """A table a task; that of a number says why it has its loss."""
    for one in guess.tasks:
        why = guess.decisions[one.label_column].reason
        title = "[[tasks]]" + f"  # {comment(why)}" * (not one.is_binary)
        yield task(one).replace("[[tasks]]", title, 1)


def task(one: Task) -> str:
    """A task as a table."""
    return table("[[tasks]]", changed(one, Task(one.name)) | {"name": one.name})


def changed(one: Any, usual: Any) -> dict[str, Any]:
    """The values of a dataclass that are not the usual ones."""
    values, others = dataclasses.asdict(one), dataclasses.asdict(usual)
    return {k: v for k, v in values.items() if v != others[k]}


def table(title: str, values: Mapping[str, Any]) -> str:
    """A table with one value a line, its name first."""
    ordered = sorted(values.items(), key=lambda pair: pair[0] != "name")
    return "\n".join([title, *(f"{k} = {toml(v)}" for k, v in ordered)])


def defaults(title: str, one: Any, usual: Any) -> str:
    """A table with the values that are not the usual ones; nothing without any."""
    values = changed(one, usual)
    return table(title, values) if values else ""


def other_tasks(guess: Guess) -> list[str]:
    """Labels that may be meant, switched off."""
    shown = [
        f"[[tasks]]  # {comment(one.reason)}\n" + task(one.task).partition("\n")[2]
        for one in guess.other_tasks
    ]
    return list(map(commented, shown))


def split_table(guess: Guess) -> str:
    """How examples are divided."""
    split = guess.split
    if split.by != "random":
        return table("[split]", changed(split, Split()))
    is_time = lambda d: d.reason == "a time" or d.reason.startswith(LATE)
    times = [n for n, d in guess.decisions.items() if is_time(d)]
    lines = [f'# by = "time"\n# column = {toml(name)}' for name in times[:1]]
    return "\n".join(["[split]  # at random", *lines])


def experiment_text(
    schema: str, files: Iterable[str], folder: pathlib.Path, run: str
) -> str:
    """The experiment as TOML; what it leaves out has its default.

    Args:
        schema: The name of the schema file beside it.
        files: The paths of the data.
        folder: Where it will lie, from which its paths count.
        run: The command that trains it.
    """
    paths = from_folder({"files": list(files)}, folder)
    data = {"kind": "table", "schema": schema, **paths}
    model = table("[model]", {"kind": "ple"})
    return f"# {comment(run)}\n{EDITORS}\n{table('[data]', data)}\n\n{model}\n"
