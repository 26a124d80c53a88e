"""What each model needs for a training step, written from its paper."""

from collections.abc import Callable, Mapping
from typing import Any

from ple_jax import models

from . import equations as eq
from .equations import Input, Need, activations
from .sizes import Size

FLOAT = 4  # bytes
Options = Mapping[str, Any]


def work(kind: str, size: Size, options: Options) -> Need:
    """Of one step, without tables and optimizer: the input is kept."""
    defaults = models.describe(kind)["options"]
    every = {name: about["default"] for name, about in defaults.items()} | options
    x = Input(size.inputs, size.fields * size.width)
    kept = Need(kept=size.batch * size.inputs)
    loss = Need(eq.LOSS * size.batch * size.tasks)
    return kept + loss + MODELS[kind](size, every, x)


def operations(
    kind: str, size: Size, options: Options, moved: float | None = None
) -> float:
    """All of a step: the model, sums of slopes into rows, Adam of all parameters.

    Of tables, Adam moves so many numbers, or else all.
    """
    need = work(kind, size, options)
    moved = size.table_parameters if moved is None else moved
    sums = size.batch * size.fields * size.width
    return need.operations + sums + eq.ADAM * (need.parameters + moved)


def memory(kind: str, size: Size, options: Options) -> float:
    """Bytes that a step must hold: activations, and slopes of all parameters."""
    need = work(kind, size, options)
    return FLOAT * (need.kept + need.parameters + size.table_parameters)


def groups(size: Size, options: Options) -> tuple[int, int, int]:
    """Groups that an example takes part in, logits of each, and domains with groups."""
    within = 1 if options["groups"] == "domains" else size.tasks
    domains = 1 if options["groups"] == "tasks" else size.domains
    return within, size.tasks // within, domains


def own_towers(size: Size, options: Options, width: int) -> Need:
    """A tower for each group; all read inputs of the same width."""
    within, outputs, domains = groups(size, options)
    dims, x = options["tower_dims"], activations(width)
    return eq.towers(size.batch, x, dims, within, outputs, domains)


def single_task(size: Size, options: Options, x: Input) -> Need:
    """z_t = tower_t(f_t(x))."""
    within, _, domains = groups(size, options)
    dims = options["expert_dims"]
    bottoms = eq.mlps(size.batch, x, dims, within, domains)
    return bottoms + own_towers(size, options, dims[-1])


def shared_bottom(size: Size, options: Options, x: Input) -> Need:
    """z_t = tower_t(f(x))."""
    dims = options["expert_dims"]
    return eq.mlps(size.batch, x, dims) + own_towers(size, options, dims[-1])


def ml_mmoe(size: Size, options: Options, x: Input) -> Need:
    """Experts that gates mix; below the last level, a gate for each expert above."""
    within, _, domains = groups(size, options)
    experts, levels = options["num_experts"], level_dims(options)
    need, read = Need(), x
    for level, dims in enumerate(levels):
        last = level == len(levels) - 1
        count, own = (within, domains) if last else (experts, 1)
        need += eq.mlps(size.batch, read, dims, experts)
        need += gates_and_mixtures(
            size, options, x, count, count * experts, dims[-1], own
        )
        read = activations(dims[-1])
    return need + own_towers(size, options, read.width)


def gates_and_mixtures(
    size: Size,
    options: Options,
    x: Input,
    count: int,
    pairs: int,
    width: int,
    domains: int = 1,
) -> Need:
    """`count` gates that see `pairs` experts in all; a gate that sees one is free."""
    if pairs == count:
        return Need(kept=size.batch * count * width)
    bias = options["gate_use_bias"]
    return eq.gates(size.batch, x, pairs, bias, domains) + eq.mixtures(
        size.batch, count, pairs, width
    )


def omoe(size: Size, options: Options, x: Input) -> Need:
    """One gate for all tasks."""
    dims, experts = options["expert_dims"], options["num_experts"]
    need = eq.mlps(size.batch, x, dims, experts)
    need += gates_and_mixtures(size, options, x, 1, experts, dims[-1])
    return need + own_towers(size, options, dims[-1])


def ple(size: Size, options: Options, x: Input) -> Need:
    """Own and shared experts.

    The last level is an example's own domain's. Below, the shared gate may see all
    domains' experts; then all of them run, and so do the gates that feed experts of
    other domains.
    """
    within, _, domains = groups(size, options)
    own, shared = options["experts_per_task"], options["shared_experts"]
    owned = own * within if isinstance(own, int) else sum(own)
    *lower, last = level_dims(options)
    everyone = options.get("shared_sees", "all") == "all"
    need, read = Need(), x
    for j, dims in enumerate(lower):
        seen = domains if everyone else 1
        feeding = seen if j < len(lower) - 1 else 1  # domains that gates feed
        stored = domains // seen
        need += eq.mlps(size.batch, read, dims, owned * seen, stored)
        need += eq.mlps(size.batch, read, dims, shared)
        pairs = feeding * (owned + within * shared)
        need += gates_and_mixtures(
            size, options, read, feeding * within, pairs, dims[-1], domains // feeding
        )
        all_seen = owned * seen + shared
        need += gates_and_mixtures(size, options, read, 1, all_seen, dims[-1])
        read = activations(dims[-1])
    need += eq.mlps(size.batch, read, last, owned, domains)
    need += eq.mlps(size.batch, read, last, shared)
    pairs = owned + within * shared
    need += gates_and_mixtures(size, options, read, within, pairs, last[-1], domains)
    return need + own_towers(size, options, last[-1])


def adatt(size: Size, options: Options, x: Input) -> Need:
    """Units that fuse all experts of their domain, and add their own once more."""
    within, _, domains = groups(size, options)
    own, shared = options["experts_per_task"], options["shared_experts"]
    owned = own * within if isinstance(own, int) else sum(own)
    need, read, dims = Need(), x, level_dims(options)
    for j, widths in enumerate(dims):
        shared_unit = shared > 0 and j < len(dims) - 1
        units, natives = within + shared_unit, owned + shared * shared_unit
        need += eq.mlps(size.batch, read, widths, owned, domains)
        need += eq.mlps(size.batch, read, widths, shared)
        pairs = units * (owned + shared)
        need += gates_and_mixtures(
            size, options, read, units, pairs, widths[-1], domains
        )
        learned = domains * natives * (owned + shared > within + (shared > 0))
        need += Need(2 * size.batch * natives, parameters=learned)
        read = activations(widths[-1])
    return need + own_towers(size, options, read.width)


def level_dims(options: Options) -> list[tuple[int, ...]]:
    """The widths of each level's experts."""
    if widths := options.get("level_widths"):
        return [(width,) for width in widths]
    return [options["expert_dims"]] * options.get("num_levels", 1)


def cross_stitch(size: Size, options: Options, x: Input) -> Need:
    """A network for each group of every domain; features mix after every layer.

    After the last layer, an example reads its own domain's mixtures only.
    """
    within, _, domains = groups(size, options)
    every, need, read = within * domains, Need(), x
    for i, width in enumerate(options["expert_dims"]):
        last = i == len(options["expert_dims"]) - 1
        made = within if last else every
        weights = every**2 * (width if options["per_channel"] else 1)
        need += eq.mlps(size.batch, read, (width,), every)
        need += eq.mixed(size.batch, made * every * width, made * width, weights)
        read = activations(width)
    return need + own_towers(size, options, read.width)


def customized(size: Size, options: Options, x: Input) -> Need:
    """z_t = tower_t([f_s(x), f_t(x)])."""
    dims, shared = options["expert_dims"], int(options["shared"])
    read = activations((1 + shared) * dims[-1])
    return eq.mlps(size.batch, x, dims, size.tasks + shared) + eq.towers(
        size.batch, read, options["tower_dims"], size.tasks
    )


def asymmetric(size: Size, options: Options, x: Input) -> Need:
    """z_t = tower_t([f_b(x) for b in reads(t)]), or their sum or mean."""
    dims, tower = options["expert_dims"], options["tower_dims"]
    reads = options["reads"] or [(0, t) if t else (0,) for t in range(size.tasks)]
    need = eq.mlps(size.batch, x, dims, size.tasks)
    if options["fusion"] != "concat":
        pairs = sum(len(read) for read in reads)
        need += Need(
            4 * size.batch * pairs * dims[-1], size.batch * size.tasks * dims[-1]
        )
        return need + eq.towers(size.batch, activations(dims[-1]), tower, size.tasks)
    for read in reads:
        joined = activations(len(read) * dims[-1])
        need += eq.towers(size.batch, joined, tower, 1)
    return need


def sluice(size: Size, options: Options, x: Input) -> Need:
    """Networks whose subspaces mix after every layer; skips; the penalty's products."""
    width, layers, cut = (
        options[name] for name in ("width", "num_layers", "subspaces")
    )
    parts, each = size.tasks * cut, width // cut
    need, read = Need(), x
    for _ in range(layers):
        need += eq.mlps(size.batch, read, (width,), size.tasks)
        need += eq.mixed(size.batch, parts**2 * each, size.tasks * width, parts**2)
        pairs = size.tasks * cut * (cut - 1) // 2
        need += Need(6 * pairs * read.width * each**2)
        read = activations(width)
    skips = size.tasks * layers
    need += eq.mixed(size.batch, skips * width, size.tasks * width, skips)
    return need + eq.towers(size.batch, read, options["tower_dims"], size.tasks)


def mran(size: Size, options: Options, x: Input) -> Need:
    """Attention among features, from tasks to features, and among tasks."""
    width, items = options["width"], options["num_features"]
    need = eq.dense(size.batch, x, items * width)
    need += attention(size, items, width, options["num_heads"])
    # Keys and values of features, scores by each task's query, their mixtures.
    of_item = activations(width)
    need += eq.dense(size.batch * items, of_item, 2 * width, bias=False)
    need += Need(kept=size.batch * 2 * items * width)
    need += eq.mixed(size.batch, size.tasks * items * width, 0, size.tasks * width)
    need += Need(eq.SOFTMAX * size.batch * size.tasks * items)
    need += eq.mixed(
        size.batch, size.tasks * items * width, size.tasks * (items + width), 0
    )
    need += attention(size, size.tasks, width, options["num_heads"])
    return need + eq.towers(size.batch, of_item, options["tower_dims"], size.tasks)


def attention(size: Size, items: int, width: int, heads: int) -> Need:
    """x + multi-head self-attention(x) among items; nothing has a bias."""
    need = Need(kept=size.batch * items * width)  # what it reads
    maps = eq.dense(size.batch * items, activations(width), 4 * width, bias=False)
    need += maps + Need(kept=size.batch * items * 4 * width)  # q, k, v, mixture
    scores = heads * items**2
    need += eq.mixed(size.batch, items**2 * width, scores, 0)
    need += Need(eq.SOFTMAX * size.batch * scores)
    return need + eq.mixed(size.batch, items**2 * width, 0, 0)


def domain_input(size: Size, options: Options, x: Input) -> tuple[Need, Input]:
    """Partitioned normalisation, and what reads it."""
    if not options["partitioned_norm"]:
        return Need(), x
    need = eq.normalised(size.batch, x.width, size.domains)
    return need, activations(x.width)  # scale and bias need the slopes


def auxiliary(size: Size, options: Options, x: Input) -> Need:
    """z + MLP([embedding_p, x'])."""
    if not (dims := options["auxiliary_dims"]):
        return Need()
    extra = options["domain_dim"]
    read = Input(x.width + extra, x.slopes + extra)
    rows = Need(kept=size.batch * extra, parameters=size.domains * extra)
    return rows + eq.towers(size.batch, read, dims, 1, size.tasks)


def star(size: Size, options: Options, x: Input) -> Need:
    """Layers whose weights are the shared ones times the domain's own."""
    dims = (*options["dims"], size.tasks)
    need, x = domain_input(size, options, x)
    need += eq.towers(size.batch, x, dims[:-1], 1, size.tasks, size.domains + 1)
    need += eq.reweighted(size.domains, x.width, dims)
    return need + auxiliary(size, options, x)


def separate(size: Size, options: Options, x: Input) -> Need:
    """A shared-bottom network for each domain."""
    dims = options["expert_dims"]
    need, x = domain_input(size, options, x)
    need += eq.mlps(size.batch, x, dims, 1, size.domains)
    read, towers = activations(dims[-1]), options["tower_dims"]
    need += eq.towers(size.batch, read, towers, size.tasks, domains=size.domains)
    return need + auxiliary(size, options, x)


def mulann(size: Size, options: Options, x: Input) -> Need:
    """A shared bottom, towers, and a discriminator of domains."""
    dims = options["expert_dims"]
    need, x = domain_input(size, options, x)
    need += eq.mlps(size.batch, x, dims)
    read = activations(dims[-1])
    if size.domains > 1:
        hidden = options["discriminator_dims"]
        need += eq.towers(size.batch, read, hidden, 1, size.domains)
        need += Need(eq.SOFTMAX * size.batch * size.domains)
    need += eq.towers(size.batch, read, options["tower_dims"], size.tasks)
    return need + auxiliary(size, options, x)


MODELS: dict[str, Callable[[Size, Options, Input], Need]] = {
    "adatt": adatt,
    "asymmetric": asymmetric,
    "cgc": ple,
    "cross_stitch": cross_stitch,
    "customized": customized,
    "ml_mmoe": ml_mmoe,
    "mmoe": ml_mmoe,
    "mran": mran,
    "mulann": mulann,
    "omoe": omoe,
    "ple": ple,
    "separate": separate,
    "shared_bottom": shared_bottom,
    "single_task": single_task,
    "sluice": sluice,
    "star": star,
}
