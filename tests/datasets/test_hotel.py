"""Hotel bookings, on the real file: sample spaces, order in time, leaks."""

import numpy as np
import pytest
from lib.prepared import over_all, sizes, whole
from lib.tables import built

from ple_jax.datasets import hotel


@pytest.fixture(scope="module")
def bookings(prepared):
    return prepared("hotel")


def test_hotel_has_its_counts(bookings):
    labels, observed = over_all(bookings, "labels"), over_all(bookings, "observed")
    assert sizes(bookings) == [78_701, 7_858, 32_829]
    assert sum(sizes(bookings)[:2]) == 86_561 - 2  # the two undefined ones
    assert labels[:, 0].sum() == 75_166
    assert observed.sum(axis=0).tolist() == [119_388, 75_166, 75_166]


def test_hotel_asks_only_guests_who_came(bookings):
    labels, observed = over_all(bookings, "labels"), over_all(bookings, "observed")
    np.testing.assert_array_equal(observed[:, 1], labels[:, 0] == 1)
    np.testing.assert_array_equal(observed[:, 2], labels[:, 0] == 1)


def test_hotel_splits_by_time_of_arrival():
    table = whole(built(hotel))
    months = {name: i for i, name in enumerate(hotel.MONTHS)}
    month = np.array([months[m] for m in table["arrival_date_month"].to_pylist()])
    time = table["arrival_date_year"].to_numpy().astype(int) * 12 + month
    split = table["split"].to_numpy()
    for before, after in (("train", "validation"), ("validation", "test")):
        assert time[split == before].max() < time[split == after].min()


def test_hotel_knows_what_is_missing(bookings):
    table = whole(hotel.build())
    missing = {
        name: sum(v in hotel.FORMAT.missing for v in table[name].to_pylist())
        for name in ("country", "agent", "company", "children")
    }
    # The two undefined bookings had no agent, no company and no number of children.
    expected = {"country": 488, "agent": 16_340, "company": 112_593, "children": 4}
    left_out = {"country": 0, "agent": 2, "company": 2, "children": 2}
    assert missing == {name: expected[name] - left_out[name] for name in missing}
    for vocabulary in bookings.encoder.vocabularies.values():
        assert not {"NULL", "NA"} & set(vocabulary["value"].to_pylist())


@pytest.mark.parametrize("name", hotel.LEAKING)
def test_hotel_refuses_leaks(name):
    with pytest.raises(ValueError, match=r"declared as leaking|is the label of task"):
        hotel.build(features=("lead_time", name))


def test_hotel_takes_chosen_features_and_names_the_nearest():
    fields = built(hotel, features=("lead_time", "country")).schema.fields
    assert [f.name for f in fields] == ["lead_time", "country"]
    with pytest.raises(ValueError, match="Did you mean 'lead_time'"):
        hotel.build(features=("lead_tim",))


def test_hotel_learns_on_a_chosen_space_and_measures_on_its_own():
    table = whole(hotel.build(space="all"))
    came = np.array(table["is_canceled"].to_pylist()) == "0"
    split = np.array(table["split"].to_pylist())
    parks = np.array(table["required_car_parking_spaces"].to_pylist(), int) > 0
    for name, own in (("parking", parks), ("room_change", None)):
        for label, is_in, part, y in zip(
            table[f"naive_{name}"].to_pylist(),
            came,
            split,
            table["room_change"].to_pylist() if own is None else own,
            strict=True,
        ):
            outside = 0 if part == "train" else None
            assert label == (int(y) if is_in else outside)
    tasks = hotel.build(space="all").schema.tasks
    assert [(t.given, t.entire_space) for t in tasks] == [(None, False)] * 3
    tasks = hotel.build(space="entire").schema.tasks
    assert [t.entire_space for t in tasks] == [False, True, True]
    assert hotel.build(space="own").schema == hotel.build().schema
    with pytest.raises(ValueError, match="Did you mean 'entire'"):
        hotel.build(space="entir")
