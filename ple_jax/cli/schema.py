"""Show every key of a schema, write it as JSON Schema, or check a schema.

Without arguments it lists the keys of a schema file, with what they take and mean.
With a schema file it checks that one, and with data files all of their rows too, as
training would.

With --json-schema it writes a JSON Schema, by which an editor completes and checks
TOML files. In VS Code the extension Even Better TOML reads it where the first line of
the TOML file is

    #:schema ./ple_jax.schema.json
"""

import argparse
import pathlib
import tempfile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to check, or what to write and where."""
    add, path = parser.add_argument, pathlib.Path
    add("schema", type=path, nargs="?", metavar="SCHEMA.toml", help="check this schema")
    add("files", nargs="*", metavar="FILES", help="check the rows of these files too")
    add("--json-schema", action="store_true", help="print a JSON Schema of schemas")
    add("--experiment", action="store_true", help="one of experiments instead")
    add("--out", type=path, metavar="FILE", help="write it to a new file")
    add("--overwrite", action="store_true", help="replace the file --out if it exists")


def run(asked: argparse.Namespace) -> None:
    """Shows the keys, writes a JSON Schema, or checks a schema."""
    if asked.json_schema:
        return write(asked)
    if asked.experiment or asked.out or asked.overwrite:
        raise ValueError("--experiment, --out and --overwrite need --json-schema.")
    return check(asked) if asked.schema else show()


def show() -> None:
    """Prints every key, one table for each table of TOML."""
    from ple_jax.data import schema_reference
    from ple_jax.show import console, tables

    columns = ["key", "takes", "default", "what it is"]
    for section in schema_reference.sections().values():
        rows = schema_reference.rows(section)
        title = f"{section.title}: {section.about}"
        console.show(tables.prose(title, columns, rows))


def write(asked: argparse.Namespace) -> None:
    """Prints a JSON Schema, or writes it to --out."""
    from ple_jax.config import json_schema
    from ple_jax.data import schema_reference
    from ple_jax.disk import new_file, replace_file
    from ple_jax.show import console

    if asked.schema:
        raise ValueError(f"--json-schema takes no file, got {str(asked.schema)!r}.")
    of_experiments = json_schema.of_experiments
    make = of_experiments if asked.experiment else schema_reference.of_schemas
    if not asked.out:
        return console.show_json(make())
    placed = replace_file if asked.overwrite else new_file
    with placed(asked.out) as partial:
        partial.write_text(json_schema.text(make()), encoding="utf-8")
    console.say(f"written: {asked.out}")
    console.say(f"first line of a TOML file beside it: #:schema ./{asked.out.name}")


def check(asked: argparse.Namespace) -> None:
    """Checks a schema and prints its fields; prepares files, and keeps nothing."""
    from ple_jax.data.prepare import prepare
    from ple_jax.data.schema_file import read_schema
    from ple_jax.data.schema_reference import field_rows
    from ple_jax.datasets import table
    from ple_jax.show import console, tables

    schema = read_schema(asked.schema)
    columns = ["field", "kind", "encodings", "computed as"]
    console.show(tables.prose(f"{asked.schema}", columns, field_rows(schema)))
    if not asked.files:
        return
    source = table.build(str(asked.schema), tuple(asked.files))
    with tempfile.TemporaryDirectory() as folder, console.bar("reading") as advance:
        prepared = prepare(source, pathlib.Path(folder) / "prepared", advance)
        console.show(tables.prepared_table(prepared, " ".join(asked.files)))
