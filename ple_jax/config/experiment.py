"""The experiment: frozen dataclasses, whose fields are the knobs of a run."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from ple_jax.checks import at_least, rate

OLD_NAMES = {"train": {"replicas": "seeds"}}  # section -> old name -> today's


@dataclasses.dataclass(frozen=True)
class Inputs:
    """How a batch becomes the input of the model.

    Attributes:
        embedding_dim: Width of an embedding, where the schema names none.
        embedding_scale: Standard deviation of the initial embeddings.
        embedding_dropout_rate: Chance that an embedded field is dropped while training.
        update: Whether a step updates whole tables (dense) or only the rows of its
            batch (rows); auto is by rows where that is faster: where the rows are many
            for each id of a batch. All tables of one width are one. By rows, Adam is
            lazy, weight decay is of the touched rows only, and there is no moving
            average.
        row_optimizer: The update rule of tables that are updated by rows; same is
            train.optimizer, rowwise_adagrad needs the least memory.
        frozen: The tables, by name, that keep their initial values.
        per_domain: Whether each domain has embeddings of its own.
    """

    embedding_dim: int = 8
    embedding_scale: float = 0.05
    embedding_dropout_rate: float = 0.0
    update: Literal["auto", "dense", "rows"] = "auto"
    row_optimizer: Literal["same", "sgd", "adagrad", "rowwise_adagrad", "adam"] = "same"
    frozen: tuple[str, ...] = ()
    per_domain: bool = False

    def __post_init__(self):
        at_least(1, "inputs", embedding_dim=self.embedding_dim)
        rate("inputs", embedding_dropout_rate=self.embedding_dropout_rate)
        if self.update == "dense" and self.row_optimizer != "same":
            raise ValueError(
                "inputs.row_optimizer is for tables that are updated by rows, but "
                f"inputs.update is 'dense'; got {self.row_optimizer!r}."
            )


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
        seeds: How many trials to train together, with seeds from `seed` on; the table
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
    seeds: int = 1

    def __post_init__(self):
        of = lambda *names: {name: getattr(self, name) for name in names}
        sizes = of("epochs", "batch_size", "steps_per_dispatch", "eval_batch_size")
        factors = of("temperature", "seeds")
        amounts = of("warmup_steps", "weight_decay", "clip_norm", "patience")
        counts = of("checkpoint_every", "devices", "seed")
        at_least(1, "train", **sizes, **factors)
        at_least(0, "train", **amounts, **counts)
        rate("train", average_decay=self.average_decay)
        if not self.learning_rate > 0:
            raise ValueError(
                f"train.learning_rate must be above 0, got {self.learning_rate}."
            )


def with_new_names(tree: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment's nested dicts, with the names that older files use replaced."""
    new = dict(tree)
    for section, names in OLD_NAMES.items():
        knobs = new.get(section)
        if isinstance(knobs, Mapping):
            new[section] = {names.get(k, k): v for k, v in knobs.items()}
    return new


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
