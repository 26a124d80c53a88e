"""What gates take, read off the pass that scores; and who they are."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.types import PyTree, path_names

ALONE = 0.95  # mean share of one expert, above which its gate has collapsed
FEW = 0.05  # an expert of which no gate takes as much is hardly used
Means = Mapping[str, Any]  # path of a level -> mean weights (G, E), or (R, G, E)


def mean_weights(sown: PyTree, members: int) -> dict[str, jax.Array]:
    """The mean of each mixture's weights over a batch: path -> (G, E)."""
    found = mixtures(of_one_member(sown, members)).items()
    return {path: of.astype(jnp.float32).mean(axis=0) for path, of in found}


def of_one_member(sown: PyTree, members: int) -> PyTree:
    """What the first of several members sows: each has experts of its own."""
    if members == 1:
        return sown
    return jax.tree.map(lambda leaf: leaf[0], sown.get("model", {}))


def mixtures(sown: PyTree) -> dict[str, Any]:
    """Path -> weights (B, G, E) of what is sown as a mixture, from the input up."""
    found = {}
    for path, leaf in jax.tree.leaves_with_path(sown):
        name = "/".join(part for part in path_names(path) if not part.startswith("["))
        if name.endswith("mixture"):
            found[name] = leaf if leaf.ndim == 3 else leaf[:, None]
    return dict(sorted(found.items(), key=lambda pair: _order(pair[0])))


def _order(path: str) -> tuple[bool, str]:
    return path.startswith("domains"), path  # the last level, where domains own it


def average(each: Sequence[tuple[Means, int]]) -> dict[str, np.ndarray]:
    """The mean of batches' mean weights, by their numbers of rows."""
    rows = [count for _, count in each]
    of = lambda path: np.average(
        [np.asarray(means[path], np.float64) for means, _ in each], axis=0, weights=rows
    )
    return {path: of(path) for path in each[0][0]} if each else {}


def units_of(model: Any) -> tuple[int, ...]:
    """How many experts each unit has, the shared one's last; () where gates tell."""
    while hasattr(model, "model"):  # around it: members, parts of a batch
        model = model.model
    return getattr(model, "unit_experts", ())


def names(
    seen: np.ndarray,
    tasks: list[str],
    shared: bool = False,
    units: Sequence[int] = (),
) -> tuple[list[str], list[str]]:
    """The names of gates and experts, by who sees whom (G, E), or by a model's units.

    An expert belongs to the task whose gate alone sees it, that of all tasks aside.
    """
    if units:
        owners = [*(tasks if len(units) == len(tasks) + 1 else ["all"]), "shared"]
        counts = zip(owners, units, strict=True)
        named = [f"{owner} {i}" for owner, count in counts for i in range(count)]
        return owners[: len(seen)], named
    own = seen[: len(tasks)]
    owned = len(own) == len(tasks) > 1 and bool((own.sum(axis=0) == 1).any())
    if len(seen) == len(tasks) or (owned and len(seen) == len(tasks) + 1):
        gates = [*tasks, "shared"][: len(seen)]
    elif len(seen) == 1:
        gates = ["all"]
    else:
        gates = [f"gate {i}" for i in range(len(seen))]
    experts, counted = [], dict[str, int]()
    for column in own.T:
        owner = tasks[int(column.argmax())] if column.sum() == 1 else "shared"
        owner = owner if owned else "expert"
        experts.append(f"{owner} {counted.get(owner, 0)}")
        counted[owner] = counted.get(owner, 0) + 1
    return gates, experts


def hardly_used(mean: np.ndarray) -> np.ndarray:  # (G, E) -> (E,) bool
    """Experts of which no gate takes 5 % on average, or a quarter of an equal share."""
    choices = np.maximum((mean > 0).sum(axis=1, keepdims=True), 1)
    least = np.minimum(FEW, 0.25 / choices)
    return np.all(mean < least, axis=0) & np.any(mean > 0, axis=0)


def collapse(
    means: Means, tasks: Sequence[str], units: Sequence[int] = ()
) -> dict[str, list[str]]:
    """What is wrong with gates, by their mean weights on validation.

    "alone" names gates that take more than 95 % of one of their experts, "unused"
    experts that are hardly used by any; both with their level.
    """
    found: dict[str, list[str]] = {"alone": [], "unused": []}
    for path, mean in means.items():
        level, seen = path.removesuffix("/mixture"), mean > 0
        gates, experts = names(seen, list(tasks), units=units)
        choice = seen.sum(axis=1) > 1
        for g in np.flatnonzero(choice & (mean.max(axis=1) > ALONE)):
            taken = experts[int(mean[g].argmax())]
            found["alone"].append(f"{level}, {gates[g]}: {taken}")
        idle = np.flatnonzero(hardly_used(mean))
        found["unused"] += [f"{level}: {experts[e]}" for e in idle]
    return found
