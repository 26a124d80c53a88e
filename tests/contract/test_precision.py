"""Models that compute in bfloat16; what must stay float32."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.small_models import mixed, scores, start, statistics
from lib.training import new_run

from ple_jax import config, models
from ple_jax.data.loader import Loader
from ple_jax.train import loop
from ple_jax.train.trainer import trainer_of

KINDS = models.available()
half = functools.partial(jax.tree.map, lambda leaf: jnp.asarray(leaf, jnp.bfloat16))


def products(jaxpr):
    """The dtypes of what is multiplied, of all products of a program."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            yield {str(v.aval.dtype) for v in eqn.invars}
        for inner in jax.tree.leaves(
            list(eqn.params.values()), is_leaf=lambda p: hasattr(p, "eqns")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from products(inner)


@pytest.mark.parametrize("kind", KINDS)
def test_every_product_of_a_model_is_in_its_precision(kind):
    model, params, x = start(kind)
    variables = {"params": half(params)} | statistics(model)
    apply = lambda x: model.apply(variables, x, mixed(len(x)))
    found = list(products(jax.make_jaxpr(apply)(half(x)).jaxpr))
    assert found
    assert all(dtypes == {"bfloat16"} for dtypes in found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_scores_nearly_alike_in_bfloat16(kind):
    model, params, x = start(kind)
    wanted = scores(model, params, x)[0]
    got = scores(model, half(params), half(x))[0]
    assert got.dtype == jnp.bfloat16
    # 8 bits of mantissa, some products deep.
    np.testing.assert_allclose(got, wanted, atol=0.05 * np.abs(wanted).max())


STAR = {"kind": "star", "dims": [7]}
PLE = {"kind": "ple", "expert_dims": [7], "batch_norm": True}


@pytest.mark.parametrize("model", [STAR, PLE], ids=["star", "ple"])
def test_parameters_statistics_and_logits_stay_float32(data, model):
    sections = {"model": model, "train": {"compute_dtype": "bfloat16"}}
    experiment = config.from_dict(sections)
    trainer = trainer_of(experiment, data.layout)
    state, batches = trainer.init(), Loader(data.split("train"), 64, 0).batches(0, 0, 5)
    after, _ = trainer.steps(state, batches, 5)
    kept = (after.trained, after.batch_stats, after.opt_state, after.stream)
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(kept)}
    assert dtypes == {jnp.dtype("float32"), jnp.dtype("int32")}
    variables = {
        "model": after.trained["model"],
        "tables": after.trained["tables"],
        "batch_stats": after.batch_stats,
    }
    assert trainer.score(variables, batches.at(0)).dtype == jnp.float32


def test_a_run_in_bfloat16_learns_as_one_in_float32(data, tmp_path):
    aucs = []
    for dtype in ("float32", "bfloat16"):
        chosen = new_run(data, tmp_path / dtype, train={"compute_dtype": dtype})
        tasks = loop.fit(chosen)["validation"]["tasks"]
        aucs.append([measured["auc_roc"] for measured in tasks.values()])
    assert aucs[0] != aucs[1]
    np.testing.assert_allclose(aucs[1], aucs[0], atol=0.02)
