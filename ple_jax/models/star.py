"""Star topology adaptive recommender (Sheng et al., CIKM 2021)."""

from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax import checks
from ple_jax.layers.experts import MLP
from ple_jax.layers.per_domain import PRIVATE
from ple_jax.layers.star import StarNetwork
from ple_jax.models.common import TowerDims, WithDomainInput
from ple_jax.space import OneOf
from ple_jax.types import Array, PyTree, path_names

StarDims = Annotated[tuple[int, ...], OneOf((64, 32), (128, 64, 32), (256, 128, 64))]


class STAR(WithDomainInput):
    """A shared network times each domain's private one, plus an auxiliary network.

        x' = PartitionedNorm(x)
        s  = star(x'),   each layer (W * W_p)^T h + b + b_p
        a  = MLP([embedding_p, x'])
        z  = s + a

    Attributes:
        num_tasks: T, the width of the last layer.
        dims: Widths of the hidden layers of the star network.

    Cost: hardly grows with T, the width of the last layer. An example's does not grow
    with N; each domain of a batch adds W * W_p.

    Reference: Sheng et al., CIKM 2021, section 3.
    Differs from the paper: it has one task, and does not give the auxiliary network's
        activation, the widths or the initial values.
    """

    dims: StarDims = (128, 64, 32)
    auxiliary_dims: TowerDims = (32,)
    partitioned_norm: bool = True

    def __post_init__(self):
        checks.dims(dims=self.dims)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task, from the example's own domain's network."""
        x = self.normalise(x, domain, train)
        dims, rate = (*self.dims, self.num_tasks), self.dropout_rate
        star = StarNetwork(self.num_domains, dims, dropout_rate=rate, name="star")
        return self.add_auxiliary(star(x, domain, train), x, domain, train)


class Plain(nn.Module):
    """The plain layers that one domain's network folds to, on the raw input.

        z = head(MLP(x)) + auxiliary_head(auxiliary(x))

    Attributes:
        num_tasks: T.
        dims: As in `STAR`.
        auxiliary_dims: As in `STAR`.
    """

    num_tasks: int
    dims: tuple[int, ...]
    auxiliary_dims: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # (B, D) -> (B, T) logits
        """One logit per task."""
        hidden = MLP(self.dims, name="main")(x)
        logits = nn.Dense(self.num_tasks, name="main_head")(hidden)
        if self.auxiliary_dims:
            hidden = MLP(self.auxiliary_dims, name="auxiliary")(x)
            logits += nn.Dense(self.num_tasks, name="auxiliary_head")(hidden)
        return logits


def fold(model: STAR, variables: PyTree) -> tuple[Plain, PyTree]:
    """Folds a trained STAR into one plain network per domain, as cheap as an MLP.

    Multiplies in the normalisation, W * W_p, and the domain's embedding.

    Args:
        model: The trained model.
        variables: Its `params` and `batch_stats`.

    Returns:
        The module, and all domains' parameters with a leading axis N. To score domain
        p: `module.apply({"params": jax.tree.map(lambda w: w[p], params)}, x)`.

    Raises:
        ValueError: The model has an `input_norm`.

    Reference: Sheng et al., CIKM 2021, section 3.2.2, on serving.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = STAR(num_tasks=2, num_domains=3, dims=(4,))
        >>> x, domain = jnp.ones((5, 7)), jnp.full(5, 1)
        >>> variables = model.init(jax.random.key(0), x, domain)
        >>> module, params = fold(model, variables)
        >>> own = jax.tree.map(lambda w: w[1], params)
        >>> folded = module.apply({"params": own}, x)
        >>> bool(jnp.allclose(folded, model.apply(variables, x, domain), atol=1e-5))
        True
    """
    if model.input_norm != "none":
        raise ValueError(
            f"A STAR with input_norm = {model.input_norm!r} does not fold; one with "
            "partitioned_norm, or with neither, does."
        )
    params = variables["params"]
    star, own = params["star"]["shared"], params["star"][PRIVATE]
    layers = {}
    for i in range(len(model.dims) + 1):
        w, p = star[f"layer_{i}"], own[f"layer_{i}"]
        kernel, bias = w["kernel"][None] * p["factor"], w["bias"][None] + p["term"]
        layers[f"Dense_{i}"] = {"kernel": kernel, "bias": bias}
    slope, shift = _normalisation(model, variables, layers["Dense_0"]["kernel"])
    layers["Dense_0"] = _fold_input(slope, shift, **layers["Dense_0"])
    head = layers.pop(f"Dense_{len(model.dims)}")
    folded = {"main": layers, "main_head": head}
    if model.auxiliary_dims:
        folded |= _fold_auxiliary(params, slope, shift)
    module = Plain(model.num_tasks, model.dims, model.auxiliary_dims)
    return module, folded


def _normalisation(model, variables, kernel):
    """Slope and shift (N, D) such that x' = slope * x + shift."""
    if not model.partitioned_norm:
        return jnp.ones(kernel.shape[:2]), jnp.zeros(kernel.shape[:2])
    norm, kept = variables["params"]["norm"], variables["batch_stats"]["norm"][PRIVATE]
    own, epsilon = norm[PRIVATE], model.norm_epsilon
    slope = norm["scale"][None] * own["scale"] * jax.lax.rsqrt(kept["var"] + epsilon)
    return slope, norm["bias"][None] + own["bias"] - slope * kept["mean"]


def _fold_input(slope, shift, kernel, bias):
    """Turns dense layers (N, D, H) on slope * x + shift into dense layers on x."""
    moved = jnp.einsum("nd,ndh->nh", shift, kernel)
    return {"kernel": slope[:, :, None] * kernel, "bias": bias + moved}


def _fold_auxiliary(params, slope, shift):
    number, width = slope.shape
    spread = lambda leaf: jnp.broadcast_to(leaf, (number, *leaf.shape))
    layers = jax.tree.map(spread, params["auxiliary"])
    kernel, bias = layers["Dense_0"]["kernel"], layers["Dense_0"]["bias"]
    of_domain = params["domain"][PRIVATE]
    bias += jnp.einsum("nd,ndh->nh", of_domain, kernel[:, :-width])
    layers["Dense_0"] = _fold_input(slope, shift, kernel[:, -width:], bias)
    head = jax.tree.map(spread, params["auxiliary_head"])
    return {"auxiliary": layers, "auxiliary_head": head}


def with_new_domains(model: STAR, variables: PyTree, count: int) -> tuple[STAR, PyTree]:
    """Adds `count` domains to a trained STAR, after the others.

    A new domain starts as the shared network: its factors are one, its terms zero, its
    embedding the mean of the others'. Its statistics start afresh, so its first batch
    sets them. Then `train.only = ["private"]` trains what belongs to domains, and not
    the shared part.

    Differs from the paper: it does not say how to add a domain.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = STAR(num_tasks=2, num_domains=3, dims=(4,))
        >>> x, domain = jnp.ones((5, 7)), jnp.zeros(5, int)
        >>> variables = model.init(jax.random.key(0), x, domain)
        >>> wider, _ = with_new_domains(model, variables, count=2)
        >>> wider.num_domains
        5
    """
    checks.at_least(1, count=count)
    ones, zeros = ("factor", "scale", "var"), ("term", "bias", "mean", "batches")
    starts = dict.fromkeys(ones, 1.0) | dict.fromkeys(zeros, 0.0)

    def lengthen(path, leaf):
        names = path_names(path)
        if PRIVATE not in names:
            return leaf
        start = starts.get(names[-1], leaf.mean(axis=0, keepdims=True))
        new = jnp.broadcast_to(start, (count, *leaf.shape[1:])).astype(leaf.dtype)
        return jnp.concatenate([leaf, new])

    wider = model.clone(num_domains=model.num_domains + count)
    return wider, jax.tree_util.tree_map_with_path(lengthen, variables)


build = STAR
