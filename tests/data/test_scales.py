"""Labels that are numbers: what they may be, and the unit in which they are learned."""

import re

import numpy as np
import pyarrow as pa
import pytest
from lib.tables import rows_of, source

from ple_jax.data.counts import NumberCounts
from ple_jax.data.labels import read_labels
from ple_jax.data.prepare import prepare
from ple_jax.data.scales import fit_scale, plain, read_scale
from ple_jax.layout import Scale
from ple_jax.schema import Field, Schema, Split, Task

LEVELS = (1.0, 2.0, 3.0, 5.0)
STARS = Task("y", loss="ordinal", levels=LEVELS)
VISITS, WATCH = Task("y", loss="poisson"), Task("y", loss="weighted_logistic")
TIME = Task("y", loss="quantile")


def test_scales_are_those_of_train():
    y = np.array([1, 1, 2, 5, 5, 5, 2.0])
    counts = NumberCounts.of(y)
    assert fit_scale(TIME, counts) == Scale(y.mean(), pytest.approx(y.std()))
    assert fit_scale(VISITS, counts) == Scale(0.0, y.mean())
    assert fit_scale(WATCH, NumberCounts.of(0 * y)) == Scale()
    assert fit_scale(VISITS, NumberCounts.of(y[:0])) == Scale()
    cuts = fit_scale(STARS, counts).thresholds
    above = [(6 - n + 0.5 * k) / 9 for n, k in ((1, 3), (3, 2), (3, 1))]
    np.testing.assert_allclose(1 / (1 + np.exp(cuts)), above)
    assert list(cuts) == sorted(set(cuts))  # although no label is 3


@pytest.mark.parametrize("scale", [Scale(2.0, 3.0), Scale(thresholds=(-1.0, 0.5))])
def test_a_scale_is_read_as_it_was_written(scale):
    assert read_scale(plain(scale)) == scale
    assert ("thresholds" in plain(scale)) == bool(scale.thresholds)


@pytest.mark.parametrize(
    ("task", "wrong", "wanted"),
    [
        (STARS, "4", "one of its levels, 1, 2, 3, 5, as label of task 'y'"),
        (VISITS, "-1", "a number of at least 0 as label of task 'y', got '-1'"),
        (WATCH, "-0.5", "a number of at least 0"),
        (Task("y"), "2", "0 or 1 as label of task 'y' (or set its `positive`)"),
    ],
)
def test_a_label_that_a_loss_has_no_room_for_is_an_error(task, wrong, wanted):
    schema = Schema((Field("x"),), (task,))
    table = pa.table({"x": ["a", "b", "c"], "y": ["1", None, wrong]})
    labels, observed = read_labels(rows_of(table.slice(0, 2), schema), schema)
    assert observed[:, 0].tolist() == [True, False]
    assert labels[0, 0] == 1
    with pytest.raises(ValueError, match=re.escape(wanted)):
        read_labels(rows_of(table, schema), schema)


@pytest.mark.parametrize(
    ("task", "labels", "wanted"),
    [
        (VISITS, [0], "no label in train is above 0"),
        (WATCH, [0], "no label in train is above 0"),
        (WATCH, [1, 2], "no label in train is 0"),
    ],
)
def test_labels_that_teach_nothing_are_an_error(task, labels, wanted, tmp_path):
    split = Split(fractions=(0.6, 0.2, 0.2))
    schema = Schema((Field("x"),), (task,), split=split)
    y = np.resize(labels, 61)
    table = pa.table({"x": ["a"] * 61, "y": [str(v) for v in y]})
    with pytest.raises(ValueError, match=wanted):
        prepare(source(table, schema), tmp_path / "data")


def test_levels_that_float32_rounds_are_read_back(tmp_path):
    task = Task("y", loss="ordinal", levels=(0.1, 0.7))
    schema = Schema((Field("x"),), (task,))
    table = pa.table({"x": ["a"] * 61, "y": ["0.1", *["0.7"] * 60]})
    data = prepare(source(table, schema), tmp_path / "data")
    assert set(data.split("train").labels[:, 0]) <= {np.float32(0.1), np.float32(0.7)}
    assert data.layout.scales[0] == read_scale(plain(data.layout.scales[0]))
    assert len(data.layout.scales[0].thresholds) == 1
