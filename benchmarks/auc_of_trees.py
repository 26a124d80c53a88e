"""What AUC do gradient-boosted trees reach on PLE's split of Census-Income?

    python benchmarks/auc_of_trees.py [--json]    (needs scikit-learn, in extra "dev")

Settings are chosen for each task by validation AUC; only the chosen ones are tested.
"""

import argparse
import json

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from ple_jax.data.derive import rows_of
from ple_jax.data.labels import read_labels
from ple_jax.data.rows import Rows
from ple_jax.datasets import census_income

SETTINGS = [
    {"max_iter": 300, "learning_rate": 0.1},
    {"max_iter": 600, "learning_rate": 0.05},
    {"max_iter": 600, "learning_rate": 0.05, "l2_regularization": 10.0},
]


def main() -> None:
    """Print one line a task, or one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    source = census_income.build()
    inputs, targets, split = read(source)
    names = [task.name for task in source.schema.tasks]
    found = {name: best(inputs, targets[:, i], split) for i, name in enumerate(names)}
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    for name, facts in found.items():
        print(f"{name:16} {facts}")


def read(source) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs (categories as ordinal numbers), labels, and the split of each row."""
    rows = [rows_of(chunk, source.schema) for chunk in source.chunks()]
    columns = []
    for field in source.schema.fields:
        if field.kind == "numeric":
            columns.append(np.concatenate([r.numbers(field.name) for r in rows]))
        else:
            values = np.concatenate([text(r, field.name) for r in rows])
            columns.append(np.unique(values, return_inverse=True)[1].astype(float))
    targets = np.concatenate([read_labels(r, source.schema)[0] for r in rows])
    split = np.concatenate([text(r, "split") for r in rows])
    return np.stack(columns, axis=1), targets, split


def text(rows: Rows, name: str) -> np.ndarray:
    """A column of strings."""
    codes, values = rows.text(name)
    return np.array([str(v) for v in values.to_pylist()])[codes]


def best(inputs: np.ndarray, target: np.ndarray, split: np.ndarray) -> dict:
    """The best settings by validation AUC, and their AUC on validation and test."""
    rows = {name: split == name for name in ("train", "validation", "test")}

    def area(trees, name):
        scores = trees.predict_proba(inputs[rows[name]])[:, 1]
        return round(roc_auc_score(target[rows[name]], scores), 5)

    fitted = []
    for settings in SETTINGS:
        trees = HistGradientBoostingClassifier(
            early_stopping=False, random_state=0, **settings
        ).fit(inputs[rows["train"]], target[rows["train"]])
        fitted.append((area(trees, "validation"), trees, settings))
    validation, trees, settings = max(fitted, key=lambda f: f[0])
    return {"validation": validation, "test": area(trees, "test"), "settings": settings}


if __name__ == "__main__":
    main()
