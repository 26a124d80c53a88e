"""Slices, against loops over the raw rows and the AUC of scikit-learn."""

import numpy as np
import pyarrow as pa
import pytest
from lib.training import call
from sklearn.metrics import log_loss, roc_auc_score

from ple_jax.analysis.scored import scored
from ple_jax.analysis.slices import slice_metrics
from ple_jax.analysis.slicing import (
    MOST,
    by_item,
    by_number,
    by_value,
    decoded,
    slices_of,
)
from ple_jax.data.numeric import NumericFit
from ple_jax.data.row_index import RowIndex
from ple_jax.metrics.exact import sigmoid
from ple_jax.studies.sides import sides_of


def rows_of(run, raw, split="test"):
    """The raw rows of a split, as dicts."""
    splits = RowIndex.open(run.data).splits
    number = ("train", "validation", "test").index(split)
    return raw.take(pa.array(np.flatnonzero(splits == number))).to_pylist()


@pytest.mark.parametrize("column", ["item", "store", "domain", "maker"])
def test_a_slice_has_the_rows_with_its_value(shop, column):
    raw, run = shop
    rows = rows_of(run, raw)
    name = "store" if column == "domain" else column
    slices = slices_of(run.data, "test", column)
    sizes = [len(one.rows) for one in slices]
    assert len(slices) > 2
    for one in slices[:MOST]:
        if one.name == "unknown or missing":
            continue
        of = [i for i, row in enumerate(rows) if row[name] == one.name]
        assert one.rows.tolist() == of
    if column == "maker":
        known = {row["maker"] for row in rows}
        assert slices[-1].name == f"{len(known) - MOST} others"
        sizes = sizes[:-1]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(len(one.rows) for one in slices) == len(rows)


def test_a_row_is_in_the_slice_of_each_of_its_items(shop):
    raw, run = shop
    rows = rows_of(run, raw)
    for one in slices_of(run.data, "test", "tags"):
        of = [i for i, row in enumerate(rows) if one.name in row["tags"].split("|")]
        assert one.rows.tolist() == of


@pytest.mark.parametrize("column", ["price", "key"])
def test_numbers_are_cut_at_their_quantiles(shop, column):
    raw, run = shop
    rows = rows_of(run, raw)
    slices = slices_of(run.data, "test", column)
    numbers = slices[:5]
    assert [one.name for one in slices[5:]] == ["missing"] * (column == "price")
    for one in numbers:
        low, high = map(float, one.name.split(" to "))
        values = [float(row[column] or "nan") for row in rows]
        of = [i for i, x in enumerate(values) if low - 0.002 <= x <= high + 0.002]
        assert one.rows.tolist() == of
    sizes = [len(one.rows) for one in numbers]
    assert max(sizes) - min(sizes) <= 5


def test_slices_of_few_numbers_and_of_none():
    slices = by_number(np.array([2.0, np.nan, 2.0, 7.0, 7.0]))
    assert [(one.name, one.rows.tolist()) for one in slices] == [
        ("2", [0, 2]),
        ("7", [3, 4]),
        ("missing", [1]),
    ]
    assert by_number(np.full(3, np.nan))[0].name == "missing"
    bag = np.array([[1, 1], [2, -1], [-1, -1]])
    names = {one.name: one.rows.tolist() for one in by_item(bag, ["?", "a", "b"])}
    assert names == {"a": [0], "b": [1], "missing": [2]}
    assert by_value(np.array([1, 0, 1]), ["a", "a"])[0].rows.tolist() == [0, 2]


def test_numbers_are_read_back_from_every_encoding():
    x, none = np.array([-3.0, 0.5, 9.0]), np.zeros((3, 0), np.int32)
    knots = np.array([-3.0, 1.0, 9.0])
    for moments in ({"log": (0.1, 2.0)}, {"standard": (1.0, 3.0)}, {}):
        kinds = (*moments, *("piecewise",) * (not moments))
        fit = NumericFit("x", kinds, moments, np.array([0.0]), knots)
        columns = np.stack(fit.numbers(x), axis=1)
        np.testing.assert_allclose(decoded(fit, columns, none), x, rtol=1e-5)
    ids = np.array([[0], [1], [2]])
    assert np.isnan(decoded(fit, columns, ids)).tolist() == [True, False, False]
    assert decoded(fit, np.zeros((3, 0)), ids) is None


def test_a_slices_metrics_are_scikit_learns_on_its_rows(shop):
    _, run = shop
    (side,) = sides_of([run.directory])
    one = scored(side, "test")[0]
    slices = slices_of(run.data, "test", "store")
    found = slice_metrics(one, slices)
    click = found["tasks"]["click"]
    assert found["slices"] == [*(s.name for s in slices), "all rows"]
    for i, part in enumerate(slices):
        z, y = one.logits[part.rows, 0], one.examples.labels[part.rows, 0]
        auc = click["metrics"]["auc_roc"][i]
        assert auc == pytest.approx(roc_auc_score(y, z))
        assert click["low"][i] < auc < click["high"][i]
        p = sigmoid(z.astype(float))
        assert click["metrics"]["log_loss"][i] == pytest.approx(log_loss(y, p))
        assert click["metrics"]["examples"][i] == len(part.rows)
        assert click["actual"][i] == pytest.approx(y.mean())
        assert click["predicted"][i] == pytest.approx(p.mean(), rel=1e-6)
    whole = run.result["test"]["tasks"]["click"]["auc_roc"]
    assert click["metrics"]["auc_roc"][-1] == pytest.approx(whole)


def test_a_slice_of_one_class_is_undefined(shop):
    _, run = shop
    (side,) = sides_of([run.directory])
    one = scored(side, "test")[0]
    never = np.flatnonzero(one.examples.labels[:, 0] == 0)[:9]
    slices = [type(slices_of(run.data, "test", "store")[0])("never", never)]
    click = slice_metrics(one, slices)["tasks"]["click"]
    assert np.isnan(click["metrics"]["auc_roc"][0])
    assert np.isnan(click["low"][0])
    assert click["metrics"]["log_loss"][0] > 0


def test_a_column_that_is_not_at_hand_is_refused(sides, shop):
    with pytest.raises(ValueError, match=r"No slices by 'categry_0'.*Did you mean"):
        slices_of(sides[0].data, "test", "categry_0")
    with pytest.raises(ValueError, match=r"by 'makr'.*no column 'makr'"):
        slices_of(shop[1].data, "test", "makr")


def test_the_page_has_slices_importance_and_embeddings(shop, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    out, run = tmp_path / "page.html", shop[1].directory
    asked = ("--slice", "maker", "tags", "nothing", "--importance", "--out", out)
    assert not call("report", run, *asked)
    text = out.read_text(encoding="utf-8")
    for said in ("By maker", "9 others", "Importance of fields", "never trained"):
        assert said in text
    assert "This part could not be made: No slices by &#39;nothing&#39;" in text
    assert text.count("could not be made") == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "warning: the page has no 'By nothing': No slices by 'nothing'" in said
