"""What does a step of several trials cost, beside as many steps of lone runs?

    python benchmarks/cost_of_trials.py [--trials N ...] [--json]

A small PLE trains on synthetic data that lie on the device, in batches of 256 examples.
N trials, which differ in their seeds, take a step as one program; N lone runs take one
step each, one after another. Both take turns; the table shows the median step, as the
mean over a dispatch of several.
"""

from lib import report, trials


def main() -> None:
    """Print one line for each number of trials."""
    parser = report.command(__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=trials.BATCH)
    asked = parser.parse_args()
    if asked.quick:
        asked.trials, asked.turns = [1, 2], 2
    results = trials.beside_lone(asked.trials, asked.batch_size, asked.turns)
    title = f"ms a step of all, batch {asked.batch_size}"
    report.show(title, results, asked.json)


if __name__ == "__main__":
    main()
