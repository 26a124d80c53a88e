"""Label means by value: moments by hand, and never of a row's own label."""

import dataclasses
import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lib.tables import SCHEMA, raw, rows_of, source

from ple_jax.data.label_sums import Addends, Index, LabelSums, sums_of_others
from ple_jax.data.prepare import prepare
from ple_jax.data.shrinkage import fit_strength, shrink
from ple_jax.data.split import assigner
from ple_jax.metrics.exact import auc_roc
from ple_jax.schema import Field, Schema, Split, Task

RATING = Task("rating", "weight", loss="squared")
MEANS = Schema(
    fields=(
        Field("item", encodings=("target_mean",)),
        Field("tags", "multi_valued", encodings=("id", "target_mean")),
    ),
    tasks=(*SCHEMA.tasks, RATING),
    split=SCHEMA.split,
    domain="shop",
    weight="price",
)


def log():
    """`raw`, with a weight of 0 or more where it has a price."""
    rows = raw()
    price = pa.array([float(p or 0) / 8 for p in rows["price"].to_pylist()])
    return rows.set_column(2, "price", price)


# Priors.


def strength_by_hand(labels, weights=None):
    """One loop for each sum: labels is a list of groups of labels."""
    weights = weights or [[1.0] * len(group) for group in labels]
    total = sum(map(sum, weights))
    count = sum(map(len, labels))
    chained = itertools.chain.from_iterable
    pairs = [*zip(chained(weights), chained(labels), strict=True)]
    mean = sum(w * y for w, y in pairs) / total
    within = between = squares = 0.0
    for ws, ys in zip(weights, labels, strict=True):
        own = sum(w * y for w, y in zip(ws, ys, strict=True)) / sum(ws)
        between += sum(ws) * (own - mean) ** 2
        within += sum(w * (y - own) ** 2 for w, y in zip(ws, ys, strict=True))
        squares += sum(ws) ** 2
    msw = within / (count - len(labels))
    msb = between / (len(labels) - 1)
    n_0 = (total - squares / total) / (len(labels) - 1)
    return n_0 * msw / (msb - msw) if msb > msw else math.inf


def fitted(labels, weights=None):
    weights = weights or [np.ones(len(group)) for group in labels]
    pairs = [*zip(map(np.array, weights), map(np.array, labels), strict=True)]
    n = np.array([w.sum() for w, _ in pairs])
    sums = np.array([(w * y).sum() for w, y in pairs])
    squares = sum((w * y**2).sum() for w, y in pairs)
    one = np.zeros(len(n), int)
    return fit_strength(n, sums, one, squares, sum(len(w) for w, _ in pairs))


def test_strengths_equal_the_sums_of_squares_by_hand():
    rng = np.random.default_rng(0)
    rates = rng.beta(1.5, 3, 13)
    binary = [rng.binomial(1, p, rng.integers(2, 11)).tolist() for p in rates]
    real = [rng.normal(m, 0.7, 7).tolist() for m in rng.normal(5, 1, 11)]
    weights = [rng.choice([0.5, 1.0, 2.0], len(group)).tolist() for group in real]
    assert fitted(binary) == pytest.approx(strength_by_hand(binary), rel=1e-9)
    assert fitted(real) == pytest.approx(max(1.0, strength_by_hand(real)), rel=1e-9)
    unit = sum(map(sum, weights)) / sum(map(len, weights))
    wanted = max(unit, strength_by_hand(real, weights))
    assert fitted(real, weights) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("strength", [3.0, 17.0])
def test_the_strength_of_what_labels_were_drawn_from_is_found(strength):
    """Beta-binomial with 20,000 values: the standard error is below 2 %."""
    rng = np.random.default_rng(1)
    n = rng.integers(1, 40, 20_000)
    sums = rng.binomial(n, rng.beta(0.3 * strength, 0.7 * strength, len(n)))
    one = np.zeros(len(n), int)
    found = fit_strength(n, sums, one, sums.sum(), n.sum())
    assert found == pytest.approx(strength, rel=0.06)


def test_the_strength_of_numbers_is_the_ratio_of_variances():
    rng = np.random.default_rng(2)
    value = np.repeat(np.arange(5_000), rng.integers(1, 20, 5_000))
    y = rng.normal(0, 2.0, 5_000)[value] + rng.normal(100, 5.0, len(value))
    n, sums = np.bincount(value), np.bincount(value, weights=y)
    found = fit_strength(n, sums, np.zeros(5_000, int), (y**2).sum(), len(y))
    assert found == pytest.approx(5.0**2 / 2.0**2, rel=0.06)


def test_the_strength_of_domains_within_values_leaves_values_out():
    rng = np.random.default_rng(3)
    value = np.repeat(np.arange(2_000), 5)  # five domains each
    mean = rng.normal(0, 9.0, 2_000)[value] + rng.normal(0, 1.0, len(value))
    n = rng.integers(2, 12, len(value))
    group = np.repeat(np.arange(len(value)), n)
    y = mean[group] + rng.normal(0, 2.0, len(group))
    sums = np.bincount(group, weights=y)
    assert fit_strength(n, sums, value, (y**2).sum(), len(y)) == pytest.approx(
        4.0, rel=0.06
    )


@pytest.mark.parametrize(
    "labels",
    [[[1], [0], [1]], [[1, 0], [0, 1]], [[1, 0, 1]]],
    ids=["one label each", "equal values", "one value"],
)
def test_values_that_do_not_differ_are_all_given_the_prior(labels):
    assert fitted(labels) == math.inf
    assert shrink(np.array([2.0]), np.array([2.0]), 0.3, np.array(math.inf)) == 0.3


def test_pure_values_are_shrunk_by_one_label():
    assert fitted([[1, 1, 1], [0, 0], [1, 1]]) == 1.0
    assert fitted([[2, 2], [0, 0]], [[3.0, 3.0], [3.0, 3.0]]) == 3.0


def test_means_do_not_depend_on_the_unit_of_weights():
    labels = [[1, 0, 1], [0, 0], [1, 1, 1, 0]]
    weights = [[1.0, 2.0, 0.5], [1.0, 1.0], [2.0, 1.0, 1.0, 1.0]]
    tenth = [[w / 10 for w in group] for group in weights]
    assert fitted(labels, weights) == pytest.approx(10 * fitted(labels, tenth))


# Whole columns.


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


BY_TIME = dataclasses.replace(MEANS, split=Split("time", "time"))


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
    with pytest.raises(ValueError, match="row 8, column 'shop': expected one of"):
        prepare(source(pa.table(rows), MEANS), tmp_path / "prepared")


# Sums merge exactly.


def uneven():
    """A log whose weights span nine powers of ten, and ratings too; and folds."""
    rng = np.random.default_rng(7)
    price, rating = (pa.array(rng.lognormal(0, 4, 397)) for _ in range(2))
    table = log().set_column(2, "price", price).set_column(9, "weight", rating)
    return table, rng.integers(0, 5, 397)


def cells_of(parts, schema):
    found = [LabelSums() for _ in parts]
    for sums, (table, folds) in zip(found, parts, strict=True):
        if len(table):
            rows = rows_of(table, schema)
            sums.add(*rows.text("item"), Addends.read(rows, schema, folds))
    whole = found[0]
    for sums in found[1:]:
        whole = whole.merge(sums)
    domains = pa.array(["s0", "s1", "s2"])
    return whole, whole.cells(pa.array([f"i{k}" for k in range(11)]), domains)


@given(
    st.lists(st.integers(0, 397), max_size=9),
    st.randoms(use_true_random=False),
    st.sampled_from([10, 1_000_000]),
)
@settings(deadline=None, max_examples=20)
def test_sums_are_the_same_for_any_cut_and_any_order(cuts, random, limit):
    """Bit for bit, with weights and a squared task whose sums are no whole numbers."""
    table, folds = uneven()
    at = [0, *sorted(cuts), 397]
    parts = [(table.slice(a, b - a), folds[a:b]) for a, b in itertools.pairwise(at)]
    wanted_sums, wanted = cells_of([(table, folds)], MEANS)
    random.shuffle(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ple_jax.data.label_sums.MOST_ROWS", limit)
        got_sums, got = cells_of(parts, MEANS)
    for name in ("value", "domain", "fold", "amounts"):
        np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name))
    np.testing.assert_array_equal(got_sums.squares, wanted_sums.squares)
    np.testing.assert_array_equal(got_sums.labels, wanted_sums.labels)


def test_sums_of_floats_would_depend_on_the_cut_control(monkeypatch):
    """Why addends are whole numbers."""
    floats = lambda name, x, fractions: {name: x}
    monkeypatch.setattr("ple_jax.data.label_sums._exact", floats)
    monkeypatch.setattr("ple_jax.data.label_sums.MOST_ROWS", 20)
    table, folds = uneven()
    parts = [(table.slice(a, 10), folds[a : a + 10]) for a in range(0, 397, 10)]
    (_, whole), (_, cut) = cells_of([(table, folds)], MEANS), cells_of(parts, MEANS)
    assert (whole.amounts != cut.amounts).any()


@pytest.mark.parametrize("chunk", [1, 37, 1000])
def test_how_rows_are_cut_into_chunks_changes_nothing(tmp_path, chunk):
    one = prepare(source(log(), MEANS, chunk), tmp_path / "one")
    other = prepare(source(log(), MEANS, 100), tmp_path / "other")
    assert one.fingerprint == other.fingerprint


def test_how_many_rows_are_encoded_at_once_changes_nothing(tmp_path, monkeypatch):
    whole = prepare(source(log(), MEANS), tmp_path / "whole")
    monkeypatch.setattr("ple_jax.data.writer.MOST_BYTES", 1000)
    parts = prepare(source(log(), MEANS), tmp_path / "parts")
    assert parts.fingerprint == whole.fingerprint


def test_a_label_too_large_to_add_up_is_named():
    schema = dataclasses.replace(MEANS, weight=None, domain=None)
    rows = log().to_pydict()
    rows["weight"][5] = 3e9
    rows = rows_of(pa.table(rows), schema)
    with pytest.raises(ValueError, match=r"row 6, column 'weight'.*below 2\^31"):
        Addends.read(rows, schema, np.zeros(397, int))


# Leaks.


def own_label_flipped(schema, tmp_path, row):
    """The columns of all train rows, with and without one label flipped."""
    found = []
    for flip in (False, True):
        rows = log().append_column("time", [np.arange(397)]).to_pydict()
        if flip:
            rows["click"][row] = "1" if rows["click"][row] == "0" else "0"
        data = prepare(source(pa.table(rows), schema), tmp_path / f"{row}_{flip}")
        found.append(np.array(data.split("train").numbers))
    return found


@pytest.mark.parametrize("schema", [MEANS, BY_TIME], ids=["random", "time"])
def test_a_row_never_sees_its_own_label(tmp_path, monkeypatch, schema):
    """With priors held fast, a flipped label changes no column of its own row."""
    schema = dataclasses.replace(schema, tasks=SCHEMA.tasks[:1], weight=None)
    monkeypatch.setattr("ple_jax.data.target_mean.fit_strength", lambda *a: 2.0)
    monkeypatch.setattr("ple_jax.data.target_mean._mean_label", lambda *a: 0.4)
    monkeypatch.setattr("ple_jax.data.target_mean._scaled", lambda m: m.priors)
    table = log().append_column("time", [np.arange(397)])
    split, fold = assigner(source(table, schema))(rows_of(table, schema), 0)
    train = np.flatnonzero(split == 0)
    for row in train[[3, 100, 200]]:
        before, after = own_label_flipped(schema, tmp_path, int(row))
        changed = (before != after).any(axis=1)
        assert changed.any() or row > train[-20]
        assert not changed[train == row].any()
        if schema.split.by == "time":
            assert not changed[train <= row].any()
        assert not changed[fold[train] == fold[row]].any()


def random_log(ids=100_000, each=3, seed=11):
    """Ids at `each` rows, of which the first two are train; labels mean nothing."""
    rng = np.random.default_rng(seed)
    id_, turn = np.tile(np.arange(ids), each), np.repeat(np.arange(each), ids)
    order = rng.permutation(len(id_))
    id_, turn = id_[order], turn[order]
    split = np.array(["train", "train", "validation"])[turn]
    split[np.flatnonzero(turn == 2)[:1000]] = "test"
    click = rng.integers(0, 2, len(id_))
    return pa.table({"id": id_, "click": click, "split": split})


def fit_logistic(x, y, steps=15):
    """Logistic regression by Newton's method, as (intercept, slopes)."""
    x = np.c_[np.ones(len(x)), x]
    w = np.zeros(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-x @ w))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(x.shape[1])
        w += np.linalg.solve(curvature, x.T @ (y - p))
    return w


def leak(tmp_path, ids=100_000):
    """AUC in train and in validation, and log loss there, of columns alone."""
    schema = Schema(
        (Field("id", encodings=("count", "target_mean")),),
        (Task("click"),),
        Split("column", "split"),
    )
    data = prepare(source(random_log(ids), schema, 50_000), tmp_path / "prepared")
    parts = [data.split(name) for name in ("train", "validation")]
    (x, y), (x_new, y_new) = [
        (np.array(e.numbers, np.float64), np.array(e.labels[:, 0])) for e in parts
    ]
    assert x[:, -1].std() > 0.1  # the column says something
    w = fit_logistic(x, y)
    score, new = np.c_[np.ones(len(x)), x] @ w, np.c_[np.ones(len(x_new)), x_new] @ w
    return (
        auc_roc(score, y),
        auc_roc(new, y_new),
        np.logaddexp(0, new).mean() - (new * y_new).mean(),
    )


STRENGTH = "ple_jax.data.target_mean.fit_strength"


@pytest.mark.parametrize("strength", [1.0, 20.0])
def test_random_labels_cannot_be_learned(tmp_path, monkeypatch, strength):
    """100,000 ids at two rows each; AUC 0.50 +- 0.01 and log loss log 2 + 0.001."""
    monkeypatch.setattr(STRENGTH, lambda *a: strength)  # as if ids did differ
    in_train, new, loss = leak(tmp_path)
    assert in_train == pytest.approx(0.5, abs=0.01)
    assert new == pytest.approx(0.5, abs=0.01)
    assert loss == pytest.approx(math.log(2), abs=1e-3)


def test_random_labels_could_be_learned_in_fold_control(tmp_path, monkeypatch):
    """If a row saw its own label, the same measures would tell."""
    monkeypatch.setattr(STRENGTH, lambda *a: 1.0)
    seen = lambda *a: sums_of_others(*a) + a[1]
    monkeypatch.setattr("ple_jax.data.target_mean.sums_of_others", seen)
    in_train, _, loss = leak(tmp_path)
    assert in_train > 0.8
    assert loss > math.log(2) + 0.1


@given(
    st.sets(st.integers(0, 60)),
    st.lists(st.integers(-9, 70)),
    st.sampled_from([61, 10**8]),
)
@settings(deadline=None, max_examples=50)
def test_an_index_finds_the_places_of_keys(keys, wanted, size):
    """By a table where that is short, by a search where it would be long."""
    keys = np.array(sorted(keys), np.int64)
    wanted = [w for w in wanted if w < size]
    found = Index(keys, size).find(np.array(wanted, np.int64))
    assert found.tolist() == [[*keys, w].index(w) if w in keys else -1 for w in wanted]
