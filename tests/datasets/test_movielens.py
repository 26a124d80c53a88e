"""MovieLens-1M, on the real files; without them, the finder's own error says how."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from lib.prepared import sizes, sums, value_counts, whole

from ple_jax.config.experiment import Plugin
from ple_jax.data.prepare import prepare
from ple_jax.datasets import movielens
from ple_jax.runs import directory
from ple_jax.runs.directory import prepare_data


@pytest.fixture(scope="module")
def ratings():
    return whole(movielens.build())


@pytest.fixture(scope="module")
def movies(prepared):
    return prepared("movielens")


def test_movielens_has_the_published_counts(ratings):
    assert value_counts(ratings["rating"]) == {
        "1": 56_174,
        "2": 107_557,
        "3": 261_197,
        "4": 348_971,
        "5": 226_310,
    }
    distinct = {n: pc.count_distinct(ratings[n]).as_py() for n in ("user_id", "movie")}
    assert distinct == {"user_id": 6_040, "movie": 3_706}
    assert not any(column.null_count for column in ratings.columns)
    assert value_counts(ratings["age_group"]) == movielens.describe()["domains"]


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
    occupations = sorted(value_counts(ratings["occupation"]).values())
    assert [len(occupations), occupations[0], occupations[-1]] == [21, 2_706, 131_032]
    genres = value_counts(ratings["first_genre"])
    assert len(genres) == 18
    assert (genres["Fantasy"], genres["Comedy"]) == (790, 276_923)
    for domain, column in movielens.DOMAINS.items():
        assert movielens.build(domain=domain).schema.domain == column
    assert movielens.build(domain="none").schema.domain is None


def test_movielens_tasks_splits_and_inputs(movies):
    assert sum(sizes(movies)) == 1_000_209
    np.testing.assert_allclose(
        np.array(sizes(movies)) / 1_000_209, [0.8, 0.1, 0.1], atol=1e-3
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


def test_movielens_draws_users_with_all_of_their_ratings(ratings):
    few = whole(movielens.build(users=7))
    drawn = value_counts(few["user_id"])
    every = value_counts(ratings["user_id"])
    assert len(drawn) == 7
    assert drawn == {user: every[user] for user in drawn}
    again = value_counts(whole(movielens.build(users=7))["user_id"])
    others = value_counts(whole(movielens.build(users=7, seed=1))["user_id"])
    assert again.keys() == drawn.keys() != others.keys()


def test_movielens_split_by_user_holds_users_out(tmp_path):
    data = prepare(movielens.build(users=60, split="user"), tmp_path / "data")
    encoder = data.encoder.vocabularies["user_id"]
    assert 40 < len(encoder) < 56  # of 60, eight in ten are in train
    unknown = [i for i, c in enumerate(data.layout.ids) if c.name == "user_id"]
    assert (np.array(data.split("test").ids)[:, unknown] == 0).all()


def test_movielens_terms_are_said_when_it_is_prepared(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(directory, "data_prepare", lambda source, *_: source)
    prepare_data(Plugin("movielens", {}), tmp_path)
    said = " ".join("".join(capsys.readouterr()).split())
    assert said.count(movielens.TERMS) == 1
    assert "not pass it on" in movielens.TERMS
