"""Write one HTML page about runs: a verdict in words, tables and figures.

Of several runs it says what each gains and loses against the first, on the same rows
and by more than chance; of one, how good it is. Then learning curves, calibration, the
use of gates, and every knob. The page needs no other file and no network.

Runs that are unfinished, damaged or of other data are named, and the rest is reported.
It needs the extra `report`: matplotlib and jinja2.
"""

import argparse
import pathlib


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs, the split, and the page."""
    add, path = parser.add_argument, pathlib.Path
    about = "run directories; the first is what others are compared with"
    add("runs", type=path, nargs="+", metavar="RUN", help=about)
    add(
        "--out",
        type=path,
        default=path("report.html"),
        metavar="PAGE.html",
        help="where to write (default: %(default)s)",
    )
    splits = ("train", "validation", "test")
    about = "which split (default: test, or validation if there is no test)"
    add("--split", choices=splits, help=about)
    about = "show metrics by the values of columns: fields, the domain, or of the files"
    add("--slice", nargs="+", default=(), metavar="COLUMN", help=about)
    about = "measure how much worse each run is without each field (minutes)"
    add("--importance", action="store_true", help=about)
    about = "measure whether tasks pull the same way, and which to group (minutes)"
    add("--conflict", action="store_true", help=about)
    about = "the same epoch by epoch: trains the first seed of each run once more"
    add("--conflict-over-time", action="store_true", help=about)
    add("--overwrite", action="store_true", help="replace the page if it exists")


def run(asked: argparse.Namespace) -> None:
    """Gathers, analyses, and writes the page."""
    from ple_jax.disk import check_new, replace_file
    from ple_jax.parallel import runtime
    from ple_jax.report.gather import gather
    from ple_jax.report.inside import Asked
    from ple_jax.report.page import check_extra, page
    from ple_jax.report.sections import sections
    from ple_jax.show import console

    check_extra()
    if not asked.overwrite:
        check_new(asked.out, "page (--out); --overwrite replaces it")
    sides, left_out = gather(asked.runs)
    runtime.set_up()
    title = f"Report on {', '.join(side.name for side in sides)}"
    over_time = asked.conflict_over_time
    conflict = asked.conflict or over_time
    also = Asked(tuple(asked.slice), asked.importance, conflict, over_time)
    made = list(sections(sides, asked.split, also))
    text = page(title, made, left_out)
    with replace_file(asked.out) as partial:
        partial.write_text(text, encoding="utf-8")
    for said in [*left_out, *made[0].words]:
        console.say(f"- {said}")
    for part in made:
        if part.fault:
            console.say(f"warning: the page has no {part.title!r}: {part.fault}")
    console.say(f"{asked.out}: {len(text.encode()):,} bytes")
