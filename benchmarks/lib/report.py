"""The command line that all scripts share, and how results are printed."""

import argparse
import json
from typing import Any

from rich.table import Table

from ple_jax.parallel import runtime
from ple_jax.show import console, tables

from . import machine

Record = dict[str, Any]


def command(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every script; sets the process up as `ple-jax`."""
    runtime.keep_memory()
    parser = argparse.ArgumentParser(
        description=doc,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--quick", action="store_true", help="run small, to check that all works"
    )
    return parser


def show(title: str, results: list[Record], as_json: bool) -> None:
    """Print one row a record with the machine below, or all as one JSON object."""
    if as_json:
        print(json.dumps({"results": results, "machine": machine.facts()}, indent=2))
        return
    console.show(table(title, results))
    print(", ".join(f"{name} {value}" for name, value in machine.facts().items()))


def table(title: str, results: list[Record]) -> Table:
    """One row a record."""
    columns = list(dict.fromkeys(name for record in results for name in record))
    rows = [[cell(record.get(name)) for name in columns] for record in results]
    return tables.grid(title, columns, rows)


def cell(value: Any) -> str:
    """A figure for people: four digits, or all of a whole number."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
