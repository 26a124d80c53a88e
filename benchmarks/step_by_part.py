"""Where does a step's time go, by module and kind of operation?

    python benchmarks/step_by_part.py [--sizes NAME ...] [--models ple mmoe] [--json]

`jax.profiler` traces the step of `step_vs_peers.py`. Each of the compiler's operations
counts for the module, or else the kind of operation, in its name in the compiled
program; a fusion counts for its last operation. Operations overlap, and one may use
several cores, so the parts add up to more or less than the whole step, which is the
first line. The profiler sees only the start of a product that runs on Eigen's threads.
"""

import pathlib
import re
import tempfile
from collections import Counter
from collections.abc import Iterator

import jax
from lib import measure, problem, report
from lib.sizes import MODELS, QUICK, SIZES, Size, arrays

STEPS, DISPATCHES = 4, 3
OPERATION = re.compile(r'^\s*(?:ROOT )?%?([\w.-]+) = .*?(?:op_name="([^"]*)"|$)', re.M)
BACKWARD = "transpose(jvp("
BY_KIND = ("gather", "scatter", "scatter-add", "sort", "concatenate")


def main() -> None:
    """Print the parts of each size and model, the longest first."""
    parser = report.command(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["common-100k"])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["ple"])
    asked = parser.parse_args()
    sizes = QUICK if asked.quick else {name: SIZES[name] for name in asked.sizes}
    results = [
        {"size": name, "model": model} | record
        for name, size in sizes.items()
        for model in asked.models
        for record in parts(model, size)
    ]
    report.show("parts of a step", results, asked.json)


def parts(model: str, size: Size) -> list[report.Record]:
    """Milliseconds of the whole step, then of its parts."""
    trainer = problem.trainer_for(model, size)
    batches = problem.batches_of(arrays(size, STEPS))
    ready, start = trainer.prepare(batches), trainer.shapes()
    program = trainer.steps.lower(start, ready, STEPS).compile().as_text()
    part_of = {name: part(name, path) for name, path in OPERATION.findall(program)}
    several = measure.queued(problem.dispatch(trainer, batches), DISPATCHES)
    measure.seconds(several)  # the first call compiles
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            whole = measure.seconds(several)
        spent: Counter[str] = Counter()
        for name, seconds in events(pathlib.Path(folder)):
            if of := part_of.get(name):
                spent[of] += seconds
    steps = STEPS * DISPATCHES
    shown = [{"part": "the step", "ms": 1e3 * whole / steps}]
    return shown + [{"part": p, "ms": 1e3 * s / steps} for p, s in spent.most_common()]


def events(folder: pathlib.Path) -> Iterator[tuple[str, float]]:
    """Name and seconds of each event that the profiler saw."""
    (path,) = folder.rglob("*.xplane.pb")
    for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
        for line in plane.lines:
            for event in line.events:
                yield event.name, event.duration_ns / 1e9


def part(name: str, path: str) -> str:
    """The part that an operation's path names; "" outside the loop of steps.

    It is the first two modules, or else the kind of operation:
    jit(steps)/while/body/transpose(jvp(PLE))/level_0/.../vmap(experts)/Dense_0/dot
    gives "level_0/experts, backward".
    """
    if not path:  # the compiler's own
        return "copies and constants"
    *_, inner = path.rpartition("while/body/")
    if inner == path:
        return ""
    *places, kind = inner.split("/")
    places = [re.sub(r"^vmap\((.*)\)$", r"\1", place) for place in places]
    modules = [place for place in places if re.fullmatch(r"[a-z]\w*", place)]
    where = "/".join(modules[:2])
    if not where:
        where = kind if kind in BY_KIND else "element by element"
    return where + ", backward" * (BACKWARD in inner)


if __name__ == "__main__":
    main()
