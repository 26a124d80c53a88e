"""Where does a step's time go? The profiler's times of its operations, by part.

    python benchmarks/parts.py [--sizes NAME ...] [--models ple mmoe] [--json]

The step of `peers.py`, traced by `jax.profiler`: each of the compiler's operations is
put down to the module, or to the kind of operation, that its name in the compiled
program tells. One into which others were fused counts as that which it ends with.
Operations run side by side, and one may use several cores, so the times add up to more
or less than the step's, which stands first. Of a product that Eigen's threads work on
the profiler sees the beginning alone.
"""

import pathlib
import re
import tempfile
from collections import Counter
from collections.abc import Iterator

import _measure
import jax
from peers import count, problem
from peers.on_device import dispatch, trainer_for
from peers.sizes import QUICK, SIZES, Size, arrays

STEPS, DISPATCHES = 4, 3
OPERATION = re.compile(r'^\s*(?:ROOT )?%?([\w.-]+) = .*?(?:op_name="([^"]*)"|$)', re.M)
BACKWARD = "transpose(jvp("
BY_KIND = ("gather", "scatter", "scatter-add", "sort", "concatenate")


def main() -> None:
    """Prints the parts of each size and model, the longest first."""
    parser = _measure.command(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["common-100k"])
    parser.add_argument("--models", nargs="+", choices=count.MODELS, default=["ple"])
    asked = parser.parse_args()
    sizes = QUICK if asked.quick else {name: SIZES[name] for name in asked.sizes}
    results = [
        {"size": name, "model": model} | record
        for name, size in sizes.items()
        for model in asked.models
        for record in parts(model, size)
    ]
    _measure.show("parts of a step", results, asked.json)


def parts(model: str, size: Size) -> list[_measure.Record]:
    """Milliseconds of a step by part, after the step's own."""
    trainer = trainer_for(model, size)
    batches = problem.batches_of(arrays(size, STEPS))
    ready, start = trainer.prepare(batches), jax.eval_shape(trainer.init)
    program = trainer.steps.lower(start, ready, STEPS).compile().as_text()
    part_of = {name: part(name, path) for name, path in OPERATION.findall(program)}
    several = _measure.queued(dispatch(trainer, batches), DISPATCHES)
    _measure.seconds(several)  # the first call compiles
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            whole = _measure.seconds(several)
        spent: Counter[str] = Counter()
        for name, seconds in events(pathlib.Path(folder)):
            if of := part_of.get(name):
                spent[of] += seconds
    steps = STEPS * DISPATCHES
    shown = [{"part": "the step", "ms": 1e3 * whole / steps}]
    return shown + [{"part": p, "ms": 1e3 * s / steps} for p, s in spent.most_common()]


def events(folder: pathlib.Path) -> Iterator[tuple[str, float]]:
    """Names and seconds of all that the profiler saw."""
    (path,) = folder.rglob("*.xplane.pb")
    for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
        for line in plane.lines:
            for event in line.events:
                yield event.name, event.duration_ns / 1e9


def part(name: str, path: str) -> str:
    """`level_0/experts, backward` of an operation's path; "" outside of the steps.

    Of jit(steps)/while/body/transpose(jvp(PLE))/level_0/.../vmap(experts)/Dense_0/dot
    these are the first two modules; what is in none goes by its kind.
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
