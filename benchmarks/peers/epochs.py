"""Torch-RecHub's epochs, as a child process of `epochs_vs_peers.py`.

    DIR/bin/python -m peers.epochs    (in benchmarks/)

It follows the library's own examples: a dict of columns, its DataGenerator, its PLE and
its MTLTrainer, on the arrays that our side has prepared.
"""

import json
import pathlib
import time
from typing import Any

import numpy as np
import torch
from lib.protocol import serve
from torch_rechub.basic.features import DenseFeature, SparseFeature
from torch_rechub.models.multi_task import PLE
from torch_rechub.trainers import MTLTrainer
from torch_rechub.utils.data import DataGenerator

FACTS, DATA = "facts.json", "data"


class Epochs:
    """Trains one more epoch for each request."""

    def __init__(self):
        self.parts: tuple | None = None

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time one more epoch."""
        if self.parts is None:
            torch.set_num_threads(request["threads"])
            torch.manual_seed(0)
            self.parts = build(request)
        return epoch(*self.parts)


def build(request: dict[str, Any]) -> tuple:
    """The trainer, and the loaders of train and validation."""
    folder = pathlib.Path(request["folder"])
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    train = columns(folder / DATA / "train", facts)
    rows, most = len(train[1]), request["examples"] or len(train[1])
    validation = columns(folder / DATA / "validation", facts)
    of_validation = max(1, len(validation[1]) * most // rows)
    x, y = cut(*train, most)
    x_val, y_val = cut(*validation, of_validation)
    train_loader, validation_loader, _ = DataGenerator(x, y).generate_dataloader(
        x_val=x_val,
        y_val=y_val,
        x_test=x_val,
        y_test=y_val,
        batch_size=request["batch_size"],
    )
    return trainer_of(facts), train_loader, validation_loader


def columns(folder: pathlib.Path, facts: dict[str, Any]) -> tuple:
    """Columns of a split by name, and its labels (rows, T)."""
    read = lambda name: np.load(folder / f"{name}.npy")
    ids, numbers = read("ids"), read("numbers")
    x = {f"id_{i}": ids[:, i].copy() for i in range(len(facts["rows"]))}
    x |= {f"number_{i}": numbers[:, i].copy() for i in range(facts["numbers"])}
    return x, read("labels")


def cut(x: dict[str, np.ndarray], y: np.ndarray, most: int) -> tuple:
    """The first `most` rows."""
    return {name: column[:most] for name, column in x.items()}, y[:most]


def trainer_of(facts: dict[str, Any]) -> MTLTrainer:
    """Its PLE with our widths; Adam at our rate, without weight decay."""
    width = facts["width"]
    features = [
        *(SparseFeature(f"id_{i}", n, width) for i, n in enumerate(facts["rows"])),
        *(DenseFeature(f"number_{i}") for i in range(facts["numbers"])),
    ]
    options, kinds = facts["model"], ["classification"] * facts["tasks"]
    model = PLE(
        features,
        kinds,
        options["num_levels"],
        options["experts_per_task"],
        options["shared_experts"],
        {"dims": list(options["expert_dims"])},
        [{"dims": list(options["tower_dims"])} for _ in kinds],
    )
    adam = {"lr": 1e-3, "weight_decay": 0}
    return MTLTrainer(model, kinds, optimizer_params=adam, n_epoch=1)


def epoch(trainer: MTLTrainer, train, validation) -> dict[str, Any]:
    """One epoch and its validation, the two halves of `MTLTrainer.fit`."""
    start = time.perf_counter()
    trainer.train_one_epoch(train)
    trained = time.perf_counter()
    scores = trainer.evaluate(trainer.model, validation)
    end = time.perf_counter()
    return {
        "train": trained - start,
        "evaluate": end - trained,
        "examples": len(train.dataset),
        "auc": float(scores[0]),
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
    }


if __name__ == "__main__":
    serve(Epochs())
