"""What do more domains cost a training step?

    python benchmarks/cost_of_domains.py [--domains N ...] [--models NAME ...] [--json]

Four networks take a forward pass, a backward pass and an Adam step on 4096 examples of
width 256, through layers of 256, 128 and 64: the plain network of one domain; mixed
batches, where each example goes through the weights of its domain
(`layers/per_domain.py`); batches of one domain, which update that domain's weights
alone; and, for comparison, every domain's network on every example, of which one result
is kept. The first three take turns, the last runs apart; the table shows the median
step.

With `--models`, whole steps of these instead, at the sizes of `growth.py`: two tasks in
each domain, whole tables of 1,000 rows a field. PLE's shared gate sees its own domain
(`shared_sees = "own_domain"`). All take turns.
"""

import argparse
from collections.abc import Callable
from typing import Any

from lib import measure, problem, report, star
from lib.sizes import Size, arrays


def main() -> None:
    """Print one line for each number of domains."""
    parser = report.command(__doc__)
    parser.add_argument("--domains", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--models", nargs="+", help="whole steps of these")
    asked = parser.parse_args()
    if asked.quick:
        asked.domains, asked.steps, asked.batch_size = [3], 1, 64
    results = of_models(asked) if asked.models else of_networks(asked)
    report.show(f"ms a step, batch {asked.batch_size}", results, asked.json)


def of_networks(asked: argparse.Namespace) -> list[report.Record]:
    """Median ms of the star network's ways, a record for each number of domains."""
    ways, all_ways = {(0, "plain"): star.plain(asked.batch_size)}, {}
    for n in asked.domains:
        steps = star.star(asked.batch_size, n)
        ways |= {(n, way): run for way, run in steps.items()}
        all_ways[n, "all, then select"] = star.all_domains(asked.batch_size, n)
    # Apart: after gigabytes of activations, the next way pays for them.
    taken = {}
    for each in (ways, all_ways):
        taken |= measure.medians(measure.in_turn(each, asked.steps, warm_up=2))
    return [
        {"domains": n, "plain": 1e3 * taken[0, "plain"]}
        | {w: 1e3 * taken[n, w] for w in ("mixed", "one domain", "all, then select")}
        for n in asked.domains
    ]


def of_models(asked: argparse.Namespace) -> list[report.Record]:
    """Median ms of whole steps, a record for each number of domains."""
    ways = {
        (kind, n): step_of(kind, n, asked.batch_size)
        for kind in asked.models
        for n in asked.domains
    }
    taken = measure.medians(measure.in_turn(ways, asked.steps, warm_up=2))
    return [
        {"domains": n} | {kind: 1e3 * taken[kind, n] for kind in asked.models}
        for n in asked.domains
    ]


def step_of(kind: str, domains: int, batch: int) -> Callable[[], Any]:
    """A whole training step that goes on from the last one."""
    by_domain = {"groups": "tasks_domains", "shared_sees": "own_domain"}
    size = Size(1000, batch=batch, domains=domains, **by_domain)
    trainer = problem.trainer_for(kind, size, update="dense")
    return problem.dispatch(trainer, problem.batches_of(arrays(size, 1)))


if __name__ == "__main__":
    main()
