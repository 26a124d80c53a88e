"""The experiment: frozen dataclasses, whose fields are the knobs of a run."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from ple_jax.checks import WIDEST, at_least, at_most, check_unique, rate
from ple_jax.space import Between, OneOf

OLD_NAMES = {"train": {"replicas": "seeds"}}  # section -> old name -> today's
# Section -> knob -> what runs do that were recorded before there was the knob.
OLD_VALUES = {"model": {"norm_window": 0.0}}
AUTO = "auto"
ADDRESS = re.compile(r"\S+:\d{1,5}")


def ruled(constant: Any) -> Any:
    """A field for which an experiment may say `auto`, and does if it says nothing.

    `runs.defaults` then puts a number in its place, before there is a run. `constant`
    is that of code that makes the dataclass itself, and of older recordings without it.
    """
    return dataclasses.field(default=constant, metadata={AUTO: True})


@dataclasses.dataclass(frozen=True)
class Inputs:
    """How a batch becomes the input of the model.

    Attributes:
        embedding_dim: Width of the embeddings whose width the schema leaves open.
        embedding_scale: Standard deviation of the initial embeddings.
        embedding_dropout_rate: Probability of dropping each embedded field while
            training.
        update: Whether a step updates whole tables (`dense`) or only the rows that its
            batch looks up (`rows`). `auto` updates by rows where that is faster, which
            is where a table has many rows for each id of a batch; all tables of one
            width count as one. By rows, Adam is lazy, weight decay shrinks only the
            rows of the batch, and tables have no moving average.
        row_optimizer: The update rule of tables that are updated by rows. `same` means
            train.optimizer; `rowwise_adagrad` needs the least memory.
        row_order: How the rows of tables lie: as ids are numbered, by how often train
            has them (`frequency`), or spread (`spread`), so that devices that share a
            table have as much to do each. `auto` spreads them in a run that begins on
            several devices. The model and its scores are the same.
        exchange: How devices that share tables exchange rows of them: by `all_to_all`,
            or by the SparseCores that TPUs have from v5 on (`sparsecore`: an extra of
            the package, and never run on a TPU).
        wire: The precision of rows on their way between devices. Their gradients, and
            tables, are always float32.
        frozen: Names of tables that keep their initial values.
        per_domain: Whether each domain has its own embeddings.
        per_task: Whether each task has its own embeddings, as single-task models of
            the papers have; for a model whose tasks can read inputs of their own
            (`single_task`). Tables and inputs are then T times as large.
    """

    embedding_dim: Annotated[int, OneOf(4, 8, 16, 32)] = 8
    embedding_scale: float = 0.05
    embedding_dropout_rate: Annotated[float, Between(0.0, 0.3)] = 0.0
    update: Literal["auto", "dense", "rows"] = "auto"
    row_optimizer: Literal["same", "sgd", "adagrad", "rowwise_adagrad", "adam"] = "same"
    row_order: Literal["frequency", "spread"] = ruled("frequency")
    exchange: Literal["all_to_all", "sparsecore"] = "all_to_all"
    wire: Literal["float32", "bfloat16"] = "float32"
    frozen: tuple[str, ...] = ()
    per_domain: bool = False
    per_task: bool = False

    def __post_init__(self):
        at_least(1, "inputs", embedding_dim=self.embedding_dim)
        at_most(WIDEST, "inputs", embedding_dim=self.embedding_dim)
        rate("inputs", embedding_dropout_rate=self.embedding_dropout_rate)
        if self.update == "dense" and self.row_optimizer != "same":
            raise ValueError(
                f"inputs.row_optimizer = {self.row_optimizer!r} needs tables that are "
                "updated by rows, but inputs.update is 'dense'."
            )


@dataclasses.dataclass(frozen=True)
class MeshShape:
    """How devices are divided: those that share a batch, and those that share experts.

    Attributes:
        data: Parts of a batch; 0 for as many as the devices have room for.
        model: Parts of the experts of each level.
    """

    data: int = 0
    model: int = 1

    def __post_init__(self):
        at_least(0, "train.mesh", data=self.data)
        at_least(1, "train.mesh", model=self.model)


@dataclasses.dataclass(frozen=True)
class Train:
    """How long, how fast and from which seed to train.

    Attributes:
        epochs: Passes over the train split, at most. `auto` is 30, or more, up to 100,
            where these would be fewer than 3,000 steps; `patience` mostly ends earlier.
        batch_size: Examples in a step. `auto` is the power of two that gives at least
            100 steps an epoch, from 32 to 1024; beyond 4 million examples it grows, to
            8192.
        members: Networks that are trained side by side on the same embeddings, and
            whose mean logits are the scores: better where data is small, at so many
            times the dense work. `auto` is 4 below 50,000 examples, otherwise 1.
        optimizer: The update rule of all parameters.
        learning_rate: The highest learning rate of the schedule. `auto` is 0.001
            sqrt(batch_size / 64), and 0.01 for `sgd` and `adagrad`.
        schedule: How the learning rate falls from its highest value until training
            ends.
        warmup_steps: Steps in which the learning rate first climbs from zero.
        final_rate: What a cosine or linear schedule ends at, as a share of
            learning_rate.
        weight_decay: Decoupled weight decay of kernels and tables (AdamW).
        normaliser: What the summed loss of a task is divided by: the weight of its
            sample space in the batch (`batch`), or the mean of that over the batches so
            far (`running`), by which each example counts alike, however few of its task
            a batch holds.
        clip_norm: Scales the gradients of all trained parameters down to this global
            norm if theirs is larger; 0 turns this off.
        average_decay: Decay, per step, of a moving average of the parameters, which is
            then evaluated and kept in place of the last ones; 0 turns this off. `auto`
            is 0.999, or 0 where tables hold over a million numbers.
        sampling: What a batch holds: domains as they come (`natural`), one domain
            chosen by its size, as in STAR (`one_domain`), one domain chosen uniformly
            (`one_domain_uniform`), or domains mixed by temperature (`balanced`).
        temperature: How even `balanced` sampling is: a domain's share is proportional
            to its size to the power of 1 / temperature, so that 1 is the natural mix
            and inf gives all domains the same share.
        only: Trains only the parameters whose path contains one of these names, such as
            `private` for what belongs to domains; empty trains all.
        metric: The validation metric that chooses the best epoch: `METRIC`, averaged
            over tasks that have it, or `METRIC/TASK`. `auto` is `auc_roc`, or if no
            label is 0 or 1 the headline of a loss, such as `rmse`. `macro:METRIC` and
            `macro:METRIC/TASK` are means over domains, each counting once; `worst:`
            takes a task's worst domain.
            `certain:METRIC` weighs each binary task by how certain its AUC is, P N /
            (P + N + 1) with P positives and N negatives of validation, so that a task
            of few positives does not decide; `auto` records it for a new run of
            several binary tasks.
        recalibrate: What corrects the probabilities of binary tasks once training has
            ended: nothing, a line in the logit (`platt`), or rising steps (`isotonic`),
            which need more rows. It is fitted on validation, kept with the run, and
            applied wherever the run predicts. The order of scores stays, but for ties.
        recalibrate_by: Whether a task has one correction (`task`), or one for each
            domain with 20 rows of either class (`domain`); the order of scores then
            stays within a domain alone.
        patience: Stops after this many epochs without a better metric; 0 never does.
            `auto` is 3, or more, up to 10, where these would be fewer than 300 steps.
        checkpoint_every: Steps between checkpoints within an epoch; 0 saves only at its
            end.
        steps_per_dispatch: Steps that one call to the device runs, at most.
        eval_batch_size: Examples in a batch of evaluation.
        order: How an epoch orders examples: any of them next (`full`), or blocks of
            them at random, mixed within windows (`blocks`), so that a split which
            memory does not hold is read a window at a time. `auto` is `full`, or
            `blocks` where the split takes more than half of the memory. `blocks` needs
            `natural` sampling; batches then depend on the number of processes too.
            Shuffle files that are sorted by label or by time before they are prepared.
        window: Blocks of at most 2 MB that are mixed under `order = "blocks"`; memory
            holds two windows.
        data_on: Where the train split lies: on the device, which picks batches from it,
            or on the host, which sends them, or on disk, from which the host reads them
            (`order = "blocks"`). `auto` chooses the device if the split fits in a
            quarter of its memory, unless the host must see each batch anyway, as it
            does on CPU for tables that are updated by rows; and the disk if it does not
            fit in half of the host's. The batches are the same wherever it lies.
        compute_dtype: The precision of the model's products and activations.
            Parameters, statistics, tables and losses are always float32.
        parts: Parts of a batch that go through the model one after another; gradients
            and losses are of the whole. Each part is computed twice, and none is kept,
            so that a batch takes the memory of one part.
        remat: Whether the backward pass recomputes each level of experts, gates and
            their mixtures, instead of keeping what it gave (`jax.checkpoint`): less
            memory, more time. For models with gates; with groups by domain it
            recomputes the towers too.
        devices: Devices that share a batch, of all processes; 0 takes all.
        mesh: How devices are divided: `{data = 8, model = 4}` has 8 parts of a batch,
            and for each of these 4 devices that share the experts of every level, which
            `model` must divide. By default all share the batch, and each has all
            experts.
        distributed: Where several processes meet to train together: `HOST:PORT` of the
            first, or `auto`, which takes it from SLURM, Open MPI, Kubernetes or a TPU
            pod. It is no part of what makes a run the same, and is not recorded.
        seed: Seeds the initial parameters, the order of examples, and dropout.
        seeds: Trials to train, with the seeds `seed`, `seed` + 1, ...; the tables then
            show their mean, standard deviation and confidence interval.
        sinks: Where the numbers of the run also go as it trains: `tensorboard`,
            `mlflow`, `wandb`, each an extra of the package. One that fails does not
            stop training.
    """

    epochs: int = ruled(10)
    batch_size: Annotated[int, OneOf(128, 256, 512, 1024, 2048)] = ruled(1024)
    members: int = ruled(1)
    optimizer: Literal["adam", "adagrad", "sgd"] = "adam"
    learning_rate: Annotated[float, Between(3e-4, 1e-2, log=True)] = ruled(1e-3)
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup_steps: int = 0
    final_rate: float = 0.0
    weight_decay: Annotated[float, Between(1e-6, 1e-2, log=True)] = 0.0
    normaliser: Literal["batch", "running"] = "batch"
    clip_norm: float = 0.0
    average_decay: float = ruled(0.0)
    sampling: Literal["natural", "one_domain", "one_domain_uniform", "balanced"] = (
        "natural"
    )
    temperature: float = 2.0
    only: tuple[str, ...] = ()
    metric: str = "auto"
    recalibrate: Literal["none", "platt", "isotonic"] = "none"
    recalibrate_by: Literal["task", "domain"] = "task"
    patience: int = ruled(0)
    checkpoint_every: int = 0
    steps_per_dispatch: int = 32
    eval_batch_size: int = 4096
    order: Literal["full", "blocks"] = ruled("full")
    window: int = 64
    data_on: Literal["auto", "device", "host", "disk"] = "auto"
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    parts: int = 1
    remat: bool = False
    devices: int = 0
    mesh: MeshShape = MeshShape()
    distributed: str = ""
    seed: int = 0
    seeds: int = 1
    sinks: tuple[str, ...] = ()

    def __post_init__(self):
        of = lambda *names: {name: getattr(self, name) for name in names}
        sizes = of("epochs", "batch_size", "steps_per_dispatch", "eval_batch_size")
        factors = of("temperature", "parts", "members", "seeds")
        amounts = of("warmup_steps", "weight_decay", "clip_norm", "patience")
        counts = of("checkpoint_every", "devices", "seed")
        at_least(1, "train", **sizes, **factors, window=self.window)
        at_least(0, "train", **amounts, **counts)
        rate("train", average_decay=self.average_decay)
        parts = self.mesh.data * self.mesh.model
        if self.mesh.data and self.devices not in (0, parts):
            raise ValueError(
                f"train.devices must be the {parts} of train.mesh, or 0, got "
                f"{self.devices}."
            )
        check_unique(self.sinks, "sink of train.sinks")
        if self.order == "blocks" and self.sampling != "natural":
            raise ValueError(
                "train.order = 'blocks' needs train.sampling = 'natural', got "
                f"{self.sampling!r}: other samplings read any example of the split."
            )
        if self.data_on == "disk" and self.order == "full":
            raise ValueError(
                "train.data_on = 'disk' needs train.order = 'blocks': in the order "
                "'full' every batch has examples of all parts of the split."
            )
        if self.learning_rate != AUTO and not self.learning_rate > 0:
            raise ValueError(
                f"train.learning_rate must be above 0, got {self.learning_rate}."
            )
        if self.distributed not in ("", AUTO) and not ADDRESS.fullmatch(
            self.distributed
        ):
            raise ValueError(
                "train.distributed must be 'auto' or HOST:PORT, such as "
                f"10.0.0.7:1234, got {self.distributed!r}."
            )
        if self.members not in (1, AUTO) and self.sampling.startswith("one_domain"):
            raise ValueError(
                f"train.members = {self.members} needs batches of several domains, but "
                f"train.sampling is {self.sampling!r}."
            )


def with_new_names(tree: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment's nested dicts, with the names that older files use replaced."""
    new = dict(tree)
    for section, names in OLD_NAMES.items():
        knobs = new.get(section)
        if isinstance(knobs, Mapping):
            new[section] = {names.get(k, k): v for k, v in knobs.items()}
    return new


def new_name(section: str, knob: str) -> tuple[str, str]:
    """The section and today's name of a knob that may have an older one."""
    return section, OLD_NAMES.get(section, {}).get(knob, knob)


@dataclasses.dataclass(frozen=True)
class Plugin:
    """A plugin, by its kind, with a value for each of its options."""

    kind: str
    options: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """All that determines a run, apart from the bytes of the data and the devices."""

    data: Plugin
    model: Plugin
    weighting: Plugin
    inputs: Inputs
    train: Train
