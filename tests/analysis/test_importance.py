"""Permutation importance, and embeddings, against loops and a known truth."""

import numpy as np
import pytest

from ple_jax.analysis.embeddings import by_frequency, embedding_use
from ple_jax.analysis.fields import Places, places_of
from ple_jax.analysis.importance import (
    permutation_importance,
    shuffled,
    shuffles,
    spread_out,
)
from ple_jax.data.loader import batches_in_order
from ple_jax.metrics.curves import auc_roc
from ple_jax.serve.files import load_scorer


@pytest.fixture(scope="module")
def found(shop):
    return permutation_importance(shop[1], permutations=4)


def test_a_field_that_labels_ignore_has_no_importance(found):
    click = found["importance"]["click"]
    for field in ("noise", "price"):
        low, high = click[field]["interval"]
        assert low <= 0 <= high
        assert abs(click[field]["mean"]) < 0.02
    for field in ("item", "tags"):
        assert click[field]["interval"][0] > 0
    assert click["item"]["mean"] > 0.1


def test_importance_is_what_a_loop_finds(shop, found):
    run = shop[1]
    split = run.data.split("validation")
    assert (found["split"], found["rows"]) == ("validation", len(split))
    scorer, variables = load_scorer(run)
    logits = scorer.of_split(variables, "validation")[:, 0]
    base = auc_roc(logits, split.labels[:, 0])
    assert found["scores"]["click"] == pytest.approx(base)
    values = []
    for p in range(4):
        bags = {"tags": np.array(split.bags["tags"])}
        order, rng = np.arange(len(split)), np.random.default_rng([0, 3, p])
        for domain in range(3):
            rows = np.flatnonzero(split.domain == domain)
            order[rows] = rng.permutation(rows)
        for i, j in enumerate(order):
            bags["tags"][i] = split.bags["tags"][j]
        moved = type(split)(**{**vars(split), "bags": bags})
        z = scorer.logits(variables, batches_in_order(moved, scorer.batch_size))
        values.append(auc_roc(z[:, 0], split.labels[:, 0]))
    tags = found["importance"]["click"]["tags"]
    assert tags["mean"] == pytest.approx(base - np.mean(values), abs=1e-7)
    half = (tags["over_seeds"][1] - tags["over_seeds"][0]) / 2
    t = 3.182446305284263  # of 3 degrees of freedom
    assert half == pytest.approx(t * np.std(values, ddof=1) / 2, rel=1e-4)


def test_seeds_are_honoured(shop, found):
    again = permutation_importance(shop[1], permutations=4)
    assert again == found
    other = permutation_importance(shop[1], permutations=4, seed=1)
    item = lambda of: of["importance"]["click"]["item"]["mean"]
    assert item(other) != item(found)


def test_values_stay_in_their_domain(everything):
    split = spread_out(everything.split("validation"), 53)
    places = places_of(everything.encoder)
    assert places["price"] == Places([2], [], [0, 1])
    assert places["history"] == Places([], ["history"], [])
    (order,) = shuffles(split.domain, 1, (7,))
    assert sorted(order) == list(range(53))
    assert (split.domain[order] == split.domain).all()
    assert (order != np.arange(53)).any()
    for field, at in places.items():
        moved = shuffled(split, at, order)
        for other, there in places.items():
            mine = order if other == field else np.arange(53)
            for i in there.ids:
                np.testing.assert_array_equal(moved.ids[:, i], split.ids[mine, i])
            for i in there.numbers:
                np.testing.assert_array_equal(
                    moved.numbers[:, i], split.numbers[mine, i]
                )
            for name in there.bags:
                np.testing.assert_array_equal(moved.bags[name], split.bags[name][mine])
    layout = everything.layout
    assert [c for at in places.values() for c in at.ids] == [*range(len(layout.ids))]
    assert sum(len(at.numbers) for at in places.values()) == len(layout.numbers)
    assert [b for at in places.values() for b in at.bags] == [
        b.name for b in layout.bags
    ]


# Embeddings.


def test_embeddings_by_how_often_train_has_them(shop):
    run = shop[1]
    found = embedding_use(run)
    assert list(found) == ["item", "noise", "price:bucket", "tags"]
    _, variables = load_scorer(run)
    train, test = run.data.split("train"), run.data.split("test")
    item = found["item"]
    counts = [int((train.ids[:, 0] == i).sum()) for i in range(item["rows"])]
    assert item["never_trained"] == counts.count(0) / len(counts)
    order = sorted((i for i in range(8) if counts[i]), key=lambda i: counts[i])
    assert item["least"].tolist() == [counts[i] for i in order]
    table = np.asarray(variables["tables"]["dim_3"], float)  # item is first in it
    norms = [np.sqrt((table[i] ** 2).sum()) for i in order]
    np.testing.assert_allclose(item["norms"][:, 1], norms)
    of_tags = {int(t) for row in train.bags["tags"] for t in row if t >= 0}
    lacks = [any(t >= 0 and t not in of_tags for t in row) for row in test.bags["tags"]]
    assert found["tags"]["unseen"]["test"] == np.mean(lacks)


def test_tables_of_copies_and_values_that_train_lacks():
    counts, norms = (
        np.array([0, 3, 1, 0, 2]),
        np.array([[9, 1, 2, 9, 3], [9, 2, 3, 9, 5.0]]),
    )
    found = by_frequency(counts, norms)
    assert found["least"].tolist() == found["most"].tolist() == [1, 2, 3]
    assert found["norms"][:, 1].tolist() == [2.5, 4, 1.5]
    assert by_frequency(np.zeros(3, int), np.ones((1, 3)))["norms"].shape == (0, 3)
