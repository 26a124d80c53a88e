"""What the trials of a point say together: over seeds, by domain, and on other rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from ple_jax.config.sweep import Sweep
from ple_jax.metrics.intervals import of_one_trial
from ple_jax.metrics.over_domains import REDUCTIONS, over_domains
from ple_jax.metrics.spread import spread_by_task
from ple_jax.splits import SPLITS

Result = Mapping[str, Any]  # of a trial


def summary(asked: Sweep, results: Mapping[str, Result]) -> dict[str, Any]:
    """The tables of a study: of each point and split, without trials that diverged.

    points      task -> metric -> `spread` over the trials
    domains     of several: "macro", "worst" and "each", as `by_domain` has them
    intervals   `intervals.report` of one trial: how far it moves on other examples
    """
    points: dict[str, list[Result]] = {}
    for trial in asked.trials:
        of_point = points.setdefault(trial.point, [])
        if "diverged" not in results[trial.name]:
            of_point.append(results[trial.name])
    splits = [s for s in SPLITS if any(s in result for result in results.values())]
    tables = {"points": over_tasks, "domains": by_domain, "intervals": over_rows}
    return {
        name: {
            point: {split: table(each, split) for split in splits}
            for point, each in points.items()
        }
        for name, table in tables.items()
    }


def over_tasks(each: Sequence[Result], split: str) -> dict[str, Any]:
    """Task -> metric -> its spread over trials."""
    return spread_by_task([result[split]["tasks"] for result in each])


def by_domain(each: Sequence[Result], split: str) -> dict[str, Any]:
    """Spreads of each domain, and of their mean and worst; {} of a single domain.

    "macro", "worst"   task -> metric -> `spread`
    "each"             domain -> task -> metric -> `spread`
    "worst_domain"     task -> metric -> its name

    The worst value is that of each trial's own worst domain, and "worst_domain" is the
    one whose mean over trials is worst.
    """
    reports = [result[split] for result in each]
    domains = list(reports[0]["domains"]) if reports else []
    if len(domains) < 2:
        return {}
    of = lambda name: spread_by_task([report["domains"][name] for report in reports])
    spreads = {name: of(name) for name in domains}
    known = [how for how in REDUCTIONS if all(how in report for report in reports)]
    return {
        **{how: spread_by_task([r[how] for r in reports]) for how in known},
        "worst_domain": over_domains(means_of(spreads))["worst_domain"],
        "each": spreads,
    }


def means_of(spreads: Mapping[str, Any]) -> dict[str, Any]:
    """Domain -> task -> metric -> the mean of its spread."""
    return {
        domain: {
            task: {name: spread["mean"] for name, spread in metrics.items()}
            for task, metrics in tasks.items()
        }
        for domain, tasks in spreads.items()
    }


def over_rows(each: Sequence[Result], split: str) -> dict[str, Any]:
    """The interval of one trial by task; {} if a trial is too old to have any."""
    if not each or not all("intervals" in result for result in each):
        return {}
    first = each[0]["intervals"][split]
    facts = {name: first[name] for name in ("over", "number", "confidence")}

    def of(task: str, name: str) -> dict[str, Any]:
        values = [result[split]["tasks"][task][name] for result in each]
        ends = [result["intervals"][split]["tasks"][task][name] for result in each]
        return of_one_trial(name, values, [end["standard_error"] for end in ends])

    tasks = {
        task: {name: of(task, name) for name in metrics}
        for task, metrics in first["tasks"].items()
    }
    return {**facts, "tasks": tasks}
