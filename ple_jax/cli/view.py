"""How commands show what is measured: which metric, which domains, which format."""

import argparse
from collections.abc import Callable
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The metric, the domains, and the format."""
    add, formats = parser.add_argument, ("text", "markdown", "csv")
    add(
        "--metric",
        help="the metric in front, and of domains (default: auc_roc or rmse)",
    )
    add("--by-domain", action="store_true", help="show all domains, however many")
    about = "text, markdown or csv (default: %(default)s)"
    add("--format", default="text", choices=formats, help=about)
    add("--json", action="store_true", help="print one JSON object, with all there is")


def show(asked: argparse.Namespace, found: Any, tables: Callable[..., Any]) -> None:
    """Prints all that was found as JSON, or its tables in the format that is wanted."""
    from ple_jax.show import console
    from ple_jax.show.measured import View

    if asked.json:
        return console.show_json(found)
    console.show_as(asked.format, *tables(View(asked.metric, asked.by_domain)))
