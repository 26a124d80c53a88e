"""Every number of a run, one by one: those of its journal and of its final table."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ple_jax.show.results import held_out


class Number(NamedTuple):
    """One number, and what it is of.

    Attributes:
        split: `train`, `validation` or `test`.
        domain: "" for all of them together.
        task: "" for all of them together.
        metric: Its name.
        value: None where it is undefined.
    """

    split: str
    domain: str
    task: str
    metric: str
    value: float | None

    @property
    def name(self) -> str:
        """What it is of, joined by slashes: `test/home/click/auc_roc`."""
        return "/".join(filter(None, self[:4]))


def of_report(split: str, report: Mapping[str, Any]) -> Iterator[Number]:
    """All that a split's report has; domains only where there are several."""
    domains = report.get("domains", {})
    each = {"": report["tasks"], **(domains if len(domains) > 1 else {})}
    for domain, tasks in each.items():
        for task, metrics in tasks.items():
            for metric, value in metrics.items():
                yield Number(split, domain, task, metric, value)


def of_epoch(record: Mapping[str, Any]) -> Iterator[Number]:
    """Those of a journal's line; `score` is what chooses the best epoch, higher better.

    None of the note of a fallback.
    """
    if "epoch" in record:
        for metric in ("loss", "examples_per_second"):
            yield Number("train", "", "", metric, record[metric])
        yield Number("validation", "", "", "score", record["score"])
        for split in ("train", "validation"):
            yield from of_report(split, record[split])


def of_result(result: Mapping[str, Any]) -> Iterator[Number]:
    """Those of a final table of one run, at its best epoch; none if it diverged."""
    for split in held_out(result):
        yield from of_report(split, result[split])
