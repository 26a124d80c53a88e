"""Whole tables updated, or only the rows of a batch: a step, and which way wins."""

import math

from ple_jax.embeddings.choose import auto_rows

from . import problem
from .measure import in_turn, medians
from .on_device import WITHIN
from .report import Record
from .sizes import Size, arrays


def updates(size: Size, steps: int, rounds: int) -> list[Record]:
    """Measure PLE with whole tables updated by Adam, and with the rows of a batch."""
    batches = problem.batches_of(arrays(size, steps))
    ways = {
        update: problem.dispatch(
            problem.trainer_for("ple", size, update=update), batches
        )
        for update in ("dense", "rows")
    }
    taken = medians(in_turn(ways, rounds, within=WITHIN))
    shown = {update: 1e3 * seconds / steps for update, seconds in taken.items()}
    rows = size.fields * size.rows
    ratio = shown["dense"] / shown["rows"]
    return [{"table": rows, "batch": size.batch, **shown, "dense / rows": ratio}]


def crossings(records: list[Record]) -> list[str]:
    """Say for each batch size above how many rows updates by rows are faster."""
    notes = []
    for batch in dict.fromkeys(r["batch"] for r in records):
        least = auto_rows(batch * Size.fields, Size.width)
        of_batch = [r for r in records if r["batch"] == batch]
        notes.append(
            f"batch {batch}: updates by rows are faster "
            f"{crossing({r['table']: r['dense / rows'] for r in of_batch})}; "
            f"`auto` takes them from {least:,} rows on."
        )
    return notes


def crossing(ratios: dict[int, float]) -> str:
    """Where all ratios (rows -> dense / rows) from there on are above one.

    Between two measured numbers of rows, log(ratio) is linear in log(rows).
    """
    slower = [rows for rows, ratio in ratios.items() if ratio <= 1]
    faster = [rows for rows in ratios if rows > max(slower, default=0)]
    if not faster:
        return f"nowhere up to {max(ratios):,} rows"
    if not slower:
        return f"from {min(ratios):,} rows or fewer on"
    before, after = max(slower), min(faster)
    low, high = -math.log(ratios[before]), math.log(ratios[after])
    at = before * (after / before) ** (low / (low + high))
    return f"from about {at:,.0f} rows on"
