"""The estimators keep scikit-learn's contract, and learn what they are shown."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from ple_jax.data.frames import encode_table, table_of
from ple_jax.sklearn import MultiTaskClassifier, MultiTaskRegressor

TINY = {
    "model": {"kind": "shared_bottom", "expert_dims": [8], "tower_dims": []},
    "encodings": "standard",
    "learning_rate": 0.05,
    "epochs": 12,
    "patience": 4,
    "train": {"steps_per_dispatch": 4, "eval_batch_size": 64},
}
ROWS = (
    "An epoch draws rows into batches, and validation takes some: a row of weight 2 is "
    "drawn once, two rows are drawn twice."
)
NOT_HELD = {"check_sample_weight_equivalence_on_dense_data": ROWS}


@parametrize_with_checks(
    [MultiTaskClassifier(**TINY), MultiTaskRegressor(**TINY)],
    expected_failed_checks=lambda estimator: NOT_HELD,
)
def test_the_estimators_keep_the_contract(estimator, check):
    check(estimator)


def log(rows=701, seed=0):
    """A log of visits: ids, numbers with gaps, and two targets that depend on them."""
    rng = np.random.default_rng(seed)
    shop, item = rng.choice(["north", "south", "web"], rows), rng.integers(0, 13, rows)
    price = rng.normal(size=rows)
    price[rng.random(rows) < 0.1] = np.nan
    liking = np.sin(3 * item) + (shop == "web") - np.nan_to_num(price)
    click = np.where(liking + rng.normal(size=rows) / 3 > 0, "yes", "no")
    x = {"shop": shop, "item": [f"i{k}" for k in item], "price": price}
    return x, np.stack([click, np.where(shop == "web", "web", "shop")], axis=1), liking


def frame(x, library="pandas"):
    return pytest.importorskip(library).DataFrame(x)


SMALL = {**TINY, "model": {"kind": "ple", "expert_dims": [16], "tower_dims": [8]}}


@pytest.fixture(scope="module")
def fitted():
    x, y, _ = log()
    return MultiTaskClassifier(**SMALL, random_state=3).fit(frame(x), y)


def test_many_targets_are_tasks_of_one_model(fitted):
    x, y, _ = log(seed=1)
    assert [t.name for t in fitted.encoder_.layout.tasks] == [
        "target 0: yes",
        "target 1: web",
    ]
    predicted, each = fitted.predict(frame(x)), fitted.predict_proba(frame(x))
    assert [c.tolist() for c in fitted.classes_] == [["no", "yes"], ["shop", "web"]]
    assert predicted.shape == y.shape
    for i, (classes, p) in enumerate(zip(fitted.classes_, each, strict=True)):
        np.testing.assert_array_equal(classes[p.argmax(axis=1)], predicted[:, i])
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)
    share = (predicted == y).all(axis=1)
    assert fitted.score(frame(x), y) == share.mean() > 0.75
    weights = np.arange(len(y)) % 3
    weighed = np.average(share, weights=weights)
    assert fitted.score(frame(x), y, weights) == pytest.approx(weighed, abs=1e-12)


def test_columns_are_read_by_their_types(fitted):
    kinds = {f.name: f.kind for f in fitted.encoder_.schema.fields}
    ids = {"shop": "categorical", "item": "categorical"}
    assert kinds == ids | {"price": "numeric"}
    assert list(fitted.feature_names_in_) == ["shop", "item", "price"]
    assert fitted.n_features_in_ == 3


@pytest.mark.parametrize("library", ["polars", "arrays"])
def test_other_forms_of_the_same_rows_score_the_same(fitted, library):
    x, _, _ = log(seed=1)
    wanted = fitted.predict_proba(frame(x))
    if library == "arrays":
        rows = np.array([*map(list, x.values())], object).T
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            got = fitted.predict_proba(rows)
    else:
        got = fitted.predict_proba(frame(x, library))
    np.testing.assert_array_equal(got, wanted)


def test_columns_can_be_named_ids():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 7, (211, 2))
    y = np.isin(x[:, 1], [1, 2, 5])
    model = MultiTaskClassifier(**TINY, random_state=0, categorical_features=[1])
    model.fit(x, y)
    kinds = [(f.name, f.kind) for f in model.encoder_.schema.fields]
    assert kinds == [("x0", "numeric"), ("x1", "categorical")]
    assert model.score(x, y) > 0.95
    assert model.predict(x).dtype == bool
    np.testing.assert_array_equal(
        model.predict_proba([[3, 99]]), model.predict_proba([[3, -1]])
    )


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"model": "pel"}, "Did you mean 'ple'"),
        ({"train": {"epoch": 3}}, "Did you mean 'epochs'"),
        ({"encodings": "standart"}, "Did you mean 'standard'"),
        ({"categorical_features": ["sop"]}, "Did you mean 'shop'"),
        ({"categorical_features": [3]}, "'3' is not a known column"),
        ({"categorical_features": "sop"}, "must be 'from_dtype' or a list"),
        ({"validation_fraction": 1.0}, "n_samples=701 and validation_fraction=1.0"),
    ],
)
def test_mistakes_name_the_nearest(knobs, message):
    x, y, _ = log()
    with pytest.raises(ValueError, match=message):
        MultiTaskClassifier(**{**TINY, **knobs}).fit(frame(x), y)


def test_errors_name_the_row_of_the_frame():
    x, y, _ = log()
    x["price"][500] = np.inf  # held out or not
    with pytest.raises(ValueError, match=r"row 501, column 'price'.* finite"):
        MultiTaskClassifier(**TINY).fit(frame(x), y)


def test_names_and_places_of_columns_are_one():
    x, y = np.random.default_rng(0).normal(size=(101, 2)), np.arange(101) % 2
    model = MultiTaskClassifier(**TINY | {"epochs": 1}).fit(x, y)
    wanted = model.predict_proba(x)
    with pytest.warns(UserWarning, match="fitted without feature names"):
        got = model.predict_proba(frame({"a": x[:, 0], "b": x[:, 1]}))
    np.testing.assert_array_equal(got, wanted)


def test_times_are_numbers_and_lists_are_errors():
    pandas = pytest.importorskip("pandas")
    hours = pandas.date_range("2026-01-01", periods=211, freq="h")
    x, y = pandas.DataFrame({"when": hours}), np.arange(211.0)
    model = MultiTaskRegressor(**TINY, random_state=0).fit(x, y)
    assert model.score(x, y) > 0.9
    lists = pandas.DataFrame({"tags": [["a"], ["b", "c"]] * 4})
    with pytest.raises(ValueError, match=r"'tags' is of type list.* or text"):
        MultiTaskRegressor().fit(lists, np.arange(8.0))


def test_three_classes_are_three_tasks():
    rng = np.random.default_rng(0)
    y = rng.choice(["a", "b", "c"], 307)
    x = rng.normal(size=(307, 2)) + 4 * np.stack([y == "a", y == "b"], axis=1)
    model = MultiTaskClassifier(**TINY, random_state=0).fit(x, y)
    assert len(model.encoder_.layout.tasks) == 3
    assert model.predict_proba(x).shape == (307, 3)
    assert model.score(x, y) > 0.9


def test_regression_answers_in_the_unit_of_its_targets():
    x, _, liking = log()
    y = np.stack([1e3 * liking + 5e4, -liking], axis=1)
    model = MultiTaskRegressor(**SMALL, random_state=0).fit(frame(x), y)
    x, _, liking = log(seed=1)
    y = np.stack([1e3 * liking + 5e4, -liking], axis=1)
    predicted = model.predict(frame(x))
    assert predicted.shape == y.shape
    assert model.score(frame(x), y) > 0.8
    assert abs(predicted[:, 0].mean() - y[:, 0].mean()) < 200
    constant = MultiTaskRegressor(**TINY).fit(x["price"][:, None], np.full(701, 7.0))
    np.testing.assert_allclose(constant.predict(x["price"][:, None]), 7, atol=0.5)


def test_the_seed_decides_everything():
    x, y, _ = log(211)
    bits = lambda seed: (
        MultiTaskClassifier(**TINY, random_state=seed)
        .fit(frame(x), y)
        .predict_proba(frame(x))
    )
    np.testing.assert_array_equal(bits(3), bits(3))
    assert (bits(3)[0] != bits(4)[0]).any()


def test_it_stops_early_and_keeps_the_best_epoch():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(401, 5)), rng.integers(0, 2, 401)
    knobs = {**TINY, "epochs": 40, "patience": 2}
    model = MultiTaskClassifier(**knobs, random_state=0).fit(x, y)
    assert model.n_iter_ == model.best_epoch_ + 2 < 40
    everything = MultiTaskClassifier(**TINY | {"validation_fraction": 0}).fit(x, y)
    assert everything.n_iter_ == everything.best_epoch_ == TINY["epochs"]


def test_weights_weigh():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(301, 2))
    y = (rng.random(301) < 0.5).astype(int)
    model = MultiTaskClassifier(**TINY, random_state=0)
    ones = model.fit(x, y, np.where(y, 30.0, 1.0)).predict_proba(x)[:, 1].mean()
    assert ones > 0.85
    some = np.arange(301) % 2
    halved = model.fit(x, y, some).predict_proba(x)
    alone = model.fit(x[some == 1], y[some == 1]).predict_proba(x)
    assert abs(halved - alone).max() < 0.2
    with pytest.raises(ValueError, match="Negative values in data"):
        model.fit(x, y, -some)


def test_fits_on_other_rows_share_their_programs(fitted, monkeypatch):
    x, y, _ = log(691, seed=2)
    traced = []
    monkeypatch.setattr("ple_jax.train.in_memory.step_of", lambda *a: traced.append(a))
    MultiTaskClassifier(**SMALL, random_state=7).fit(frame(x), y)
    assert not traced


@pytest.mark.parametrize("form", ["pickle", "joblib"])
def test_it_is_kept_as_bytes(fitted, form, tmp_path):
    import pickle

    import joblib

    if form == "pickle":
        again = pickle.loads(pickle.dumps(fitted))
    else:
        joblib.dump(fitted, tmp_path / "model.joblib")
        again = joblib.load(tmp_path / "model.joblib")
    x, _, _ = log(seed=1)
    np.testing.assert_array_equal(
        again.predict_proba(frame(x)), fitted.predict_proba(frame(x))
    )


def test_it_works_in_a_pipeline_and_a_search():
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    x, y, _ = log(211)
    x = np.stack([x["price"], np.arange(211.0)], axis=1)
    model = MultiTaskClassifier(**TINY | {"epochs": 3}, random_state=0)
    line = make_pipeline(SimpleImputer(), model)
    kinds = ["shared_bottom", "mmoe"]
    grid = {
        "multitaskclassifier__model": [{**TINY["model"], "kind": k} for k in kinds],
        "multitaskclassifier__learning_rate": [1e-6, 0.05],
    }
    search = GridSearchCV(line, grid, cv=2).fit(x, y[:, 0])
    assert len(search.cv_results_["params"]) == 4
    assert search.best_params_["multitaskclassifier__learning_rate"] == 0.05
    assert search.best_score_ > 0.6


def visits(rows=1201, users=211, seed=0):
    """Visits of users that differ, and a score of each: few rows a user."""
    rng = np.random.default_rng(seed)
    liking = np.random.default_rng(7).normal(size=users)
    user = rng.integers(0, users, rows)
    return {"user": [f"u{k}" for k in user]}, liking[user]


@pytest.mark.parametrize("targets", [1, 2])
def test_ids_are_encoded_by_the_rules_for_files(targets):
    x, liking = visits()
    y = np.stack([liking > 0, liking > 0.5], axis=1)[:, :targets]
    model = MultiTaskClassifier(**TINY, random_state=0).fit(frame(x), y)
    (field,) = model.encoder_.schema.fields
    assert field.encodings == ("count", "target_mean")
    assert len(model.encoder_.layout.numbers) == 2 + targets
    assert model.encoder_.categoricals["user"].folds is None
    x, liking = visits(seed=1)
    y = np.stack([liking > 0, liking > 0.5], axis=1)[:, :targets]
    assert model.score(frame(x), y) > 0.9 - 0.1 * targets


def test_target_means_of_numbers_help_a_regression():
    x, liking = visits()
    model = MultiTaskRegressor(**TINY, random_state=0).fit(frame(x), 1e3 * liking)
    x, liking = visits(seed=1)
    assert model.score(frame(x), 1e3 * liking) > 0.5


def test_rows_of_train_do_not_see_their_own_labels(monkeypatch):
    x, liking = visits()
    noise = 3 * np.random.default_rng(1).normal(size=len(liking))
    given = []
    fit = lambda experiment, layout, train, _: given.append(train) or (None, 1, 1)
    monkeypatch.setattr("ple_jax.train.in_memory.fit", fit)
    model = MultiTaskRegressor(**TINY, validation_fraction=0)
    model.fit(frame(x), liking + noise)
    seen = lambda mean: np.corrcoef(mean, noise)[0, 1]
    (train,), later = given, encode_table(model.encoder_, table_of(frame(x)))
    assert abs(seen(train.numbers[:, 2])) < 0.1 < 0.2 < seen(later.numbers[:, 2])


def test_encodings_can_be_named_for_both_kinds_of_columns():
    x, y, _ = log()
    knobs = {**TINY, "encodings": ["standard", "id"], "epochs": 1}
    model = MultiTaskClassifier(**knobs).fit(frame(x), y)
    encodings = {f.name: f.encodings for f in model.encoder_.schema.fields}
    assert encodings == {"shop": ("id",), "item": ("id",), "price": ("standard",)}


def test_rows_without_weight_are_not_looked_at():
    x, liking = visits()
    y, some = liking > 0, np.arange(len(liking)) % 2
    means = lambda y: MultiTaskClassifier(**TINY, random_state=0).fit(frame(x), y, some)
    other = np.where(some, y, 1 - y)
    np.testing.assert_array_equal(
        means(y).predict_proba(frame(x)), means(other).predict_proba(frame(x))
    )
