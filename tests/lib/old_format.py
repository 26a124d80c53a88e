"""Writes run directories in the format of version 0.1, by hand.

TOML, JSON, NumPy, Parquet and Orbax, and nothing of the package, so that what it wrote
then stays written here whatever it writes now. `WRITE` has a run whose tables train
densely (with a moving average), one whose tables train by rows, and a sweep.
"""

import json
import zlib

import numpy as np
import orbax.checkpoint as ocp
import pyarrow as pa
import pyarrow.parquet as pq

VALUES, WIDTH, HIDDEN, TOWER, TASKS = 6, 2, 5, 3, ("click", "like")
T, V, D = len(TASKS), VALUES + 1, WIDTH + 1
ROWS = {"train": 23, "validation": 13, "test": 11}
BATCH = 7  # so three steps an epoch
BEST, NEWEST, END = 3, 4, 9  # steps: after the first epoch, within the second, the last
FINGERPRINT = "0123456789abcdef0123456789abcdef"

MODEL = {
    "bottom/Dense_0/bias": (HIDDEN,),
    "bottom/Dense_0/kernel": (D, HIDDEN),
    "towers/heads/bias": (T, 1),
    "towers/heads/kernel": (T, TOWER, 1),
    "towers/mlp/Dense_0/bias": (T, TOWER),
    "towers/mlp/Dense_0/kernel": (T, HIDDEN, TOWER),
}
TABLES = {"dim_2": (V, WIDTH)}
SWEPT = [f"optimizer={o},seed={s}" for o in ("sgd", "adam") for s in (0, 1)]
FINISHED, STOPPED = SWEPT[:2], SWEPT[2:]

EXPERIMENT = """\
[data]
kind = "synthetic"
examples = 47
correlation = 0.5
base_rate = 0.2
categorical = 1
numeric = 1
values = 6
domains = 1
labels = "binary"
waves = 5
scale = 1.0
seed = 0

[model]
kind = "shared_bottom"
groups = "tasks"
expert_dims = [5]
tower_dims = [3]
dropout_rate = 0.1
batch_norm = false

[weighting]
kind = "fixed"
weights = []

[inputs]
embedding_dim = 2
embedding_scale = 0.05
embedding_dropout_rate = 0.0
update = "{update}"
row_optimizer = "same"
frozen = []
per_domain = false

[train]
epochs = 3
batch_size = 7
optimizer = "{optimizer}"
learning_rate = 0.01
schedule = "constant"
warmup_steps = 0
final_rate = 0.0
weight_decay = 0.0
clip_norm = 0.0
average_decay = {average}
sampling = "natural"
temperature = 2.0
only = []
metric = "log_loss"
patience = 0
checkpoint_every = 1
steps_per_dispatch = 2
eval_batch_size = 5
data_on = "auto"
compute_dtype = "float32"
devices = 1
seed = {seed}
replicas = {replicas}
"""


def experiment(update="dense", optimizer="adam", average=0.9, seed=0, replicas=1):
    return EXPERIMENT.format(**locals())


# What a prepared data set holds.


def write_json(path, tree):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree))


def arrays(split):
    """Name -> array (rows, ...) of a split."""
    rows = np.arange(ROWS[split]) + sum(map(ord, split))
    labels = np.stack([rows % 3 == 0, rows % 5 < 2], axis=1)
    return {
        "ids": (rows[:, None] * 5 % V).astype(np.int32),
        "numbers": np.sin(rows[:, None]).astype(np.float32),
        "domain": np.zeros(len(rows), np.int32),
        "labels": labels.astype(np.float32),
        "observed": np.ones((len(rows), T), bool),
        "weights": np.ones(len(rows), np.float32),
    }


def field(name, kind):
    rest = {"bins": 256, "separator": "|", "max_length": 20, "min_count": 1}
    rest |= {"encodings": ["auto"], "table": None, "dim": None}
    return {"name": name, "kind": kind, **rest}


def task(name):
    rest = {"column": None, "positive": None, "given": None, "loss": "binary"}
    return {"name": name, **rest}


def schema():
    names = {name: [name] for name in ROWS}
    split = {"by": "random", "column": None, "fractions": [0.8, 0.1, 0.1], "seed": 0}
    text = {"delimiter": ",", "header": True, "columns": [], "strip": True}
    rest = dict.fromkeys(("domain", "unseen_domain", "user", "weight"))
    return {
        "fields": [field("category_0", "categorical"), field("number_0", "numeric")],
        "tasks": [task(name) for name in TASKS],
        "split": split | names,
        "format": text | {"missing": []},
        **rest,
        "ignored": [],
        "leaking": [],
    }


def write_data(folder):
    number = {"name": "number_0", "encodings": ["standard"], "edges": [], "knots": []}
    encoder = {
        "schema": schema(),
        "domains": ["all"],
        "vocabularies": ["category_0"],
        "numerics": [number | {"moments": {"standard": [0.0, 1.0]}}],
    }
    write_json(folder / "encoder.json", encoder)
    (folder / "vocabularies").mkdir()
    known = {
        "value": pa.array([f"v{i}" for i in range(VALUES)]),
        "count": pa.array(range(VALUES, 0, -1), pa.int64()),
        "id": pa.array(range(1, V), pa.int32()),
    }
    path = folder / "vocabularies/0.parquet"
    pq.write_table(pa.table(known), path, write_page_checksum=True)
    facts = {}
    for split in ROWS:
        (folder / split).mkdir()
        for name, array in arrays(split).items():
            np.save(folder / split / f"{name}.npy", array)
        rates = arrays(split)["labels"].mean(axis=0).tolist()
        facts[split] = {
            "rows": ROWS[split],
            "base_rates": dict(zip(TASKS, rates, strict=True)),
            "domains": {"all": ROWS[split]},
        }
    whole = {"version": 1, "identity": {"kind": "synthetic"}, "splits": facts}
    whole |= {"arrays": list(arrays("train")), "fingerprint": FINGERPRINT}
    write_json(folder / "dataset.json", whole)


# What a checkpoint holds. Arrays of several trials have an axis of them in front.


def filled(shapes, name, lead=()):
    """Path -> array of some values that its name decides."""

    def fill(path, shape):
        shape = (*lead, *shape)
        start = zlib.crc32(f"{name}/{path}".encode()) % 1000
        values = 0.3 * np.sin(start + np.arange(np.prod(shape, dtype=int)))
        return values.astype(np.float32).reshape(shape)

    return {path: fill(path, shape) for path, shape in shapes.items()}


def nested(leaves):
    """Dicts of dicts, of paths with slashes."""
    tree = {}
    for path, leaf in leaves.items():
        *folders, last = path.split("/")
        at = tree
        for folder in folders:
            at = at.setdefault(folder, {})
        at[last] = leaf
    return tree


def variables(name, lead=()):
    """Model and tables; those named `newest` are where the next step starts."""
    of = lambda shapes, part: nested(filled(shapes, f"{name}/{part}", lead))
    tables = of(TABLES, "tables")
    return {"model": of(MODEL, "model"), "tables": tables, "batch_stats": {}}


def moments(name, lead, dense_tables):
    found = variables(name, lead)
    tables = found["tables"] if dense_tables else {}
    return {"model": found["model"], "tables": tables, "weighting": ()}


def squares(tree):
    """Of moments: as positive as second ones are, and far from zero."""
    if isinstance(tree, dict):
        return {name: squares(part) for name, part in tree.items()}
    return 1e-3 + tree**2 if isinstance(tree, np.ndarray) else tree


def training(update, lead=()):
    """All of a state but its variables."""
    by_rows, steps = update == "rows", np.full(lead, NEWEST, np.int32)
    pair = moments("mean", lead, not by_rows), moments("square", lead, not by_rows)
    adam = {"count": steps, "mu": pair[0], "nu": squares(pair[1])}
    # Of the step before: examples, and sums of losses, probabilities and labels.
    sums = np.broadcast_to(np.float32([BATCH, 5, 2, 3]), (*lead, 1, T, 4)).copy()
    keys = np.arange(2 * max(1, *lead, 1), dtype=np.uint32)
    state = {
        "step": steps,
        "opt_state": (adam, {"count": steps}),
        "memory": np.ones((*lead, T), np.float32),
        "stream": {
            "histogram": np.zeros((*lead, 1, T, 2, 8192), np.int32),
            "sums": sums,
            "carry": np.zeros_like(sums),
        },
        "seed": keys.reshape(*lead, 2),
    }
    if by_rows:
        mean, square = (filled(TABLES, n, lead)["dim_2"] for n in ("mean", "square"))
        return state | {"row_state": {"dim_2": (mean, 1e-3 + square**2)}}
    raw = variables("raw", lead)  # beside their moving averages
    return state | {"model": raw["model"], "tables": raw["tables"]}


def place(epoch, step_in_epoch, best):
    rest = {"epochs_since_best": 0}
    return {"epoch": epoch, "step_in_epoch": step_in_epoch, "best": best, **rest}


def identity(seed=0):
    order = {"sampling": "natural", "temperature": 2.0}
    return {"data set": FINGERPRINT, "batch size": BATCH, "seed": seed, **order}


def save(folder, step, record, score=None, **trees):
    items = {name: ocp.args.StandardSave(tree) for name, tree in trees.items()}
    items = ocp.args.Composite(**items, progress=ocp.args.JsonSave(record))
    with ocp.CheckpointManager(
        folder, options=ocp.CheckpointManagerOptions(best_fn=lambda m: m["score"])
    ) as manager:
        metrics = None if score is None else {"score": score}
        assert manager.save(step, args=items, metrics=metrics)


# What was measured.


def measured(exact=True, known=9.0):
    """The tables of a split, all of whose losses are `known`."""
    names = (["auc_pr"] if exact else []) + ["auc_roc", "log_loss"]
    names += ["normalised_entropy", "calibration"]
    one = dict.fromkeys(names, known) | {"examples": 13, "positives": 4}
    tasks = {name: one for name in TASKS}
    whole = {"tasks": tasks, "domains": {"all": tasks}}
    return ({"examples": 13} if exact else {}) | whole


def write_journal(folder, epochs):
    """A record an epoch; whatever comes next is better."""
    lines = []
    for epoch in range(epochs):
        record = {"step": BEST * (epoch + 1), "epoch": epoch, "loss": 18.0}
        record |= {"examples_per_second": 11, "metric": 9.0, "score": -9.0}
        record |= {"train": measured(exact=False), "validation": measured()}
        lines.append(json.dumps(record | {"improved": epoch == epochs - 1}))
    (folder / "metrics.jsonl").write_text("\n".join([*lines, ""]))


def write_lone(folder, update):
    """A run that was stopped after the first step of its second epoch."""
    average = 0.9 if update == "dense" else 0.0
    write_data(folder / "data")
    (folder / "experiment.toml").write_text(experiment(update, average=average))
    write_journal(folder, epochs=1)
    for step, at, score in (
        (BEST, place(1, 0, -9.0), -9.0),
        (NEWEST, place(1, 1, -9.0), None),
    ):
        record = identity() | {"progress": at}
        name = "best" if step == BEST else "newest"
        rest = {"training": training(update)}
        path = folder / "checkpoints"
        save(path, step, record, score, variables=variables(name), **rest)


def write_sweep(folder):
    """Two seeds by SGD that are finished, and two by Adam that were stopped."""
    write_data(folder / "data")
    lists = '\n[sweep]\ntrain.optimizer = ["sgd", "adam"]\n'
    (folder / "experiment.toml").write_text(experiment(replicas=2) + lists)
    for i, name in enumerate(SWEPT):
        one, optimizer, seed = folder / "replicas" / name, SWEPT[i][10:-7], i % 2
        write_data(one / "data")
        text = experiment(optimizer=optimizer, seed=seed)
        (one / "experiment.toml").write_text(text)
        write_journal(one, epochs=3 if name in FINISHED else 1)
        if name in FINISHED:
            record = identity(seed) | {"progress": place(3, 0, -9.0)}
            trees = {"variables": variables(name)}
            save(one / "checkpoints", END, record, -9.0, **trees)
            result = {"step": END, "epochs": 3, "validation": measured()}
            write_json(one / "result.json", result | {"test": measured()})
    standing = {"progress": place(1, 0, -9.0), "best_step": BEST, "diverged": None}
    record = identity() | {"replicas": STOPPED, "progress": place(1, 1, None)}
    record |= {"standings": [standing] * 2}
    trees = {"training": training("dense", (2,)), "best": variables("best", (2,))}
    path = folder / "checkpoints" / STOPPED[0]
    save(path, NEWEST, record, variables=variables("newest", (2,)), **trees)


WRITE = {
    "dense": lambda folder: write_lone(folder, "dense"),
    "rows": lambda folder: write_lone(folder, "rows"),
    "sweep": write_sweep,
}
