"""Sweeps: lists of values for some knobs, and the trials that they ask for."""

import functools
import hashlib
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ple_jax import config
from ple_jax.checks import check_known
from ple_jax.config.experiment import Experiment, Train

SEED = "train.seed"
MOST = 10_000  # trials of a sweep: a folder each
LONGEST = 255  # bytes of a folder's name
Lists = Mapping[str, tuple[Any, ...]]  # dotted path -> values
# The experiment with other plugins: section -> kind.
OfKinds = Callable[[Mapping[str, str]], Experiment]


class Trial(NamedTuple):
    """One run of a sweep, or of several seeds."""

    name: str  # "learning_rate=0.003,seed=1"
    point: str  # "learning_rate=0.003": the same for all its seeds
    experiment: Experiment


class Sweep(NamedTuple):
    """An experiment, and lists of values for some of its knobs.

    The points are the product of the lists; each has `train.seeds` trials.
    """

    base: Experiment
    lists: Lists
    trials: tuple[Trial, ...]

    def facts(self) -> dict[str, Any]:
        """Dotted path -> value of the experiment, and sweep.path -> values."""
        swept = {f"sweep.{path}": list(values) for path, values in self.lists.items()}
        return config.flat(self.base) | swept

    def to_toml(self) -> str:
        """TOML that `config.load` and `of` read back."""
        text = config.to_toml(self.base)
        if not self.lists:
            return text
        lines = [f"{k} = {config.toml_value(v)}" for k, v in self.lists.items()]
        return "\n".join([text, "[sweep]", *lines, ""])


def taken(
    tree: Mapping[str, Any], more: Mapping[str, Any] = MappingProxyType({})
) -> tuple[dict[str, Any], Lists]:
    """Splits off the table `[sweep]`: an experiment's dicts, and lists by dotted path.

    A table `[tune]` is dropped: it is for another command, which reads it.

    Args:
        tree: Section -> knob -> value, and `sweep`.
        more: Lists by dotted path, which override those of the table.

    Raises:
        ValueError: A value is no list, or its knob cannot be swept.
    """
    rest = dict(tree)
    rest.pop("tune", None)
    table = rest.pop("sweep", {})
    if not isinstance(table, Mapping):
        raise ValueError(f"[sweep] must be a table, got {table!r}.")
    lists = {**dict(_flat(table)), **more}
    for path, values in lists.items():
        check_values(path, values)
    return rest, {path: tuple(values) for path, values in lists.items()}


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Pairs of a dotted path and its value."""
    for section, knobs in table.items():
        if isinstance(knobs, Mapping):
            yield from ((f"{section}.{knob}", v) for knob, v in knobs.items())
        else:
            yield section, knobs


def check_values(path: str, values: Any) -> None:
    """Raises a ValueError if `values` are no list, or `path` is no knob to sweep."""
    section, dot, _ = path.partition(".")
    check_known(section, [*config.PLUGINS, *config.SETTINGS], "section to sweep")
    if not dot:
        raise ValueError(
            f"sweep.{section} must name a knob, as sweep.train.learning_rate does."
        )
    if section == "data":
        raise ValueError(
            f"{path} cannot be swept: all trials read one data set. Make a run each."
        )
    if path == "train.seeds":
        raise ValueError("train.seeds cannot be swept; sweep train.seed.")
    if not isinstance(values, list | tuple):
        raise ValueError(f"sweep.{path} must be a list of values, got {values!r}.")
    if not values:
        raise ValueError(f"sweep.{path} is an empty list: name a value, or drop it.")


def of(of_kinds: OfKinds, lists: Lists) -> Sweep:
    """The sweep of an experiment.

    Args:
        of_kinds: The experiment with these kinds instead of its own.
        lists: Values by dotted path, from `taken`.

    Raises:
        ValueError: An unknown knob (with the nearest), a value that it does not take,
            or two trials that are the same.
    """
    once = functools.cache(lambda kinds: of_kinds(dict(kinds)))
    check_count(once(()), lists)
    trials: list[Trial] = []
    for chosen, point in points(lists):
        experiment = with_checked(lambda kinds: once(tuple(kinds.items())), chosen)
        for seed in seeds_of(experiment.train):
            alone = {SEED: seed, "train.seeds": 1}
            one = config.with_values(experiment, alone)
            trials.append(Trial(name_of(point, seed), point, one))
    (name, times), *_ = Counter(trial.name for trial in trials).most_common(1)
    if times > 1:
        raise ValueError(f"The sweep asks for the same trial twice: {name}.")
    return Sweep(once(()), lists, tuple(trials))


def check_count(base: Experiment, lists: Lists) -> None:
    """Raises a ValueError if a sweep has more trials than a folder may hold."""
    count = math.prod(map(len, lists.values())) * base.train.seeds
    if count > MOST:
        raise ValueError(
            f"The sweep asks for {count:,} trials, and at most {MOST:,} can be made: "
            "sweep fewer values, or lower train.seeds."
        )


def recorded(
    base: Experiment, lists: Lists, of_name: Callable[[str], Experiment]
) -> Sweep:
    """The sweep that a directory records, with each trial's experiment by its name."""
    check_count(base, lists)
    trials = []
    for chosen, point in points(lists):
        train = config.with_values(base, chosen).train
        names = [name_of(point, seed) for seed in seeds_of(train)]
        trials += [Trial(name, point, of_name(name)) for name in names]
    return Sweep(base, lists, tuple(trials))


def points(lists: Lists) -> Iterator[tuple[dict[str, Any], str]]:
    """The product of the lists: dotted path -> value, and the point's name."""
    for values in itertools.product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        yield chosen, point_of(chosen, lists)


def seeds_of(train: Train) -> range:
    """The seeds of a point."""
    return range(train.seed, train.seed + train.seeds)


def name_of(point: str, seed: int) -> str:
    """A trial's name, and its folder's: one that is too long ends in its checksum."""
    name = ",".join(filter(None, [point, f"seed={seed}"]))
    if len(name.encode()) <= LONGEST:
        return name
    end = f"~{digest(name)}"
    return name.encode()[: LONGEST - len(end)].decode(errors="ignore") + end


def point_of(chosen: Mapping[str, Any], lists: Lists) -> str:
    """A point's name: its values without the seed."""
    shown = short(lists)
    parts = [(k, spelled_apart(v, lists[k])) for k, v in chosen.items() if k != SEED]
    return ",".join(f"{shown[k]}={text}" for k, text in parts)


def with_checked(of_kinds: OfKinds, chosen: Mapping[str, Any]) -> Experiment:
    """The experiment with these values, checked like its own."""
    kinds = {}
    for path, value in chosen.items():
        section, _, knob = path.partition(".")
        if knob == "kind" and section in config.PLUGINS:
            if not isinstance(value, str):
                raise ValueError(f"{path}: expected str, got {value!r}.")
            kinds[section] = value
    tree = config.to_dict(of_kinds(kinds))
    for path, value in chosen.items():
        section, _, knob = path.partition(".")
        tree[section][knob] = value
    given = {
        s: {k: v for k, v in knobs.items() if v is not None}
        for s, knobs in tree.items()
    }
    return config.from_dict(given)


def short(lists: Lists) -> dict[str, str]:
    """The last name of each path, or the whole path where two would be the same."""
    last = {path: path.rpartition(".")[2] for path in lists}
    often = list(last.values())
    return {p: p if often.count(n) > 1 else n for p, n in last.items()}


def spelled_apart(value: Any, values: Iterable[Any]) -> str:
    """A value as `spelled`, with a checksum if another of `values` is spelled alike."""
    text = spelled(value)
    alike = any(v != value and spelled(v) == text for v in values)
    return f"{text}~{digest(config.toml_value(value))}" if alike else text


def spelled(value: Any) -> str:
    """A value as part of a folder's name."""
    if isinstance(value, list | tuple):
        return "+".join(map(spelled, value)) or "none"
    text = value if isinstance(value, str) else config.toml_value(value)
    return re.sub(r"[^\w.+-]", "_", text)


def digest(text: str) -> str:
    """A short checksum, to tell names apart."""
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def is_sweep(tree: Mapping[str, Any], lists: Lists = MappingProxyType({})) -> bool:
    """Whether an experiment's dicts and these lists ask for several trials."""
    train = tree.get("train", {})
    several = isinstance(train, Mapping) and train.get("seeds", 1) != 1
    return bool(lists or several or tree.get("sweep"))
