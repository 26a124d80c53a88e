"""What a data card says, against loops over the rows."""

import numpy as np
import pyarrow as pa
import pytest

from ple_jax.analysis.card import card
from ple_jax.analysis.drift import stability_index
from ple_jax.analysis.raw import drawn, raw_of, rows_in
from ple_jax.data.source import Chunk, Source
from ple_jax.schema import Field, Schema, Task
from ple_jax.splits import SPLITS, Split

N = 1999
SCHEMA = Schema(
    fields=(
        Field("item"),
        Field("price", "numeric"),
        Field("tags", "multi_valued"),
        Field("status"),
        Field("row"),
    ),
    tasks=(Task("click"), Task("buy", given="click"), Task("time", loss="squared")),
    split=Split(by="column", column="part"),
    domain="shop",
)


def columns(rng):
    part = np.array(SPLITS)[np.arange(N) % 5 % 3]  # train 2 of 5, validation 2, test 1
    click = (rng.random(N) < 0.3).astype(int)
    late = part == "test"
    item = [f"i{v}" for v in rng.integers(0, 13, N) + 5 * late]
    price = [None if v < 0.1 else str(v) for v in rng.random(N).round(3)]
    tags = ["|".join(rng.choice(list("abc"), k)) for k in rng.integers(0, 3, N)]
    return {
        "part": part,
        "item": item,
        "price": price,
        "tags": tags,
        "status": np.where(click, "done", "open"),
        "row": [f"r{i}" for i in range(N)],
        "shop": rng.choice(["n", "s"], N),
        "click": click,
        "buy": click * rng.integers(0, 2, N),
        "time": rng.random(N).round(4),
    }


def source_of(given, size=700):
    table = pa.table({k: pa.array(v) for k, v in given.items()})
    firsts = range(0, N, size)
    chunks = [Chunk(table.slice(i, size), "made", i) for i in firsts]
    return Source(SCHEMA, lambda: iter(chunks), {"kind": "made"})


@pytest.fixture(scope="module")
def given():
    return columns(np.random.default_rng(0))


@pytest.fixture(scope="module")
def made(given):
    return card(raw_of(source_of(given)))


def rows_in_split(given, split):
    return [i for i in range(N) if given["part"][i] == split]


def test_rates_by_split_and_domain(given, made):
    for split in SPLITS:
        rows = rows_in_split(given, split)
        assert made["splits"][split] == len(rows)
        clicks = [i for i in rows if given["click"][i]]
        bought = sum(int(given["buy"][i]) for i in clicks)
        facts = made["tasks"]["buy"][split]
        assert (facts["examples"], facts["positives"]) == (len(clicks), bought)
        assert facts["mean"] == pytest.approx(bought / len(clicks))
        mean = np.mean([given["time"][i] for i in rows])
        assert made["tasks"]["time"][split]["mean"] == pytest.approx(mean)
        shop = [i for i in rows if given["shop"][i] == "s"]
        assert made["domains"]["s"]["click"][split]["examples"] == len(shop)


def test_values_missing_and_unseen(given, made):
    fields = made["fields"]
    train, test = (rows_in_split(given, s) for s in ("train", "test"))
    assert fields["item"]["values"] == len(set(given["item"]))
    gone = np.mean([given["price"][i] is None for i in test])
    assert fields["price"]["missing"]["test"] == pytest.approx(gone)
    empty = np.mean([given["tags"][i] == "" for i in test])
    assert fields["tags"]["missing"]["test"] == pytest.approx(empty)
    seen = {given["item"][i] for i in train}
    new = np.mean([given["item"][i] not in seen for i in test])
    assert 0.1 < new < 0.9
    assert fields["item"]["unseen"]["test"] == pytest.approx(new)
    assert fields["price"]["unseen"]["test"] is None


def test_a_leak_an_id_and_drift_are_found_and_nothing_else(made):
    fields = made["fields"]
    assert fields["status"]["alone"]["click"] == 1
    assert fields["item"]["alone"]["click"] < 0.7
    assert [n for n, f in fields.items() if f["id_like"]] == ["row"]
    assert (
        fields["item"]["drift"]["test"] > 0.25 > fields["item"]["drift"]["validation"]
    )
    assert fields["price"]["drift"]["test"] < 0.1
    said = "\n".join(made["warnings"])
    for text in ("'status' alone has an AUC of 1.0000 for 'click'", "'row' has almost"):
        assert text in said
    assert "'item'" in said.split("differ")[1]
    assert "'price'" not in said


def test_the_stability_index_is_its_sum():
    rng = np.random.default_rng(1)
    before, after = rng.integers(0, 50, (2, 7))
    total = 0.0
    for b in range(7):
        p = (before[b] + 0.5) / (before.sum() + 3.5)
        q = (after[b] + 0.5) / (after.sum() + 3.5)
        total += (p - q) * np.log(p / q)
    assert stability_index(before, after) == pytest.approx(total)


def test_rows_are_drawn_alike_however_they_are_cut(given):
    some = [drawn(source_of(given, size), 500, N) for size in (173, N)]
    found = [pa.concat_tables([c.table for c in s.chunks()]) for s in some]
    assert found[0].equals(found[1].combine_chunks())
    assert 400 < len(found[0]) < 600
    assert some[0].identity != source_of(given).identity
    whole = source_of(given)
    assert drawn(whole, N, rows_in(whole)) is whole
