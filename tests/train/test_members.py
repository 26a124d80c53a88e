"""Members: several networks on shared embeddings, trained side by side."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import assert_close
from lib.training import TINY, new_run, tiny

from ple_jax import config, models
from ple_jax.data.loader import Loader
from ple_jax.layers.members import Members
from ple_jax.runs import defaults
from ple_jax.train import loop
from ple_jax.train.trainer import step_of

KINDS = ("ple", "sluice", "star", "single_task")  # plain; penalties; statistics; towers


@pytest.fixture(scope="module")
def data(prepared):
    return prepared("synthetic", examples=700, domains=2)


def member(tree, m):
    return jax.tree.map(lambda leaf: leaf[m], tree)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_each_member_and_their_mean(kind):
    model = models.build(kind, num_tasks=2, num_domains=3)
    x = jax.random.normal(jax.random.key(0), (11, 5))
    domain = jnp.arange(11) % 3
    several = Members(model, 3)
    variables = several.init(jax.random.key(1), x, domain)
    inner = {
        name: tree["model"] for name, tree in variables.items() if name != "penalties"
    }
    alone = [model.apply(member(inner, m), x, domain) for m in range(3)]
    assert len({float(z[0, 0]) for z in alone}) == 3  # none starts as another does
    mean = several.apply(variables, x, domain)
    np.testing.assert_allclose(mean, np.mean(alone, axis=0), atol=1e-6)
    each, _ = several.apply(
        variables,
        x,
        domain,
        True,
        mutable=["batch_stats", "penalties"],
        rngs={"dropout": jax.random.key(2)},
    )
    assert each.shape == (3, 11, 2)


MODELS = (
    {"kind": "ple", "expert_dims": [7], "tower_dims": [5]},
    {"kind": "sluice", "width": 6, "tower_dims": [5]},  # has penalties
)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["kind"])
def test_each_learns_as_it_would_alone(data, model):
    """The gradient of a member is its own over M, and a table's is their mean."""
    of = lambda members: config.from_dict(
        {**TINY, "model": model, "train": {**TINY["train"], "members": members}}
    )
    several, one = (step_of(of(members), data.layout, 3) for members in (2, 1))
    batch = Loader(data.split("train"), 64, 0).batches(0, 0, 1).at(0)
    state, key = several.init(), jax.random.key(3)
    inner = state.trained["model"]["model"]
    grads = several.gradients(state, batch, key)[0]
    wanted = []
    for m in range(2):
        lone = state.replace(trained={**state.trained, "model": member(inner, m)})
        wanted.append(one.gradients(lone, batch, key)[0])
        halved = jax.tree.map(lambda leaf: leaf / 2, wanted[m]["model"])
        assert_close(member(grads["model"]["model"], m), halved)
    tables = [each["tables"] for each in wanted]
    assert_close(grads["tables"], jax.tree.map(lambda a, b: (a + b) / 2, *tables))


def test_a_run_of_members_ends_in_finite_scores_and_resumes(data, tmp_path):
    run = new_run(data, tmp_path / "run", train={"members": 2, "epochs": 2})
    first = loop.fit(run)
    assert loop.fit(run, resume=True)["test"] == first["test"]
    assert first["test"]["tasks"]["like"]["auc_roc"] > 0.5


def test_small_data_has_members_and_batches_of_one_domain_have_none():
    assert defaults.members("natural", 49_999) == 4
    assert defaults.members("natural", 50_000) == 1
    assert defaults.members("one_domain", 100) == 1
    with pytest.raises(ValueError, match="batches of several domains"):
        tiny(train={"members": 3, "sampling": "one_domain"})
    with pytest.raises(ValueError, match=r"train\.members must be at least 1"):
        tiny(train={"members": 0})
