"""Faults found in public code of these models, each as a test of ours.

Other files hold these: shared gates that see shared experts only, or stand at the last
level (test_models); equal initial experts (test_experts); norms over a whole mixed
batch, private weights that no optimizer sees, networks of all domains on all rows
(test_star, test_per_domain); labels outside of a task's sample space (test_losses).
"""

import jax
import numpy as np
import pytest
from lib.batches import make_batch
from lib.small_models import T, having, logits, start

from ple_jax import config, models
from ple_jax.config.experiment import Inputs
from ple_jax.data.sampling import make_order
from ple_jax.embeddings.tables import Tables
from ple_jax.layout import Bag, IdColumn, Layout
from ple_jax.metrics import exact
from ple_jax.metrics.curves import auc_roc
from ple_jax.schema import Task

every_model = pytest.mark.parametrize("kind", models.available())


def test_ids_above_two_to_the_24_stay_apart():
    """DeepCTR-Torch carries ids as float32, where 16777217 is 16777216."""
    layout = Layout((IdColumn("item", "item", 2**24 + 9, dim=1),), (), (), (), ("all",))
    tables = Tables(layout, Inputs())
    batch = make_batch([[2**24], [2**24 + 1], [2**24 + 2]])
    rows = tables.rows_or_end(batch, "dim_1")
    np.testing.assert_array_equal(rows[:, 0], [2**24, 2**24 + 1, 2**24 + 2])


@pytest.mark.parametrize(("shared", "own"), [(3, 1), (1, 3), (0, 2), (2, 0)])
def test_shared_and_own_experts_are_counted_apart(shared, own):
    """DeepCTR-Torch builds as many shared experts as own; AdaTT takes 0 for all."""
    options = {"experts_per_task": own, "shared_experts": shared}
    _, params, _ = start("cgc", **options)
    kernel = params["level_0"]["experts"]["Dense_0"]["kernel"]
    assert len(kernel) == T * own + shared


@every_model
@pytest.mark.parametrize("size", [1, 2])
def test_a_small_batch_keeps_its_axes(kind, size):
    """`squeeze()` without an axis loses the batch of one."""
    model, params, x = start(kind)
    assert logits(model, params, x[:size]).shape == (size, T)


@every_model
def test_one_task_keeps_its_axis(kind):
    """Weights by pair of tasks, such as cross-stitch's, must allow for none other."""
    model, params, x = start(kind, tasks=1)
    assert logits(model, params, x).shape == (len(x), 1)


@every_model
def test_gates_are_a_linear_map_and_a_softmax(kind):
    """Torch-RecHub's gates are batch-normalised and dropped out."""
    model, _, x = start(kind, **having(kind, {"batch_norm": True}))
    domain = np.zeros(len(x), np.int32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), x, domain)
    names = [
        jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(shapes)
    ]
    assert not [n for n in names if "gates" in n and ("Norm" in n or "bias" in n)]


def test_options_are_not_changed_by_a_model():
    """AdaTT appends to the caller's list of expert counts."""
    counts = [2, 1, 3]
    models.build("ple", num_tasks=T, experts_per_task=counts)
    assert counts == [2, 1, 3]


def test_tasks_are_measured_apart():
    """DeepCTR-Torch ranks all tasks together: base rates look like skill."""
    rng = np.random.default_rng(0)
    labels = (rng.random((4000, 2)) < [0.5, 0.01]).astype(np.float32)
    scores = np.tile([0.0, -5.0], (4000, 1)) + rng.normal(size=(4000, 2))
    together = auc_roc(scores.ravel(), labels.ravel())
    tasks = (Task("click"), Task("buy"))
    everything = np.ones_like(labels, bool)
    weights, domain = np.ones(4000, np.float32), np.zeros(4000, np.int32)
    report = exact.report(scores, labels, everything, weights, domain, tasks, ("all",))
    apart = [task["auc_roc"] for task in report["tasks"].values()]
    assert together > 0.8
    np.testing.assert_allclose(apart, 0.5, atol=0.1)


def test_false_in_an_experiment_is_false():
    """`type=bool` takes the word False for true."""
    chosen = config.from_dict({"model": {"batch_norm": False}})
    assert chosen.model.options["batch_norm"] is False
    with pytest.raises(ValueError, match="batch_norm"):
        config.from_dict({"model": {"batch_norm": "False"}})


def test_small_domains_are_drawn():
    """A domain of few rows is neither dropped nor padded with others'."""
    domain = np.repeat(np.arange(3), [1000, 50, 3])
    order = make_order("one_domain_uniform", domain, 20, seed=0, temperature=1.0)
    rows = order(np.arange(20 * 50), 0).reshape(50, 20)
    drawn = domain[rows]
    assert (drawn == drawn[:, :1]).all()
    assert set(drawn[:, 0]) == {0, 1, 2}


def test_padding_of_a_bag_is_no_item():
    """Zero-padded ids would learn as the item of id 0."""
    layout = Layout((), (Bag("tags", "tags", 5, length=3, dim=2),), (), (), ("all",))
    tables = Tables(layout, Inputs())
    batch = make_batch(np.zeros((1, 0)), {"tags": [[4, -1, -1]]})
    whole = tables.init(jax.random.key(0))
    loss = lambda t: tables.assemble(tables.lookup(t, batch), batch).sum()
    moved = np.asarray(jax.grad(loss)(whole)["dim_2"]).any(axis=1)
    np.testing.assert_array_equal(moved, [False, False, False, False, True])
