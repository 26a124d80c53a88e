"""What columns are taken for, by a table of cases."""

import numpy as np
import pytest
from lib.guessed import column

from ple_jax.guess import names
from ple_jax.guess.inputs import input_of
from ple_jax.guess.labels import candidate_of, chained, chosen, labels_of
from ple_jax.guess.leaks import telling
from ple_jax.guess.roles import Asked, guess
from ple_jax.guess.times import moments
from ple_jax.guess.written import schema_text

N = 211


def texts(values):
    return [str(v) for v in values]


def lists(separator, items, rng):
    return [separator.join(rng.choice(items, 3)) for _ in range(N)]


def kinds(rng):
    """Name -> values, and the kind of field or what is said of a column left out."""
    numbers = rng.normal(size=N)
    few = rng.integers(0, 7, N)
    ids = [f"u{v}" for v in rng.integers(0, 60, N)]
    prose = [" ".join(rng.choice(list("abcdefgh"), 6)) for _ in range(N)]
    genres = ["drama", "comedy", "war", "crime", "film noir"]
    return {
        "price": (texts(numbers), "numeric"),
        "adults": (texts(few), "numeric"),
        "item_id": (texts(few), "categorical"),
        "productid": (texts(few), "categorical"),
        "paid": (texts(few), "numeric"),
        "has_child": (texts(few % 2), "categorical"),
        "zone": ([f"{v:03}" for v in few], "categorical"),
        "city": (ids, "categorical"),
        "genres": (lists("|", genres, rng), "multi_valued"),
        "labels": (lists(", ", genres, rng), "multi_valued"),
        "clicked_before": (lists(" ", texts(range(40)), rng), "multi_valued"),
        "history": (lists(" ", texts(range(40)), rng), "sequence"),
        "id": (texts(7 * np.arange(N) ** 2), "a key"),
        "anything": (texts(np.arange(N) + 5), "a key"),
        "revenue in cents": (texts(np.arange(N) ** 2), "numeric"),
        "token": ([f"{v:x}" for v in rng.integers(0, 2**60, N)], "a key"),
        "comment": (prose, "text, of 6 words"),
        "nothing": ([""] * N, "empty"),
        "country": (["IT"] * N, "always 'IT'"),
        "seen": (["x"] * (N - 9) + [""] * 9, "categorical"),
        "day": ([f"{1 + v}/3/2024" for v in few], "a time, but not in ISO 8601"),
    }


@pytest.mark.parametrize("name", kinds(np.random.default_rng(0)))
def test_what_a_column_is_as_an_input(name, rng):
    values, expected = kinds(rng)[name]
    found = input_of(column(name, values))
    assert (
        found.field.kind if found.field else found.reason[: len(expected)]
    ) == expected


LABELS = {
    "click": ("01", None, "named"),
    "isClicked": ("01", None, "named"),
    "Y": ("ny", ("y",), "named"),
    "converted": (["False", "True"], ("True",), "named"),
    "is_new": ("01", None, "flag"),
    "flag_a": ("01", None, "binary"),
    "answer": (["No", "Yes"], ("Yes",), "binary"),
    "sign": (["-1", "1"], ("1",), "binary"),
    "income": (["-", "50000+."], ("50000+.",), "pair"),
    "rating": ("12345", ">= 4", "named"),
    "has_click_history": ("01", None, "binary"),
}


@pytest.mark.parametrize("name", LABELS)
def test_what_speaks_for_a_label(name):
    values, positive, how = LABELS[name]
    found = candidate_of(column(name, [*values] * 30 + [values[0]]))
    assert (found.task.positive, found.how) == (positive, how)


@pytest.mark.parametrize("name", ["click_count", "age", "city"])
def test_what_does_not(name):
    assert candidate_of(column(name, [str(i) for i in range(30)])) is None


def test_stars_are_cut_where_they_tell_something():
    stars = column("stars", ["1"] * 50 + ["2"] * 46 + ["5"] * 4)
    assert candidate_of(stars).task.positive == ">= 2"
    assert labels_of(stars, candidate_of(stars).task).mean() == 0.5


def chosen_of(**values):
    found = {n: candidate_of(column(n, v)) for n, v in values.items()}
    return chosen({n: c for n, c in found.items() if c}, list(values)[-1])


def test_which_labels_are_obvious():
    zero_one, sex, no = ["0", "1"] * 9, ["m", "f"] * 9, [*"abcdefghi"] * 2
    assert chosen_of(click=zero_one, buy=zero_one, owner=zero_one) == ["click", "buy"]
    assert chosen_of(owner=zero_one, sex=sex, city=no) == ["owner"]
    assert chosen_of(owner=zero_one, car=zero_one, answer=zero_one) == ["answer"]
    assert chosen_of(owner=zero_one, car=zero_one, is_new=zero_one, city=no) == [
        "is_new"
    ]
    assert chosen_of(sex=sex, income=["-", "+"] * 9) == ["income"]
    assert chosen_of(sex=sex, city=no) == []
    assert chosen_of(owner=zero_one, car=zero_one, city=no) == []


def test_labels_are_chained_where_one_implies_the_other(rng):
    click = rng.random(2003) < 0.4
    buy = click & (rng.random(2003) < 0.3)
    back = buy & (rng.random(2003) < 0.3)
    like = rng.random(2003) < 0.1
    rare = np.zeros(2003)
    rare[np.flatnonzero(click)[:9]] = 1
    labels = {"back": back, "buy": buy, "like": like, "click": click, "rare": rare}
    given = chained({n: y.astype(float) for n, y in labels.items()})
    assert given == {
        "like": None,
        "click": None,
        "rare": None,
        "buy": "click",
        "back": "buy",
    }
    assert list(given).index("click") < list(given).index("buy")


def test_an_implication_that_chance_explains_is_none(rng):
    usual = (rng.random(997) < 0.98).astype(float)
    rare = usual * (rng.random(997) < 0.05)
    assert rare.sum() >= 20
    assert chained({"usual": usual, "rare": rare}) == {"usual": None, "rare": None}


def test_a_column_that_tells_the_label_is_named(rng):
    y = (rng.random(997) < 0.3).astype(float)
    told = column("status", np.where(y, "out", rng.choice(["in", "no"], 997)))
    amount = column("paid", texts(y * rng.random(997).round(3)))
    honest = column("age", texts(rng.integers(0, 50, 997)))
    key = column("row", texts(range(997)))
    assert telling(told, {"click": y}) == "tells 'click' alone, with an AUC of 1.0000"
    assert "tells 'click' alone" in telling(amount, {"click": y})
    assert telling(honest, {"click": y}) is None
    assert telling(key, {"click": y}) is None


MOMENTS = {
    "when": ([f"2024-05-{d:02}" for d in range(1, 29)], True),
    "created_at": ([f"2024-05-01T12:{m:02}:00Z" for m in range(50)], True),
    "ts": (texts(range(1_700_000_000, 1_700_000_050)), True),
    "hour": (texts(range(14_102_100, 14_102_120)), True),
    "play_time": (texts(range(50)), False),
    "amount": (texts(range(1_700_000_000, 1_700_000_050)), False),
    "time": (["2PM", "7AM"] * 20, False),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_which_columns_hold_times(name):
    values, is_time = MOMENTS[name]
    assert (moments(column(name, values)) is not None) == is_time


def test_words_of_names():
    assert names.is_user("userId")
    assert names.is_user("customer")
    assert not names.is_user("customer_type")
    assert names.is_weight("instance_weight")
    assert not names.is_weight("weight")


def logs(rng, rows=2003):
    """A log in the order of time, with labels, users, shops and times."""
    click = rng.random(rows) < 0.3
    return {
        "row": texts(range(rows)),
        "user_id": texts(rng.integers(0, 100, rows)),
        "shop": rng.choice(["n", "s"], rows),
        "price": texts(rng.random(rows).round(4)),
        "created": texts(1_700_000_000 + np.arange(rows)),
        "is_click": texts(click.astype(int)),
        "is_special": texts(rng.integers(0, 2, rows)),
        "conversion": texts((click & (rng.random(rows) < 0.3)).astype(int)),
        "watch_time": texts((click * rng.random(rows)).round(4)),
        "is_weekend": texts(rng.integers(0, 2, rows)),
        "sample_weight": texts(rng.random(rows).round(3)),
    }


def test_roles_of_a_log(sampled, rng):
    made = guess(sampled(**logs(rng)))
    assert [(t.name, t.given) for t in made.tasks] == [
        ("is_click", None),
        ("conversion", "is_click"),
    ]
    assert (made.split.by, made.split.column) == ("time", "created")
    assert (made.domain, made.user) == ("shop", "user_id")
    roles = {name: d.role for name, d in made.decisions.items()}
    inputs = {name for name, role in roles.items() if role == "input"}
    assert inputs == {"user_id", "shop", "price", "is_weekend"}
    assert roles["is_special"] == roles["watch_time"] == "ignored"
    assert roles["sample_weight"] == "weight"
    assert list(made.perhaps["weight"]) == ["sample_weight"]
    other = [c.task.name for c in made.other_tasks]
    assert other == ["is_special", "watch_time"]


def test_domains_that_come_late_need_a_domain_of_their_own(sampled, rng):
    columns = logs(rng)
    assert not guess(sampled(**columns)).unseen
    columns["shop"][-150:] = "w"
    late = sampled(**columns)
    assert guess(late).domain == "shop"
    assert guess(late).unseen
    assert not guess(late, Asked(time="none")).unseen


def test_what_the_user_says_is_done(sampled, rng):
    sample = sampled(**logs(rng))
    asked = Asked(("conversion", "price"), time="none", domain="none", user="none")
    made = guess(sample, asked)
    assert [(t.name, t.loss, t.given) for t in made.tasks] == [
        ("conversion", "binary", None),
        ("price", "squared", None),
    ]
    assert made.split.by == "random"
    assert made.domain is made.user is None
    assert made.decisions["is_click"].role == "ignored"
    assert guess(sample, Asked(time="row")).split.column == "row"


def test_what_the_user_cannot_say(sampled, rng):
    sample = sampled(**logs(rng), constant=["x"] * 2003)
    wrong = {
        "Did you mean 'is_click'": Asked(("is_clik",)),
        "it has 1 values": Asked(("constant",)),
        "holds no times": Asked(time="shop"),
        "too few different times": Asked(time="is_weekend"),
    }
    for message, asked in wrong.items():
        with pytest.raises(ValueError, match=message):
            guess(sample, asked)


def test_rows_are_not_split_by_time_if_a_split_lacks_a_class(sampled, rng):
    columns = logs(rng) | {"is_click": texts((np.arange(2003) < 900).astype(int))}
    made = guess(sampled(**columns), Asked(("is_click",)))
    assert made.split.by == "random"
    assert "would be the same in all of validation" in made.decisions["created"].reason


def test_a_column_that_names_splits_splits(sampled, rng):
    names = rng.choice(["Train", "dev", "test"], 2003)
    split = guess(sampled(**logs(rng), fold=names)).split
    assert (split.by, split.column) == ("column", "fold")
    assert (split.train, split.validation) == (("Train",), ("dev",))


def test_times_that_are_set_after_the_outcome_split_nothing(sampled, rng):
    days = [f"2024-{1 + k // 28:02}-{1 + k % 28:02}" for k in range(300)]
    asked = {"city": rng.choice(list("abc"), 300), "click": texts(np.arange(300) % 2)}
    late = {"reservation_status_date": rng.permutation(days)}
    made = guess(sampled(**asked, **late), Asked())
    assert made.split.by == "random"
    (why,) = [d.reason for n, d in made.decisions.items() if n in late]
    assert "its name says 'status', so perhaps it is set after the outcome" in why
    assert "--time reservation_status_date" in why
    assert '# column = "reservation_status_date"' in schema_text(made)
    made = guess(sampled(**asked, **late), Asked(time="reservation_status_date"))
    assert made.split.column == "reservation_status_date"
    made = guess(sampled(**asked, **late, booked_on=days), Asked())
    assert made.split.column == "booked_on"
    assert "before reservation_status_date" in made.decisions["booked_on"].reason
