"""The experiment: frozen dataclasses, read strictly from TOML, overridden by path."""

import copy
import dataclasses
import json
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any, Literal

from ple_jax import registry, typed
from ple_jax.layers.tables import Inputs


@dataclasses.dataclass(frozen=True)
class Train:
    """How long, how fast and from which seed to train.

    Attributes:
        epochs: The most passes over the train split.
        batch_size: Examples in a step.
        optimizer: The update rule of all parameters.
        learning_rate: Its highest rate.
        schedule: How the rate goes from its highest to the end of training.
        warmup_steps: Steps in which the rate climbs from zero first.
        final_rate: The rate at the end of a cosine or linear schedule, as a share.
        weight_decay: Decoupled weight decay of kernels and tables (AdamW).
        clip_norm: Gradients of what is trained are scaled down to this global norm
            where theirs is larger; 0 is off.
        average_decay: Per-step decay of the moving average of the parameters that is
            evaluated and kept instead of the last values; 0 is off.
        sampling: What a batch holds: the `natural` mix of domains; examples of
            `one_domain`, drawn in proportion to its size (STAR's way) or, with
            `one_domain_uniform`, each domain as often; or a mix that is `balanced`.
        temperature: Of balanced sampling: domains take part in proportion to their size
            to the power of 1 / temperature; 1 is the natural mix, inf all alike.
        only: Names of which a parameter's path must hold one to be trained, such as
            `private` for what belongs to domains; empty trains everything.
        metric: What chooses the best epoch on validation: a metric, averaged over the
            tasks, or metric/task.
        patience: Epochs without a better metric before training stops; 0 is never.
        checkpoint_every: Steps between checkpoints in an epoch; 0 is only at its end.
        steps_per_dispatch: The most steps that one call of the device runs.
        eval_batch_size: Examples in a batch of evaluation.
        data_on: Where the train split lies: on the device, which picks batches from it,
            or on the host, which sends them. `auto` is the device where a quarter of
            its memory is enough, unless the host must look at each batch anyhow, as it
            does for tables that are updated by rows on CPU. The batches are the same.
        compute_dtype: In which precision the model computes, products and activations;
            parameters, statistics, tables and losses are float32 in any case.
        devices: How many devices share a batch; 0 is all.
        seed: Of the initial parameters, the order of examples, and dropout.
        replicas: How many runs to train together, with seeds from `seed` on; the table
            has their mean, standard deviation and confidence interval.
    """

    epochs: int = 10
    batch_size: int = 1024
    optimizer: Literal["adam", "adagrad", "sgd"] = "adam"
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup_steps: int = 0
    final_rate: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    average_decay: float = 0.0
    sampling: Literal["natural", "one_domain", "one_domain_uniform", "balanced"] = (
        "natural"
    )
    temperature: float = 2.0
    only: tuple[str, ...] = ()
    metric: str = "auc_roc"
    patience: int = 0
    checkpoint_every: int = 0
    steps_per_dispatch: int = 32
    eval_batch_size: int = 4096
    data_on: Literal["auto", "device", "host"] = "auto"
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    devices: int = 0
    seed: int = 0
    replicas: int = 1

    def __post_init__(self):
        of = lambda *names: {name: getattr(self, name) for name in names}
        sizes = of("epochs", "batch_size", "steps_per_dispatch", "eval_batch_size")
        factors = of("temperature", "replicas")
        amounts = of("warmup_steps", "weight_decay", "clip_norm", "patience")
        counts = of("checkpoint_every", "devices", "seed")
        registry.at_least(1, "train", **sizes, **factors)
        registry.at_least(0, "train", **amounts, **counts)
        registry.rate("train", average_decay=self.average_decay)
        if not self.learning_rate > 0:
            raise ValueError(
                f"train.learning_rate must be above 0, got {self.learning_rate}."
            )


@dataclasses.dataclass(frozen=True)
class Plugin:
    """A plugin by its kind, with all its options."""

    kind: str
    options: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """All that determines a run, beside the data's bytes and the device count."""

    data: Plugin
    model: Plugin
    weighting: Plugin
    inputs: Inputs
    train: Train


# By name, so that this room stands below those of the plugins.
PLUGINS = {
    "data": "ple_jax.data",
    "model": "ple_jax.models",
    "weighting": "ple_jax.weightings",
}
SETTINGS = {"inputs": Inputs, "train": Train}
DEFAULT_KINDS = {"data": "synthetic", "model": "ple", "weighting": "fixed"}


def options(section: str, kind: str) -> dict[str, registry.Option]:
    """The knobs of a plugin section, for this kind of plugin."""
    build = registry.find(PLUGINS[section], kind).build
    known = registry.options_of(build)
    return {k: v for k, v in known.items() if k not in ("num_tasks", "num_domains")}


def from_dict(tree: Mapping[str, Any], partial: bool = False) -> Experiment:
    """An experiment from nested dicts; what is not there takes its default.

    Args:
        tree: Section -> knob -> value.
        partial: Whether options that have no default may be left out.

    Raises:
        ValueError: An unknown section or key (with the nearest), or a wrong type.
    """
    for section in tree:
        registry.check_known(section, [*PLUGINS, *SETTINGS], "section of an experiment")
        if not isinstance(tree[section], Mapping):
            raise ValueError(f"[{section}] must be a table, got {tree[section]!r}.")
    plugins: dict[str, Any] = {
        s: _plugin(s, dict(tree.get(s, {})), partial) for s in PLUGINS
    }
    settings = {
        s: typed.dataclass_from(cls, tree.get(s, {}), s) for s, cls in SETTINGS.items()
    }
    return Experiment(**plugins, **settings)


def _plugin(section: str, tree: dict[str, Any], partial: bool) -> Plugin:
    kind = tree.pop("kind", DEFAULT_KINDS[section])
    known = options(section, kind)
    for name in tree:
        registry.check_known(name, ["kind", *known], f"option of {section} {kind!r}")
    chosen = {}
    for name, option in known.items():
        path = f"{section}.{name}"
        if name in tree:
            chosen[name] = typed.convert(option.type, tree[name], path)
        elif not option.required:
            chosen[name] = option.default
        elif not partial:
            raise ValueError(f"{path} is needed: {option.help}")
    return Plugin(kind, chosen)


def with_values(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """A copy with other values, by dotted path, that no check looks at.

    This is how arrays come to stand in the place of knobs (see `traced.py`); checked
    values go through `from_dict`.
    """
    sections = {s: getattr(experiment, s) for s in (*PLUGINS, *SETTINGS)}
    for path, value in values.items():
        section, knob = path.split(".")
        old = sections[section]
        new = {"options": {**old.options, knob: value}} if section in PLUGINS else {}
        sections[section] = _copied(old, new or {knob: value})
    return Experiment(**sections)


def _copied(frozen: Any, fields: Mapping[str, Any]) -> Any:
    new = copy.copy(frozen)
    for name, value in fields.items():
        object.__setattr__(new, name, value)
    return new


def to_dict(experiment: Experiment) -> dict[str, Any]:
    """The resolved experiment as nested dicts of plain values."""
    tree = {
        s: {"kind": getattr(experiment, s).kind, **getattr(experiment, s).options}
        for s in PLUGINS
    }
    tree |= {s: dataclasses.asdict(getattr(experiment, s)) for s in SETTINGS}
    return json.loads(json.dumps(tree))


def load(path: str | pathlib.Path) -> dict[str, Any]:
    """The nested dicts of a TOML experiment file, as written."""
    path = pathlib.Path(path)
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.toml")]
        hint = registry.nearest(path.name, beside)
        raise ValueError(f"There is no experiment file {str(path)!r}.{hint}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}.") from error


def with_kinds(
    tree: Mapping[str, Any], kinds: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """The experiment with other plugins; options that do not fit them are dropped.

    An option fits where the new kind has one of that name, which takes that value.

    Returns:
        The new tree, and the paths of the options that were dropped.
    """
    tree, dropped = {s: dict(v) for s, v in tree.items()}, []
    for section, kind in kinds.items():
        old = tree.get(section, {})
        known = options(section, kind)
        kept = {k: v for k, v in old.items() if k in known and _fits(known[k], v)}
        dropped += [f"{section}.{k}" for k in old if k not in kept and k != "kind"]
        tree[section] = {"kind": kind, **kept}
    return tree, dropped


def _fits(option: registry.Option, value: Any) -> bool:
    try:
        typed.convert(option.type, value, "")
    except ValueError:
        return False
    return True


def differences(old: Experiment, new: Experiment) -> list[str]:
    """One line for each knob whose value differs."""
    a, b = flat(old), flat(new)
    return [
        f"{path}: {a.get(path)!r} -> {b.get(path)!r}"
        for path in sorted(a | b)
        if a.get(path) != b.get(path)
    ]


def flat(experiment: Experiment) -> dict[str, Any]:
    """Dotted path -> value."""
    tree = to_dict(experiment)
    return {f"{s}.{k}": v for s, section in tree.items() for k, v in section.items()}


def to_toml(experiment: Experiment) -> str:
    """The resolved experiment as TOML that `load` reads back; None is left out."""
    lines = []
    for section, values in to_dict(experiment).items():
        lines.append(f"[{section}]")
        lines += [f"{k} = {toml_value(v)}" for k, v in values.items() if v is not None]
        lines.append("")
    return "\n".join(lines)


def toml_value(value: Any) -> str:
    """A plain value as TOML spells it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, float):
        return repr(value)  # JSON spells infinity otherwise
    # JSON's strings, whole numbers and booleans are TOML's too.
    return json.dumps(value, ensure_ascii=False)
