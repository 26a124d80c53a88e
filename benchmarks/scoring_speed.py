"""How many rows a second does a trained PLE score?

    python benchmarks/scoring_speed.py [--experiments FILE ...] [--json]

It scores prepared rows (`Scorer` over the split "train"), and raw rows in a CSV and a
Parquet file (`predict_file`, from the run to the file of scores, with the program
already compiled). Weights are the initial ones, since the speed does not depend on
them. The parts are measured in turn with the whole: `gather` only makes the batches,
`network` scores a batch that is already on the device, `read` and `read and encode` are
those of the Parquet file.
"""

import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator

import jax
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from lib import measure, report

from ple_jax import config, datasets
from ple_jax.config.experiment import Experiment
from ple_jax.data.derive import input_rows
from ple_jax.data.loader import batches_in_order
from ple_jax.data.prepare import prepare
from ple_jax.data.read import read
from ple_jax.data.source import Source
from ple_jax.parallel import runtime
from ple_jax.runs.directory import Run, create_run
from ple_jax.serve.files import load_scorer, predict_file
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.trainer import trainer_of

FOLDER = pathlib.Path(__file__).parent.parent / "experiments"
EXPERIMENTS = [FOLDER / "census_ple.toml", FOLDER / "census_ple_wide.toml"]
ROUNDS = 5


def main() -> None:
    """Print one line an experiment."""
    parser = report.command(__doc__)
    parser.add_argument(
        "--experiments", type=pathlib.Path, nargs="+", default=EXPERIMENTS
    )
    asked = parser.parse_args()
    runtime.keep_compiled()  # as the command does
    rounds, results = 1 if asked.quick else ROUNDS, []
    for path in asked.experiments:
        with tempfile.TemporaryDirectory() as folder:
            experiment = config.from_dict(config.load(path))
            figures = rows_per_second(experiment, pathlib.Path(folder), rounds)
        results.append({"experiment": path.stem} | figures)
    report.show("rows a second", results, asked.json)


def rows_per_second(
    experiment: Experiment, folder: pathlib.Path, rounds: int
) -> report.Record:
    """Rows a second of each way to score, and of the parts of it."""
    source = datasets.find(experiment.data.kind).build(**experiment.data.options)
    chosen = untrained(experiment, source, folder)
    files = {kind: folder / f"rows.{kind}" for kind in ("csv", "parquet")}
    raw = write(source, files)
    taken = measure.medians(measure.in_turn(ways(chosen, files), rounds))
    prepared = len(chosen.data.split("train"))
    whole = {"prepared": prepared, "gather": prepared, "network": prepared}
    rates = {name: round(whole.get(name, raw) / s) for name, s in taken.items()}
    return {"prepared rows": prepared, "raw rows": raw, **rates}


def untrained(experiment: Experiment, source: Source, folder: pathlib.Path) -> Run:
    """A run that looks trained: a checkpoint of the initial state."""
    prepared = prepare(source, folder / "prepared")
    chosen = create_run(folder / "run", experiment, prepared)
    with Checkpoints(chosen.checkpoints) as checkpoints:
        checkpoints.save(trainer_of(chosen.experiment, prepared.layout).init(), {}, 0.0)
    return chosen


def ways(chosen: Run, files: dict[str, pathlib.Path]) -> dict[str, Callable]:
    """The ways that take turns."""
    scorer, variables = load_scorer(chosen)
    examples = chosen.data.split("train")
    encoder, size = chosen.data.encoder, scorer.batch_size
    batch, _ = next(batches_in_order(examples, size))
    placed, steps = jax.device_put(batch), -(-len(examples) // size)

    def rows() -> Iterator:
        return read([files["parquet"]], encoder.schema, labels=False)

    def encoded() -> Iterator:
        for chunk in rows():
            yield encoder.encode(input_rows(chunk, encoder.schema), labels=False)

    out = files["csv"].with_name("scores.parquet")

    def score(kind: str) -> int:
        return predict_file(chosen, str(files[kind]), out, overwrite=True)

    return {
        "prepared": lambda: scorer.logits(variables, batches_in_order(examples, size)),
        "gather": lambda: exhaust(batches_in_order(examples, size)),
        "network": lambda: [scorer.score(variables, placed) for _ in range(steps)],
        "csv": lambda: score("csv"),
        "parquet": lambda: score("parquet"),
        "read": lambda: exhaust(rows()),
        "read and encode": lambda: exhaust(encoded()),
    }


def exhaust(items: Iterable) -> None:
    """Make all items and keep none."""
    for _ in items:
        pass


def write(source: Source, files: dict[str, pathlib.Path]) -> int:
    """Write the source's raw rows as CSV and as Parquet; returns their number."""
    table = pa.concat_tables([chunk.table for chunk in source.chunks()])
    form = source.schema.format
    table = table.select(form.columns or table.column_names)
    pq.write_table(table, files["parquet"])
    options = pyarrow.csv.WriteOptions(
        include_header=form.header, delimiter=form.delimiter, quoting_style="none"
    )
    pyarrow.csv.write_csv(table, files["csv"], options)
    return table.num_rows


if __name__ == "__main__":
    main()
