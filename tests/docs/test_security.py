"""Each promise of SECURITY.md names tests, and they exist."""

import ast
import re

import pytest
from lib.site import DOCS

ROOT = DOCS.parent
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
PROMISES = TEXT.partition("## What is promised")[2].partition("\n## ")[0]
NAMED = sorted(set(re.findall(r"`(tests/[\w/.]+::\w+)`", PROMISES)))


@pytest.mark.parametrize("named", NAMED)
def test_a_test_that_holds_a_promise_exists(named):
    file, _, name = named.partition("::")
    assert (ROOT / file).is_file()
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}


def test_every_promise_names_a_test():
    parts = re.split(r"\n\n|\n(?=- )", PROMISES.partition("\n\n")[2])
    promises = [
        p for p in parts if not re.search(r"come from a stranger|Each promise", p)
    ]
    assert len(promises) >= 10
    assert not [p for p in promises if p.strip() and "`tests/" not in p]
