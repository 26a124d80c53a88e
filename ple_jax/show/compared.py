"""A comparison of runs: in words, and as tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ple_jax.show.grid import Grid
from ple_jax.show.measured import LARGEST, MOST, number
from ple_jax.show.results import signed

SHORT_METRICS = {"auc_roc": "AUC", "rmse": "RMSE"}
Found = Mapping[str, Any]  # what `analysis.comparison.compare` returns
VERBS = {"ahead": "gains", "behind": "loses"}  # verdict -> in words


def sentences(found: Found) -> list[str]:
    """One sentence a side: what it gains, what it loses, and where nothing is sure."""
    names = [name for name in found["sides"] if name != found["reference"]]
    said = [sentence(found, name) for name in names]
    if lone := [n for n, s in found["sides"].items() if len(s["seeds"]) < 2]:
        said.append(
            f"{_and(lone)} {'has' if len(lone) == 1 else 'have'} one seed: this is how "
            "these trainings differ, and other seeds of the same models may differ "
            "otherwise. Train several with --train.seeds 5."
        )
    return said


def sentence(found: Found, name: str) -> str:
    """What one side gains and loses against the reference."""
    gains = {task: of[name] for task, of in found["gains"].items()}
    of = lambda verdict: [t for t, gain in gains.items() if gain["verdict"] == verdict]
    parts = [
        f"{verb} {_and([_amount(found, t, gains[t]) for t in of(verdict)])}"
        for verdict, verb in VERBS.items()
        if of(verdict)
    ]
    if even := of("not apart"):
        listed = _and([_difference(t, gains[t]) for t in even])
        parts.append(f"differs by no more than chance on {listed}")
    if unknown := of("undefined"):
        parts.append(f"has no number on {_and(unknown)}")
    against = f"On {found['split']}, against {found['reference']}"
    return f"{against}: {name} {_and(parts)}.{_in_domains(found, name)}"


def _amount(found: Found, task: str, gain: Mapping[str, Any]) -> str:
    metric = found["metrics"][task]
    metric = SHORT_METRICS.get(metric, metric)
    return f"{abs(gain['mean']):.4f}{_half(gain)} {metric} on {task}"


def _difference(task: str, gain: Mapping[str, Any]) -> str:
    return f"{task} ({signed(gain['mean'])}{_half(gain)})"


def _half(gain: Mapping[str, Any]) -> str:
    """Half the width of an interval, as what may be added or taken away."""
    both = gain["interval"]
    return f" ± {(both[1] - both[0]) / 2:.4f}" if both else ""


def _in_domains(found: Found, name: str) -> str:
    """Of several domains, where a task gains and where it loses by itself."""
    counted = {verdict: 0 for verdict in VERBS}
    total, lost = 0, []
    for domain, of in found["domains"].items():
        for task, sides in of["gains"].items():
            total += 1
            verdict = sides[name]["verdict"]
            if verdict in counted:
                counted[verdict] += 1
            if verdict == "behind":
                lost.append(f"{task} in {domain}")
    if not total:
        return ""
    named = f" ({_and(lost)})" if 0 < len(lost) <= 5 else ""
    return (
        f" Of {total} pairs of task and domain it gains {counted['ahead']} and loses "
        f"{counted['behind']}{named} by more than chance."
    )


def _and(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]


def grids(found: Found, by_domain: bool = False) -> list[Grid]:
    """All tables: sides, differences, domains if there are several, and knobs."""
    each = [sides_grid(found), gains_grid(found)]
    if found["domains"]:
        each.append(domains_grid(found, by_domain))
    return [*each, knobs_grid(found)]


def sides_grid(found: Found) -> Grid:
    """What is compared, and each side's own headlines."""
    tasks = found["metrics"]
    rows = [
        [
            name,
            of["model"],
            _seeds(of["seeds"]),
            f"{of['parameters']:,}",
            f"{of['numbers_in_tables']:,}",
            *(number(found["scores"][task][name]) for task in tasks),
        ]
        for name, of in found["sides"].items()
    ]
    titles = [f"{task} {metric}" for task, metric in tasks.items()]
    columns = ["run", "model", "seeds", "parameters", "in tables", *titles]
    lost = [
        f"Left out of {name}, as diverged: {_and(of['left_out'])}."
        for name, of in found["sides"].items()
        if of["left_out"]
    ]
    note = " ".join(["±: deviation over seeds.", *lost])
    return Grid(f"{found['split']}: what is compared", columns, rows, note)


def _seeds(seeds: list[int]) -> str:
    whole = seeds == list(range(seeds[0], seeds[0] + len(seeds)))
    several = len(seeds) > 1
    return (
        f"{seeds[0]}-{seeds[-1]}" if whole and several else ", ".join(map(str, seeds))
    )


def gains_grid(found: Found) -> Grid:
    """How far each side is ahead of the reference on each task."""
    over = f"95 % over {found['over']}"
    rows = [
        [
            task,
            name,
            *_cells(gain),
            *(apart(gain[part]) for part in ("over_rows", "over_seeds")),
        ]
        for task, of in found["gains"].items()
        for name, gain in of.items()
    ]
    columns = ["task", "run", *GAIN, over, "95 % over seeds"]
    title = f"{found['split']}: ahead of {found['reference']}"
    return Grid(title, columns, rows, note(found, len(rows)), names=2)


GAIN = ("ahead by", "95 %", "p", "verdict")


def _cells(gain: Mapping[str, Any]) -> list[str]:
    verdict = gain["verdict"]
    return [signed(gain["mean"]), apart(gain["interval"]), p_text(gain), verdict]


def apart(interval: Sequence[float] | None) -> str:
    """The interval of a difference, by its ends."""
    return "" if interval is None else " to ".join(map(signed, interval))


def p_text(gain: Mapping[str, Any]) -> str:
    """The adjusted p-value."""
    p = gain["p_adjusted"]
    if p is None:
        return ""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def note(found: Found, tests: int) -> str:
    """What the numbers of a table of differences mean."""
    return (
        f"Of the difference on the same {found['number']:,} {found['over']}; a lower "
        "error counts as ahead. 95 %: over "
        f"{found['over']} and seeds, of each by itself. p: by Holm among the {tests:,} "
        "of this table; the verdict says more than chance where p is at most 0.05."
    )


def domains_grid(found: Found, by_domain: bool = False) -> Grid:
    """The same of each domain: of many, those that differ most."""
    rows = [
        [domain, task, name, *_cells(gain)]
        for domain, of in found["domains"].items()
        for task, sides in of["gains"].items()
        for name, gain in sides.items()
    ]
    said, total = note(found, len(rows)), len(rows)
    if len(found["domains"]) > MOST and not by_domain:
        p = lambda row: float(row[5].removeprefix("< ") or 2)
        rows = sorted(rows, key=p)[: 2 * LARGEST]
        said = f"{len(rows)} of {total:,}, the surest; --by-domain shows all. {said}"
    title = f"{found['split']}: ahead of {found['reference']} by domain"
    return Grid(title, ["domain", "task", "run", *GAIN], rows, said, names=3)


def knobs_grid(found: Found) -> Grid:
    """What differs in the experiments."""
    names = list(found["sides"])
    rows = [
        [k, *(value_text(of[n]) for n in names)] for k, of in found["knobs"].items()
    ]
    note = "" if rows else "Nothing but seeds differs."
    return Grid("what differs in the experiments", ["knob", *names], rows, note)


def value_text(value: Any) -> str:
    """The value of a knob; empty where there is none."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    return "" if value is None else str(value)


def lines(found: Found) -> Iterator[str]:
    """The verdict, as lines of a list."""
    return (f"- {said}" for said in sentences(found))
