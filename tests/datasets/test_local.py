"""Data sets in files that the user has: counts, sample spaces, order in time, leaks."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lib.tables import built

from ple_jax.data import files
from ple_jax.data.prepare import prepare
from ple_jax.datasets import ali_ccp, aliexpress, ciao, clicks, hotel, kuairand
from ple_jax.schema import SPLITS

SAMPLES = {
    "train": "fixtures/ali_ccp_train_sample.csv",
    "validation": "fixtures/ali_ccp_val_sample.csv",
    "test": "fixtures/ali_ccp_test_sample.csv",
}


def whole(source) -> pa.Table:
    return pa.concat_tables([chunk.table for chunk in source.chunks()])


def sizes(prepared) -> list[int]:
    return [facts["rows"] for facts in prepared.facts["splits"].values()]


def domain_sizes(prepared) -> dict[str, int]:
    every = [facts["domains"] for facts in prepared.facts["splits"].values()]
    return {name: sum(part[name] for part in every) for name in every[0]}


def over_all(prepared, name) -> np.ndarray:
    return np.concatenate([prepared.split(s).arrays()[name] for s in SPLITS])


@pytest.fixture(scope="module")
def bookings(prepared):
    return prepared("hotel")


@pytest.fixture(scope="module")
def ratings(prepared):
    return prepared("ciao")


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


def test_ciao_has_its_counts(ratings):
    labels = over_all(ratings, "labels")
    assert sizes(ratings) == [227_247, 28_426, 28_413]
    assert len(ratings.layout.domains) == 27
    assert labels[:, 1].sum() == 198_173
    category = whole(ciao.build())["category"].to_numpy()
    assert np.bincount(category)[1:].tolist() == list(ciao.SIZES)


def test_ciao_splits_by_time(ratings):
    time = np.sort(whole(ciao.build(history=0))["time"].to_numpy())
    first, second = np.cumsum(sizes(ratings))[:2]
    assert time[first - 1] < time[first]  # equal times stay together
    assert time[second - 1] < time[second]


def test_ciao_histories_are_earlier_items_of_the_user():
    table = whole(built(ciao, history=3))
    user, item, time = (table[n].to_numpy() for n in ("user", "item", "time"))
    for row in np.random.default_rng(0).choice(len(table), 100, replace=False):
        earlier = np.flatnonzero((user == user[row]) & (time < time[row]))
        earlier = earlier[np.argsort(time[earlier], kind="stable")]
        assert table["history"][row].as_py() == item[earlier][-3:].tolist()


def test_ciao_history_shares_the_table_of_items(ratings):
    (bag,) = ratings.layout.bags
    assert (bag.table, bag.length) == ("item", 20)
    (item,) = (c for c in ratings.layout.ids if c.name == "item")
    assert bag.rows == item.rows


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=30),
    st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_a_history_never_holds_the_present_or_the_future(rows, most):
    user, time = np.array(rows).T
    item = np.arange(len(rows))  # so that each event has a name of its own
    found = ciao.histories(user, item, time, most).to_pylist()
    for row, history in enumerate(found):
        earlier = [i for i in item if user[i] == user[row] and time[i] < time[row]]
        assert history == sorted(earlier, key=lambda i: time[i])[-most:]


def test_ali_ccp_reads_the_samples(tmp_path):
    source = built(ali_ccp, **SAMPLES, min_count=1)
    data = prepare(source, tmp_path / "prepared")
    assert sizes(data) == [100, 50, 50]
    assert domain_sizes(data) == {"1": 146, "2": 32, "3": 22}
    train, labels = data.split("train"), over_all(data, "labels")
    assert train.labels.sum(axis=0).tolist() == [7, 1]
    assert labels.sum(axis=0).tolist() == [16, 3]
    np.testing.assert_array_equal(over_all(data, "observed")[:, 1], labels[:, 0] == 1)
    assert len(source.schema.fields) == 23 + 8


def write_aliexpress(root, country, part, one_label, rows=60):
    rng = np.random.default_rng(ord(country[0]))
    folder = root / f"AliExpress_{country}"
    folder.mkdir(exist_ok=True)
    columns = {"search_id": np.arange(rows) // 3}
    columns |= {f"categorical_{i}": rng.integers(0, 4, rows) for i in range(1, 17)}
    columns |= {f"numerical_{i}": rng.normal(size=rows) for i in range(1, 64)}
    label = np.arange(rows) % 3
    both = {"click": np.int8(label > 0), "conversion": np.int8(label > 1)}
    columns |= {"label": label} if one_label else both
    pyarrow.csv.write_csv(pa.table(columns), folder / f"{part}.csv")


@pytest.mark.parametrize("one_label", [False, True])
def test_aliexpress_reads_its_format(tmp_path, one_label):
    for country in ("NL", "ES"):
        for part in ("train", "test"):
            write_aliexpress(tmp_path, country, part, one_label)
    source = aliexpress.build(("NL", "ES"), validation=0.3, data_dir=str(tmp_path))
    data = prepare(source, tmp_path / "prepared")
    train, validation, test = sizes(data)
    assert (train + validation, test) == (120, 120)
    assert domain_sizes(data) == {"NL": 120, "ES": 120}
    labels = over_all(data, "labels")
    assert labels.sum(axis=0).tolist() == [160, 80]
    assert over_all(data, "observed").all()  # CTCVR: asked of all impressions
    table = whole(source)
    search = lambda split: set(
        table.filter(pc.equal(table["split"], split))["search"].to_pylist()
    )
    assert not search("train") & search("validation")  # no search on both sides


def test_aliexpress_explains_mistakes(tmp_path):
    with pytest.raises(ValueError, match="Known: NL, ES, FR, US, RU"):
        aliexpress.build(("UK",))
    with pytest.raises(ValueError, match=r"AliExpress_NL/train.csv"):
        aliexpress.build(data_dir=str(tmp_path))


def test_kuairand_reads_the_sample(tmp_path):
    options = {"files": ("fixtures/kuairand_sample.csv",), "tasks": ("is_click",)}
    source = built(kuairand, **options, split="random")
    data = prepare(source, tmp_path / "prepared")
    assert domain_sizes(data) == {"1": 200}
    assert over_all(data, "labels").sum() == 32
    names = {field.name for field in source.schema.fields}
    assert len(names) == 42 - 1 - 3  # all but the click and what playing tells
    assert not names & set(kuairand.LEAKING)
    with pytest.raises(ValueError, match="no column 'date'"):
        next(kuairand.build(**options).chunks())


def test_kuairand_splits_by_date_and_keeps_some_tabs(tmp_path):
    rows, rng = 90, np.random.default_rng(0)
    ids = {name: rng.integers(0, 9, rows) for name in ("user_id", "video_id")}
    feedback = {name: np.arange(rows) % 2 for name in kuairand.FEEDBACK}
    date = 20220503 + np.arange(rows) // 15
    tab = np.arange(rows) % 3
    log = pa.table(ids | feedback | {"date": date, "tab": tab, "play_time_ms": date})
    pyarrow.csv.write_csv(log, tmp_path / "log.csv")
    source = kuairand.build(("log.csv",), tabs=("0", "1"), data_dir=str(tmp_path))
    data = prepare(source, tmp_path / "prepared")
    assert sizes(data) == [20, 20, 20]
    assert set(data.layout.domains) == {"0", "1"}
    with pytest.raises(ValueError, match="Did you mean 'is_like'"):
        kuairand.build(tasks=("like",))


def test_clicks_have_the_shares_and_rates_of_the_table():
    table = clicks.draw(100_000, 2_000, 500, 0.4, seed=1)
    domain, click = table["domain"].to_numpy() - 1, table["click"].to_numpy()
    rows = np.bincount(domain)
    np.testing.assert_allclose(rows / 1000, clicks.SHARES, atol=1e-9)
    rates = 100 * np.bincount(domain, click) / rows
    np.testing.assert_allclose(rates, clicks.CLICK_RATES, atol=50 / rows.min())
    bought = table["purchase"].to_numpy()
    assert not (bought > click).any()
    np.testing.assert_allclose(bought.sum() / click.sum(), 0.1, atol=0.005)


def test_clicks_are_drawn_the_same_again(tmp_path):
    build = lambda: clicks.build(40_000, 500, 100, purchase=True, seed=3)
    assert whole(build()).equals(whole(build()))
    data = prepare(build(), tmp_path / "prepared")
    assert data.facts["splits"]["train"]["base_rates"]["click"] > 0.02
    assert len(data.layout.domains) == 19
    np.testing.assert_array_equal(
        over_all(data, "observed")[:, 1], over_all(data, "labels")[:, 0] == 1
    )


def test_clicks_depend_on_the_domain_as_far_as_asked():
    def rates(effect):  # of clicks, by category and domain
        table = clicks.draw(200_000, 500, 100, effect, seed=0)
        domain, click = table["domain"].to_numpy(), table["click"].to_numpy()
        largest = [domain == number for number in (14, 8)]
        category = table["category"].to_numpy()
        return [np.bincount(category[d], click[d]) for d in largest]

    same, other = (np.corrcoef(*rates(effect))[0, 1] for effect in (0.0, 1.0))
    assert same > other + 0.05


def test_clicks_explain_mistakes():
    with pytest.raises(ValueError, match=r"data.examples must be at least 20000, got"):
        clicks.build(examples=10)
    with pytest.raises(ValueError, match=r"data.domain_effect must be in \[0, 1\]"):
        clicks.build(domain_effect=2.0)


def test_files_that_cannot_be_had_are_one_clear_error(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"hotel needs hotel_bookings.csv .*Kaggle"):
        hotel.build(data_dir=str(tmp_path))
    (tmp_path / "hotel_booking.csv").write_text("x")
    with pytest.raises(ValueError, match=r"Did you mean 'hotel_booking.csv'"):
        hotel.build(data_dir=str(tmp_path))
    (tmp_path / "hotel_bookings.csv").write_text("x")
    with pytest.raises(ValueError, match="its sha256 is"):
        hotel.build(data_dir=str(tmp_path))
    monkeypatch.delenv("PLE_JAX_DATA", raising=False)
    with pytest.raises(ValueError, match=r"--data.data-dir or PLE_JAX_DATA.*github"):
        ciao.build()


def test_a_file_is_found_plain_or_packed_in_its_folder_first(tmp_path):
    (tmp_path / "kind").mkdir()
    for place in ("a.csv", "kind/a.csv.gz"):
        (tmp_path / place).write_bytes(b"x")
    (path,) = files.find_files("kind", ["a.csv"], str(tmp_path), "")
    assert path == tmp_path / "kind" / "a.csv.gz"
