"""Look at a data set for some minutes, and recommend a model for it.

DATA.toml is an experiment, of which all but the model counts; or a schema, if FILES
follow. It prints a data card: rates, drift, columns that tell the label. Then it trains
boosted trees (with scikit-learn), tasks alone, shared bottom, MMoE, PLE and, with
domains, STAR, each with three seeds side by side; it compares them on validation, and
shows the test of the one that it recommends.

The folder then holds advice.md, advice.json, and an experiment to go on with.
"""

import argparse
import pathlib


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The data, the time, and where to write."""
    add, path = parser.add_argument, pathlib.Path
    add("data", type=path, metavar="DATA.toml", help="an experiment, or a schema")
    add("files", nargs="*", metavar="FILES", help="the files of a schema")
    add("--minutes", type=float, default=5.0, help="about how long (5)")
    add("--out", type=path, metavar="DIR", help="a new folder; else advice/DATA")
    about = "what to compare: kinds of models, and `trees`"
    add("--models", nargs="+", default=(), metavar="KIND", help=about)
    add("--json", action="store_true", help="print one JSON object")


def run(asked: argparse.Namespace) -> None:
    """Advises, writes the folder, and prints what it holds."""
    from ple_jax.analysis import advice, advice_text
    from ple_jax.parallel import runtime
    from ple_jax.runs.directory import free_directory
    from ple_jax.show import console, tables

    if not asked.minutes > 0:
        raise ValueError(f"--minutes must be above 0, got {asked.minutes}.")
    tree = advice.tree_of_data(asked.data, asked.files)
    folder = asked.out or free_directory(asked.data.stem, pathlib.Path("advice"))
    advice.check_folder(folder, tree, asked.models)
    runtime.set_up()
    found = advice.advise(tree, folder, asked.minutes, asked.models)
    text = advice_text.markdown(found, f"Advice on {asked.data.name}")
    command = advice.write(found, text, tree, folder)
    if asked.json:
        console.show_json(found.to_dict())
    else:
        console.show(*(tables.grid(*grid) for grid in advice_text.grids(found)))
        for title, lines in advice_text.sentences(found):
            console.say("\n".join([f"{title}:", *(f"- {line}" for line in lines)]))
    console.say(f"{folder / 'advice.md'} has all of this; next: {command}")
