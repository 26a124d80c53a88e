"""Schema files: what they say, and what mistakes in them say."""

import json

import pytest
from lib.tables import SCHEMA, SCHEMA_TEXT

from ple_jax.data.schema_file import (
    read_schema,
    schema_from_dict,
    schema_from_tree,
    schema_to_dict,
)

RARE_SHOP = {"table": "shop", "encodings": ["rare"], "min_count": 2}


def of_shop(**options):
    return {"fields": {"shop": options}}


def test_a_schema_file_says_all_that_a_schema_does(tmp_path):
    path = tmp_path / "schema.toml"
    path.write_text(SCHEMA_TEXT)
    assert read_schema(path) == SCHEMA
    assert schema_from_dict(json.loads(json.dumps(schema_to_dict(SCHEMA)))) == SCHEMA


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"catgorical": []}, "Did you mean 'categorical'"),
        ({"fields": {"x": {}}}, "fields.x needs a kind, one of .*'sequence'"),
        ({"fields": {"x": {"kind": "numerc"}}}, "Did you mean 'numeric'"),
        ({"numeric": ["shop"]}, "listed twice"),
        ({"tasks": [{"name": "shop"}]}, "is the label of task 'shop'"),
        ({"domain": "click"}, "label of task 'click', so it cannot be the domain"),
        ({"user": "click"}, "label of task 'click', so it cannot be the user"),
        ({"weight": "click"}, "label of task 'click', so it cannot be the weight"),
        (
            {
                "tasks": [{"name": "a", "column": "b"}, {"name": "c", "given": "a"}],
                "domain": "b",
            },
            "'b' is the label of task 'a', so it cannot be the domain column too",
        ),
        ({"tasks": [{"name": "a", "given": "b"}]}, "given 'b', which must be one of"),
        ({"tasks": []}, "at least one field and one task"),
        (
            of_shop(encodings=["target_men"]),
            r"encodings\[0\].*Did you mean 'target_mean'",
        ),
        (of_shop(encodings=["log"]), "'log' is not a known encoding of a categorical"),
        (of_shop(encodings=[]), "Field 'shop' cannot have no encodings"),
        (of_shop(encodings=["auto", "count"]), "cannot have `auto` beside others"),
        (of_shop(encodings=["id", "rare"], min_count=2), "both `id` and `rare`"),
        (of_shop(encodings="rare"), "`rare` without a `min_count` of at least 2"),
        (
            {"numeric": ["price"], "fields": {"price": {"encodings": ["count"]}}},
            "'count' is not a known encoding of a numeric field",
        ),
        (
            of_shop()
            | {"categorical": ["shop", "item"], "fields": {"item": RARE_SHOP}},
            "shares the table of 'shop': set `rare` and `min_count` there",
        ),
        ({"leaking": ["shop"]}, "declared as leaking the label, so it cannot be a f"),
        *(
            ({"leaking": ["paid"], role: "paid"}, f"so it cannot be the {role} column")
            for role in ("domain", "user", "weight")
        ),
        ({"ignored": ["shop"]}, "both a field and ignored"),
        ({"split": {"by": "time"}}, "takes a column"),
        ({"split": {"fractions": [0.5, 0.1, 0.1]}}, "sum to 1"),
        (
            {"fields": {"x": {"kind": "sequence", "table": "y"}}},
            "'y' is not a known field",
        ),
        *(
            ({"fields": {"shop": {key: value}}}, f"{key} of field 'shop' must be from")
            for key in ("bins", "max_length", "min_count", "dim")
            for value in (0, -1, 2_000_000_000)
        ),
        ({"fields": {"shop": {"separator": ""}}}, "separator of field 'shop' must not"),
        ({"unknown_warning": 1.5}, r"unknown_warning must be in \[0, 1\], got 1.5"),
        ({"unknown_warning": "all"}, "unknown_warning: expected float"),
        ({"format": {"delimiter": ", "}}, "format.delimiter must be one ASCII .*', '"),
        ({"format": {"delimiter": "\n"}}, "format.delimiter must be one ASCII"),
        ({"format": {"delimiter": "é"}}, "format.delimiter must be one ASCII"),
        ({"format": {"header": False}}, "needs format.columns, got none"),
    ],
)
def test_mistakes_in_a_schema_are_explained(change, message):
    tree = {"categorical": ["shop"], "tasks": [{"name": "click"}]}
    with pytest.raises(ValueError, match=message):
        schema_from_tree(tree | change)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("categorical = [", "is not valid TOML"),
        ("x = " + "9" * 5000, "is not valid TOML"),
        ("x = " + "[" * 100_000, "nested too deep|is not valid TOML"),
        (b"\xff", "is not valid TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_named(tmp_path, text, message):
    path = tmp_path / "schema.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=rf"schema\.toml.*({message})"):
        read_schema(path)
