"""Every model by its paper's equations, one example at a time.

An oracle maps parameters, an example (D,) and its domain to T logits. A model's batch
statistics stand beside its parameters as `batch_stats`.
"""

import numpy as np
from lib.networks import at, dense, expert, gate, mlp, softmax, tower, towers_of
from lib.small_models import T

# Mixtures of experts; `own` experts per task come first.


def single_task(p, x, _):
    return [tower(p, t, expert(p["bottom"]["experts"], t, x)) for t in range(T)]


def shared_bottom(p, x, _):
    return [tower(p, t, mlp(p["bottom"], x)) for t in range(T)]


def omoe(p, x, _):
    level = p["level"]
    weights = gate(level["gates"]["kernel"], x)
    mixed = sum(w * expert(level["experts"], e, x) for e, w in enumerate(weights))
    return [tower(p, t, mixed) for t in range(T)]


def mmoe(p, x, _, experts=8):
    level, out = p["level_0"], []
    for t in range(T):
        kernel = level["gates"]["kernel"][:, t * experts : (t + 1) * experts]
        weights = gate(kernel, x)
        mixed = sum(w * expert(level["experts"], e, x) for e, w in enumerate(weights))
        out.append(tower(p, t, mixed))
    return out


def ml_mmoe(p, x, _, experts=3, levels=2):
    inputs = [x] * experts
    for j in range(levels):
        level, gates = p[f"level_{j}"], T if j == levels - 1 else experts
        outputs = [expert(level["experts"], e, inputs[e]) for e in range(experts)]
        mixed = []
        for g in range(gates):
            kernel = level["gates"]["kernel"][:, g * experts : (g + 1) * experts]
            weights = gate(kernel, x)
            mixed.append(sum(w * o for w, o in zip(weights, outputs, strict=True)))
        inputs = mixed
    return [tower(p, t, inputs[t]) for t in range(T)]


def ple(p, x, _, own=(2, 3, 1), shared=2, levels=2):
    inputs = [x] * (T + 1)
    for j in range(levels):
        level, number, column = p[f"level_{j}"], 0, 0
        outputs = {}
        for group in range(T + 1):
            count = (*own, shared)[group]
            outputs[group] = [
                expert(level["experts"], number + i, inputs[group])
                for i in range(count)
            ]
            number += count
        mixed = []
        for group in range(T + (j < levels - 1)):
            everything = [o for g in range(T + 1) for o in outputs[g]]
            seen = everything if group == T else outputs[group] + outputs[T]
            kernel = level["gates"]["kernel"][:, column : column + len(seen)]
            column += len(seen)
            weights = gate(kernel, inputs[group])
            mixed.append(sum(w * o for w, o in zip(weights, seen, strict=True)))
        inputs = mixed
    return [tower(p, t, inputs[t]) for t in range(T)]


def adatt(p, x, _, own=(2, 3, 1), shared=2, levels=2, bias=False):
    """Li et al., equations 4 to 10: the sum of all experts, and that of own ones."""
    units = [*range(T), T] if shared else range(T)
    counts, inputs = (*own, shared), [x] * (T + 1)
    for j in range(levels):
        level, outputs, number = p[f"level_{j}"], {}, 0
        for u in units:
            numbers = range(number, number + counts[u])
            of_unit = [expert(level["experts"], e, inputs[u]) for e in numbers]
            outputs[u], number = of_unit, number + counts[u]
        everything, fused, first = [o for u in units for o in outputs[u]], [], 0
        for u in units if j < levels - 1 else range(T):
            columns = slice(u * number, (u + 1) * number)
            logits = inputs[u] @ level["gates"]["kernel"][:, columns]
            logits += level["gates"]["bias"][columns] if bias else 0
            native = [1.0] * counts[u]
            if any(count > 1 for count in counts):
                native = level["residual"]["weights"][first : first + counts[u]]
            first += counts[u]
            of_all = sum(
                g * e for g, e in zip(softmax(logits), everything, strict=True)
            )
            of_own = sum(v * e for v, e in zip(native, outputs[u], strict=True))
            fused.append(of_all + of_own)
        inputs = fused
    return [tower(p, t, inputs[t]) for t in range(T)]


# Bottoms side by side.


def asymmetric(p, x, _, reads, fusion):
    bottoms = [expert(p["bottoms"], b, x) for b in range(T)]
    out, pair = [], 0
    for t in range(T):
        seen = [bottoms[b] for b in reads[t]]
        if fusion != "concat":
            divisor = len(seen) if fusion == "mean" else 1
            out.append(tower(p, t, sum(seen) / divisor))
            continue
        kernels = p["joined"]["kernel"][pair : pair + len(seen)]
        pair += len(seen)
        kernel = np.concatenate(list(kernels))  # of the concatenation
        first = np.concatenate(seen) @ kernel + p["joined"]["bias"][t]
        hidden = np.maximum(first, 0)
        out.append(tower(p, t, hidden) if "towers" in p else first[0])
    return out


def customized(p, x, _):
    shared = expert(p["bottoms"], T, x)
    own = [expert(p["bottoms"], t, x) for t in range(T)]
    return [tower(p, t, np.concatenate([shared, own[t]])) for t in range(T)]


# Networks whose features mix.


def cross_stitch(p, x, n, groups="tasks"):
    networks = len(p["layer_0"]["Dense_0"]["kernel"])
    columns = [x] * networks
    for i in range(sum(name.startswith("layer") for name in p)):
        alpha = p[f"stitch_{i}"]["stitch"]  # a number, or one per channel
        after = [expert(p[f"layer_{i}"], k, columns[k]) for k in range(networks)]
        columns = [
            sum(alpha[k, j] * after[j] for j in range(networks))
            for k in range(networks)
        ]
    if groups == "tasks":
        return [tower(p, t, columns[t]) for t in range(T)]
    towers = at(p["towers"]["private"], n)
    if groups == "domains":
        return towers_of(towers, 0, columns[n])
    return [towers_of(towers, t, columns[n * T + t])[0] for t in range(T)]


def sluice(p, x, _, subspaces, layers):
    tasks, outputs = [x] * T, []
    for i in range(layers):
        alpha = p[f"stitch_{i}"]["stitch"]
        after = [expert(p[f"layer_{i}"], t, tasks[t]) for t in range(T)]
        parts = [part for h in after for part in np.split(h, subspaces)]
        count = len(parts)
        new = [sum(alpha[a, b] * parts[b] for b in range(count)) for a in range(count)]
        tasks = [
            np.concatenate(new[t * subspaces : (t + 1) * subspaces]) for t in range(T)
        ]
        outputs.append(tasks)
    beta = p["skip"]
    skipped = [sum(beta[t, i] * outputs[i][t] for i in range(layers)) for t in range(T)]
    return [tower(p, t, skipped[t]) for t in range(T)]


def sluice_penalty(p, weight, subspaces, layers):
    total = 0.0
    for i in range(layers):
        for kernel in p[f"layer_{i}"]["Dense_0"]["kernel"]:
            cut = np.split(kernel, subspaces, axis=1)
            for s in range(subspaces):
                for r in range(s):
                    total += np.sum((cut[s].T @ cut[r]) ** 2)
    return weight * total


def attended(p, items):
    """Multi-head self-attention (Vaswani et al., 2017) on top of each item."""
    kernels = {name: p[name]["kernel"] for name in ("query", "key", "value")}
    heads, width = kernels["query"].shape[1:]
    out = []
    for item in items:
        drawn = 0.0
        for head in range(heads):
            part = lambda name, values: values @ kernels[name][:, head]  # noqa: B023
            query = part("query", item)
            odds = [query @ part("key", other) / width**0.5 for other in items]
            pairs = zip(softmax(odds), items, strict=True)
            mixture = sum(w * part("value", other) for w, other in pairs)
            drawn = drawn + mixture @ p["out"]["kernel"][head]
        out.append(item + drawn)
    return out


def mran(p, x, _):
    cut, shift = p["features"]["kernel"], p["features"]["bias"]
    features = [x @ cut[:, f] + shift[f] for f in range(cut.shape[1])]
    features = attended(p["among_features"], features)
    tasks = []
    for query in p["query"]:
        keys = [f @ p["key"]["kernel"] for f in features]
        weights = softmax([query @ key / len(query) ** 0.5 for key in keys])
        values = [f @ p["value"]["kernel"] for f in features]
        tasks.append(sum(w * v for w, v in zip(weights, values, strict=True)))
    tasks = attended(p["among_tasks"], tasks)
    return [tower(p, t, tasks[t]) for t in range(T)]


# Domains.


def normalised(p, x, n, moments=None, epsilon=1e-3):
    """An example, normalised by its domain's moments: by default the moving ones."""
    if "norm" not in p:
        return x
    kept = at(p["batch_stats"]["norm"]["private"], n)
    mean, var = moments or (kept["mean"], kept["var"])
    shared, own = p["norm"], at(p["norm"]["private"], n)
    x = (x - mean) / np.sqrt(var + epsilon) * shared["scale"] * own["scale"]
    return x + shared["bias"] + own["bias"]


def auxiliary(p, x, n):
    """What the auxiliary network adds to an example's logits."""
    if "auxiliary" not in p:
        return 0
    given = np.concatenate([p["domain"]["private"][n], x])
    return dense(p["auxiliary_head"], mlp(p["auxiliary"], given))


def star(p, x, n, moments=None, **options):
    x = normalised(p, x, n, moments, **options)
    h, layers = x, len(p["star"]["shared"])
    for i in range(layers):
        shared = p["star"]["shared"][f"layer_{i}"]
        own = at(p["star"]["private"][f"layer_{i}"], n)
        h = (shared["kernel"] * own["factor"]).T @ h + shared["bias"] + own["term"]
        h = np.maximum(h, 0) if i < layers - 1 else h
    return h + auxiliary(p, x, n)


def star_training(p, batch, domains):
    """Logits of a batch, normalised by what it has of each domain."""
    kept, out = p["batch_stats"]["norm"]["private"], []
    for x, n in zip(batch, domains, strict=True):
        of_domain = batch[domains == n]
        mean, var = of_domain.mean(axis=0), of_domain.var(axis=0)
        if len(of_domain) == 1:
            mean, var = kept["mean"][n], kept["var"][n]
        out.append(star(p, x, n, (mean, var)))
    return out


def mulann_penalty(p, batch, domains, weight):
    """Of features that are not reversed: only the gradient is."""
    total = 0.0
    for x, n in zip(batch, domains, strict=True):
        hidden = mlp(p["discriminator"], mlp(p["bottom"], x))
        total -= np.log(softmax(dense(p["discriminator_head"], hidden))[n])
    return weight * total / len(batch)


def separate(p, x, n):
    own, x = at(p["domains"]["private"], n), normalised(p, x, n)
    h = mlp(own["bottom"], x)
    logits = [towers_of(own["towers"], t, h)[0] for t in range(T)]
    return np.array(logits) + auxiliary(p, x, n)


def mulann(p, x, n):
    x = normalised(p, x, n)
    return np.array(shared_bottom(p, x, n)) + auxiliary(p, x, n)


def bound(oracle, **options):
    """The oracle, and the model's options that it needs."""
    return lambda p, x, n: oracle(p, x, n, **options)


UNEQUAL = {"experts_per_task": (2, 3, 1), "shared_experts": 2}
READS = ((0,), (0, 1, 2), (2, 1))
NO_HEAD_START = {"auxiliary_dims": (), "partitioned_norm": False}
BESIDE_STAR = {"auxiliary_dims": (2,), "partitioned_norm": True}
SINGLE = {"experts_per_task": 1, "shared_experts": 1}
# A model's name, and what is special: the oracle and the model's options.
ORACLES = {
    "single_task": (single_task, {}),
    "shared_bottom": (shared_bottom, {}),
    "omoe": (omoe, {}),
    "mmoe": (mmoe, {}),
    "ml_mmoe": (ml_mmoe, {}),
    "ml_mmoe that narrows": (ml_mmoe, {"level_widths": (13, 5)}),
    "ple": (ple, UNEQUAL),
    "cgc": (bound(ple, levels=1), UNEQUAL),
    "adatt": (bound(adatt, bias=True), UNEQUAL | {"gate_use_bias": True}),
    "adatt of single experts": (
        bound(adatt, own=(1, 1, 1), shared=1, levels=3),
        SINGLE | {"num_levels": 3, "level_widths": (17, 13, 5)},
    ),
    "adatt without a shared unit": (
        bound(adatt, shared=0),
        UNEQUAL | {"shared_experts": 0},
    ),
    "asymmetric": (bound(asymmetric, reads=READS, fusion="concat"), {"reads": READS}),
    "asymmetric default": (
        bound(asymmetric, reads=((0,), (0, 1), (0, 2)), fusion="concat"),
        {"tower_dims": (5, 2)},
    ),
    "asymmetric without towers": (
        bound(asymmetric, reads=READS, fusion="concat"),
        {"reads": READS, "tower_dims": ()},
    ),
    "asymmetric sum": (
        bound(asymmetric, reads=READS, fusion="sum"),
        {"reads": READS, "fusion": "sum"},
    ),
    "asymmetric mean": (
        bound(asymmetric, reads=READS, fusion="mean"),
        {"reads": READS, "fusion": "mean"},
    ),
    "customized": (customized, {}),
    "cross_stitch": (cross_stitch, {}),
    "cross_stitch per_channel": (cross_stitch, {"per_channel": True}),
    "cross_stitch domains": (
        bound(cross_stitch, groups="domains"),
        {"groups": "domains"},
    ),
    "cross_stitch tasks_domains": (
        bound(cross_stitch, groups="tasks_domains"),
        {"groups": "tasks_domains"},
    ),
    "sluice": (bound(sluice, subspaces=2, layers=2), {}),
    "sluice of more": (
        bound(sluice, subspaces=5, layers=3),
        {"subspaces": 5, "num_layers": 3},
    ),
    "mran": (mran, {}),
    "star": (star, {}),
    "star alone": (star, NO_HEAD_START),
    "star of another epsilon": (bound(star, epsilon=0.1), {"norm_epsilon": 0.1}),
    "mulann": (mulann, {}),
    "mulann beside star": (mulann, BESIDE_STAR),
    "separate": (separate, {}),
    "separate beside star": (separate, BESIDE_STAR),
}
