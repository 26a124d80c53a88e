"""Target means of whole columns, against sums by hand, one row at a time."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest
from lib.means import BY_TIME, MEANS, log, strength_by_hand
from lib.tables import rows_of, source

from ple_jax.data.prepare import prepare
from ple_jax.data.split import assigner
from ple_jax.schema import Split


def logit(p):
    return math.log(p / (1 - p))


def mean_by_hand(rows, prior, value, domain):
    """Posterior mean of a value in a domain, from (value, domain, w, y) of others."""
    mine = [(d, w, y) for v, d, w, y in rows if v == value]
    n, s = sum(w for _, w, _ in mine), sum(w * y for _, w, y in mine)
    p = prior.mean
    if prior.strength < math.inf:
        p = (s + prior.strength * p) / (n + prior.strength)
    n = sum(w for d, w, _ in mine if d == domain)
    s = sum(w * y for d, w, y in mine if d == domain)
    if prior.domain_strength < math.inf:
        p = (s + prior.domain_strength * p) / (n + prior.domain_strength)
    return p


def encoded_by_hand(p, prior, task):
    if task.loss == "squared":
        return (p - prior.mean) / prior.scale
    return (logit(p) - logit(prior.mean)) / prior.scale


def items_of(row):
    return [t for t in row["tags"].split("|") if t]


@pytest.mark.parametrize("schema", [MEANS, BY_TIME], ids=["random", "time"])
def test_columns_equal_sums_by_hand(tmp_path, schema):
    """Weights, domains, lists, a sample space and a squared task, row by row."""
    table = log().append_column("time", [np.random.default_rng(5).permutation(397)])
    whole = source(table, schema)
    data = prepare(whole, tmp_path / "prepared")
    split, fold = assigner(whole)(rows_of(table, schema), 0)
    assert len(set(fold[split == 0])) == (16 if schema is BY_TIME else 5)
    labels = data.encoder.encode(rows_of(table, schema))
    names = [column.name for column in data.layout.numbers]
    rows = table.to_pylist()
    by_time = schema is BY_TIME

    def seen(field, b, t):
        """What the row b may see: (value, domain, weight, label) of train rows."""
        for c in np.flatnonzero(split == 0):
            later = fold[c] >= fold[b] if by_time else fold[c] == fold[b]
            if labels.observed[c, t] and not (split[b] == 0 and later):
                w, y = float(labels.weights[c]), float(labels.labels[c, t])
                values = [rows[c]["item"]] if field == "item" else items_of(rows[c])
                yield from ((v, rows[c]["shop"], w, y) for v in values)

    done = 0
    for number, part in enumerate(("train", "validation", "test")):
        mine = np.flatnonzero(split == number)
        got = data.split(part).numbers
        for k in range(0, len(mine), 7):
            b, row = mine[k], rows[mine[k]]
            for field in ("item", "tags"):
                priors = data.encoder.categoricals[field].means.priors
                values = [row["item"]] if field == "item" else items_of(row)
                for t, task in enumerate(schema.tasks):
                    others = list(seen(field, b, t))
                    means = [
                        mean_by_hand(others, priors[t], v, row["shop"]) for v in values
                    ]
                    each = [encoded_by_hand(p, priors[t], task) for p in means]
                    wanted = np.mean(each) if each else 0.0
                    column = names.index(f"{field}:target_mean:{task.name}")
                    assert got[k, column] == pytest.approx(wanted, abs=2e-5)
                    done += 1
    assert done > 300


def test_priors_equal_sums_over_train_by_hand(tmp_path):
    whole = source(log(), MEANS)
    data = prepare(whole, tmp_path / "prepared")
    split, _ = assigner(whole)(rows_of(log(), MEANS), 0)
    all_rows, rows = data.encoder.encode(rows_of(log(), MEANS)), log().to_pylist()
    for t, task in enumerate(MEANS.tasks):
        groups = {}
        for b in np.flatnonzero((split == 0) & all_rows.observed[:, t]):
            if (w := float(all_rows.weights[b])) > 0:
                y = float(all_rows.labels[b, t])
                groups.setdefault(rows[b]["item"], []).append((w, y))
        weights = [[w for w, _ in group] for group in groups.values()]
        labels = [[y for _, y in group] for group in groups.values()]
        total, count = sum(map(sum, weights)), sum(map(len, weights))
        found = data.encoder.categoricals["item"].means.priors[t]
        wanted = max(strength_by_hand(labels, weights), total / count)
        assert found.strength == pytest.approx(wanted, rel=1e-6)
        sums = sum(w * y for group in groups.values() for w, y in group)
        half = total / count if task.loss == "binary" else 0.0
        assert found.mean == pytest.approx((sums + half / 2) / (total + half), rel=1e-6)


def test_train_is_scaled_to_a_root_mean_square_of_one(tmp_path):
    schema = dataclasses.replace(MEANS, domain=None, weight=None)
    data = prepare(source(log(), schema), tmp_path / "prepared")
    split, _ = assigner(source(log(), schema))(rows_of(log(), schema), 0)
    rows = rows_of(log(), schema).where(split == 0)
    whole = data.encoder.encode(rows)  # as validation is
    for t in range(4):
        column = whole.numbers[whole.observed[:, t], t]
        if column.any():
            assert (column.astype(float) ** 2).mean() == pytest.approx(1, rel=1e-4)


def test_what_is_missing_or_unknown_has_the_prior(tmp_path):
    data = prepare(source(log(), MEANS), tmp_path / "prepared")
    rows = log().slice(0, 3).to_pydict()
    rows |= {"item": ["", "never", "never"], "tags": ["", "never", "never|"]}
    got = data.encoder.encode(rows_of(pa.table(rows), MEANS), labels=False)
    assert not got.numbers.any()


@pytest.mark.parametrize("missing", ["", None])
def test_a_missing_domain_counts_as_the_stand_in(tmp_path, missing):
    rows = log().to_pydict()
    rows["shop"] = [missing if k % 5 == 0 else v for k, v in enumerate(rows["shop"])]
    named = [v or "s1" for v in rows["shop"]]
    schema = dataclasses.replace(MEANS, unseen_domain="s1")
    data = prepare(source(pa.table(rows), schema), tmp_path / "missing")
    rows["shop"] = named
    wanted = prepare(source(pa.table(rows), schema), tmp_path / "named")
    for part in ("train", "test"):
        got = data.split(part).numbers
        np.testing.assert_array_equal(got, wanted.split(part).numbers)


def test_a_missing_domain_without_a_stand_in_is_named(tmp_path):
    rows = log().to_pydict()
    rows["shop"][7] = ""
    with pytest.raises(
        ValueError, match="row 8, column 'shop': expected a domain in every row"
    ):
        prepare(source(pa.table(rows), MEANS), tmp_path / "prepared")


def test_a_field_without_a_value_in_train_has_the_prior(tmp_path):
    schema = dataclasses.replace(MEANS, split=Split("column", "split"))
    rows = log().slice(0, 60).to_pydict()
    parts = ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    rows |= {"split": parts, "item": [None] * 40 + ["i1"] * 20, "tags": [""] * 60}
    data = prepare(source(pa.table(rows), schema), tmp_path / "prepared")
    for part in ("train", "validation", "test"):
        assert not data.split(part).numbers.any()


def test_a_task_without_a_label_in_train_is_named(tmp_path):
    rows = log().to_pydict()
    rows["buy"] = [""] * 397
    with pytest.raises(ValueError, match="Task 'buy' cannot be learned"):
        prepare(source(pa.table(rows), MEANS), tmp_path / "prepared")
