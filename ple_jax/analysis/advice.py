"""Advice on a data set: its card, what models score on it, and which to go on with."""

import dataclasses
import pathlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ple_jax import config, datasets
from ple_jax.analysis import candidates, trees
from ple_jax.analysis.candidates import Compared
from ple_jax.analysis.card import Card, card
from ple_jax.analysis.plan import Plan, most_rows, plan
from ple_jax.analysis.raw import drawn, raw_of, rows_in
from ple_jax.analysis.recommend import Recommended, recommend
from ple_jax.config.paths import from_folder
from ple_jax.data.prepare import load_or_prepare
from ple_jax.data.source import Source
from ple_jax.data.store import Prepared
from ple_jax.disk import check_new, replace_file, write_json
from ple_jax.show import console

Tree = Mapping[str, Any]
MANY_EPOCHS = 30  # where the experiment leaves it open, more are rare
QUICK_ROWS = 2000  # from which a pilot measures what an epoch costs
WITHOUT_TREES = "Trees are left out: pip install scikit-learn, or the extra `sklearn`."


@dataclasses.dataclass(frozen=True)
class Advice:
    """What is known after some minutes.

    Attributes:
        rows: Rows that were looked at, and rows that there are.
        card: What the data hold.
        compared: What each model scores.
        recommended: The model to go on with, and why.
        cuts: What was cut for the time, one sentence each.
    """

    rows: tuple[int, int]
    card: Card
    compared: tuple[Compared, ...]
    recommended: Recommended
    cuts: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; test is that of the recommended model alone."""
        models = {}
        for one in self.compared:
            facts = {name: of for name, of in vars(one).items() if name != "moved"}
            kind, test = facts.pop("kind"), facts.pop("test")
            chosen = kind == self.recommended.kind
            models[kind] = {**facts, "test": test} if chosen else facts
        return {
            "rows": self.rows[0],
            "rows_in_files": self.rows[1],
            "cuts": list(self.cuts),
            "card": self.card,
            "models": models,
            "recommended": dataclasses.asdict(self.recommended),
        }


def tree_of_data(path: pathlib.Path, files: Sequence[str] = ()) -> dict[str, Any]:
    """The experiment to advise on: that of a file, or of a schema with its files."""
    if not files:
        return config.load(path)
    data = {"kind": "table", "schema": str(path), "files": list(files)}
    return {"data": data}


def check_folder(folder: pathlib.Path, tree: Tree, models: Sequence[str]) -> None:
    """Raises an error for a folder that is not new, and for what cannot be trained.

    Raises:
        FileExistsError: The folder exists.
        ValueError: A model is unknown (with the nearest), or the experiment has no
            data.
    """
    check_new(folder, "folder (--out)")
    if "data" not in tree:
        raise ValueError(
            "DATA.toml has no [data]: name an experiment, or a schema and its files."
        )
    for kind in models:
        if kind != trees.KIND:
            config.with_kinds({}, {"model": kind})
    if models and set(models) == {trees.KIND}:
        raise ValueError("Trees alone are no comparison: name a model too.")


def advise(
    tree: Tree,
    folder: pathlib.Path,
    minutes: float,
    models: Sequence[str] = (),
) -> Advice:
    """Looks at the data, trains models in a folder, and recommends one.

    Args:
        tree: An experiment; its model does not matter, all else does.
        folder: A new folder.
        minutes: About how long it may take. Rows, epochs and seeds are cut for it.
        models: What to compare; () takes those that the data allow, and trees.

    Raises:
        ValueError: The data cannot be read, or every model diverged.
    """
    watch = console.Stopwatch()
    source, rows = source_of(tree, most_rows(minutes))
    raw = raw_of(source)
    made = card(raw)
    with console.bar("preparing") as advance:
        data = load_or_prepare(source, advance)
    compared, cuts = compare_all(
        {k: v for k, v in tree.items() if k != "sweep"},
        data,
        folder,
        models,
        60 * minutes - watch.seconds,
    )
    if len(raw.split) < rows:
        cuts = (f"{len(raw.split):,} of {rows:,} rows, drawn at random.", *cuts)
    chosen = recommend(compared, data)
    return Advice((len(raw.split), rows), made, compared, chosen, cuts)


def source_of(tree: Tree, most: int) -> tuple[Source, int]:
    """The source of an experiment's data, of at most so many rows, and its rows.

    Raises:
        ValueError: It is prepared, so that its raw rows are not known.
    """
    plugin = config.from_dict({"data": tree.get("data", {})}).data
    source = datasets.find(plugin.kind).build(**plugin.options)
    if isinstance(source, Prepared):
        raise ValueError(
            "Advice needs raw rows, and this data set is prepared: name the experiment "
            "that it was prepared from."
        )
    rows = rows_in(source)
    return drawn(source, most, rows), rows


def compare_all(
    tree: Tree,
    data: Prepared,
    folder: pathlib.Path,
    models: Sequence[str],
    seconds: float,
) -> tuple[tuple[Compared, ...], tuple[str, ...]]:
    """Trains all models within a time; what they score, and what was cut for it."""
    watch, found = console.Stopwatch(), list[Compared]()
    kinds = [k for k in models or candidates.kinds_for(data) if k != trees.KIND]
    cuts: tuple[str, ...] = ()
    if not models or trees.KIND in models:
        if trees.is_installed():
            console.say("trees")
            found.append(candidates.boosted(data))
        else:
            cuts = (WITHOUT_TREES,)
    of_all = Plan()
    if data.facts["splits"]["train"]["rows"] > QUICK_ROWS:
        console.say("a pilot, to see what an epoch costs")
        kind = "ple" if "ple" in kinds else kinds[-1]
        cost = candidates.pilot(folder / "pilot", data, tree, kind)
        asked = config.from_dict(candidates.tree_of(tree, kind, 1, None)).train.epochs
        wanted = asked if isinstance(asked, int) else MANY_EPOCHS
        left = seconds - watch.seconds
        of_all = plan(left, len(kinds), cost, wanted)
    for kind in kinds:
        console.say(kind)
        found.append(
            candidates.trained(folder / "runs" / kind, data, tree, kind, of_all)
        )
    return tuple(found), (*cuts, *of_all.cuts)


def write(advice: Advice, report: str, tree: Tree, folder: pathlib.Path) -> str:
    """Writes advice.json, advice.md and the experiment to go on with.

    Returns:
        The command that trains it.
    """
    experiment = folder / f"{folder.name}.toml"
    command = shlex.join(["ple-jax", "train", str(experiment), "--train.seeds", "5"])
    moved = {**tree, "data": from_folder(tree["data"], folder)}
    texts = {
        folder / "advice.md": report,
        experiment: f"# {command}\n{next_experiment(moved, advice.recommended.kind)}",
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "advice.json", advice.to_dict())
    for path, text in texts.items():
        with replace_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    return command


def next_experiment(tree: Tree, kind: str) -> str:
    """The experiment with the recommended model, as TOML; it keeps all else."""
    known = {k: v for k, v in tree.items() if k != "sweep"}
    new, _ = config.with_kinds(known, {"model": kind})
    if kind == candidates.ALONE:
        new["inputs"] = {**new.get("inputs", {}), "per_task": True}
    parts = []
    for section in (s for s in config.SECTIONS if new.get(s)):
        lines = [f"{k} = {config.toml_value(v)}" for k, v in new[section].items()]
        parts.append("\n".join([f"[{section}]", *lines]))
    return "\n\n".join(parts) + "\n"
