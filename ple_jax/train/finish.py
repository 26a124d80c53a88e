"""The end of a training: each trial is measured at its best checkpoint."""

import dataclasses
from typing import Any

import numpy as np

from ple_jax.parallel import processes
from ple_jax.runs.directory import Run
from ple_jax.runs.followers import Followers
from ple_jax.runs.journal import read_records
from ple_jax.train import recalibrate
from ple_jax.train.course import course
from ple_jax.train.group import Group
from ple_jax.train.progress import Held


def finish(group: Group, held: Held, followers: Followers) -> list[dict[str, Any]]:
    """Measures each trial's best checkpoint; returns and writes the final tables.

    The first process does; the others only score their share, and return {}.
    """
    bests, logits, results = group.bests(held), {}, []
    if any(standing.best_step for standing in held.standings):
        held_out = group.setup.data.splits[1:]
        logits = {split: group.logits(bests, split) for split in held_out}
    if not processes.is_first():
        return [{} for _ in group.runs]
    for i, (run, standing) in enumerate(zip(group.runs, held.standings, strict=True)):
        result: dict[str, Any] = {
            "step": standing.best_step or None,
            "epochs": standing.epochs,
        }
        if standing.diverged is not None:
            result["diverged"] = standing.diverged
        if standing.best_step:
            epochs = group.setup.train.epochs
            result["course"] = course(read_records(run.metrics), epochs)
            found = final(group, run, {k: of[:, i] for k, of in logits.items()}, result)
            result["intervals"] = {k: of.pop("intervals") for k, of in found.items()}
            result |= found
        run.write_result(result)
        followers[i].finish(result)
        results.append(result)
    return results


def final(
    group: Group, run: Run, logits: dict[str, np.ndarray], result: dict[str, Any]
) -> dict[str, Any]:
    """The metrics of each split by a trial's logits; recalibrates these if asked.

    What does so goes into the result, too.
    """
    scorer, rows = group.setup.scorer, group.setup.data.split
    if (method := run.experiment.train.recalibrate) != recalibrate.NONE:
        layout, by = group.setup.data.layout, run.experiment.train.recalibrate_by
        domains = len(layout.domains) if by == "domain" else 1
        given = logits["validation"], rows("validation"), layout.tasks
        fitted = recalibrate.fit(method, *given, domains)
        result[recalibrate.RECORD] = recalibrate.to_record(fitted, method)
        scorer = dataclasses.replace(scorer, recalibration=fitted)
    return {split: scorer.report_of(of, rows(split)) for split, of in logits.items()}
