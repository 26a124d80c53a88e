"""What do more domains cost a training step of a star network?

    python benchmarks/cost_of_domains.py [--domains N ...] [--json]

Four networks take a forward pass, a backward pass and an Adam step on 4096 examples of
width 256, through layers of 256, 128 and 64: the plain network of one domain; mixed
batches, where each example goes through the weights of its domain
(`layers/per_domain.py`); batches of one domain, which update that domain's weights
alone; and, for comparison, every domain's network on every example, of which one result
is kept. The first three take turns, the last runs apart; the table shows the median
step.
"""

from lib import measure, report, star


def main() -> None:
    """Print one line for each number of domains."""
    parser = report.command(__doc__)
    parser.add_argument("--domains", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=4096)
    asked = parser.parse_args()
    if asked.quick:
        asked.domains, asked.steps, asked.batch_size = [3], 1, 64
    ways, all_ways = {(0, "plain"): star.plain(asked.batch_size)}, {}
    for n in asked.domains:
        steps = star.star(asked.batch_size, n)
        ways |= {(n, way): run for way, run in steps.items()}
        all_ways[n, "all, then select"] = star.all_domains(asked.batch_size, n)
    # Apart: after gigabytes of activations, the next way pays for them.
    taken = {}
    for each in (ways, all_ways):
        taken |= measure.medians(measure.in_turn(each, asked.steps, warm_up=2))
    results = [
        {"domains": n, "plain": 1e3 * taken[0, "plain"]}
        | {w: 1e3 * taken[n, w] for w in ("mixed", "one domain", "all, then select")}
        for n in asked.domains
    ]
    report.show(f"ms a step, batch {asked.batch_size}", results, asked.json)


if __name__ == "__main__":
    main()
