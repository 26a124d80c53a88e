"""The messages of the page on troubleshooting are those that come."""

import pathlib
import re

import numpy as np
import pytest
from lib.site import DOCS

from ple_jax.cli.main import main

PAGE = (DOCS / "guides/troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^`(.+)`$", PAGE, re.MULTILINE)
SCHEMA = """\
categorical = ["item"]
numeric = ["price"]
[[tasks]]
name = "click"
[[tasks]]
name = "purchase"
given = "click"
[split]
by = "random"
"""
EXPERIMENT = """\
[data]
kind = "table"
schema = "schema.toml"
files = ["shop.csv"]
[model]
expert_dims = [3]
tower_dims = []
[train]
batch_size = 32
epochs = 2
"""
DIVERGES = ["--train.learning-rate", "1e30"]
# What is written otherwise in the schema, and what is asked: each is one mistake.
MISTAKES = [
    (("price", "prise"), []),
    (('["price"]', '["price", "click"]'), []),
    (("", ""), ["--model.kind", "pel"]),
    (("", ""), ["--model.kind", "mine.pel"]),
    (("", ""), ["--model.num-level", "3"]),
    (('given = "click"', 'given = "clik"'), []),
    (('"random"', '"time"'), []),
    (("", ""), ["shop.tom"]),
    (("", ""), DIVERGES),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    lines = ["item,price,click,purchase"]
    for price, click, bought in zip(
        rng.lognormal(size=509),
        rng.integers(0, 2, 509),
        rng.integers(0, 2, 509),
        strict=True,
    ):
        lines.append(f"i{int(price * 3)},{price:.3f},{click},{click * bought}")
    pathlib.Path("shop.csv").write_text("\n".join(lines) + "\n")
    pathlib.Path("shop.toml").write_text(EXPERIMENT)


def test_every_message_has_a_mistake_here():
    assert len(MESSAGES) == len(MISTAKES)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("message", "mistake"),
    [*zip(MESSAGES, MISTAKES, strict=True)],
    ids=[new or " ".join(asked) for (_, new), asked in MISTAKES],
)
def test_the_message_comes(message, mistake, capsys):
    (old, new), asked = mistake
    pathlib.Path("schema.toml").write_text(SCHEMA.replace(old, new) if old else SCHEMA)
    arguments = asked if asked[:1] == ["shop.tom"] else ["shop.toml", *asked]
    assert main(["train", *arguments]) == 2
    assert message in capsys.readouterr().err
