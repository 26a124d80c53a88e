"""What `auto` means in an experiment, and that a run records numbers."""

import pytest
from lib.training import new_run, tiny

from ple_jax import config
from ple_jax.config.experiment import AUTO, Train
from ple_jax.runs import defaults
from ple_jax.runs.directory import create_run, open_run, recorded_tree, same_run
from ple_jax.train import loop

RULED = [(s, knob) for s, knobs in config.RULED.items() for knob in knobs]


@pytest.mark.parametrize(
    ("rows", "size"),
    [
        (1, 1),
        (7, 4),
        (31, 16),
        (1000, 32),
        (6399, 32),
        (6400, 64),
        (102_399, 512),
        (102_400, 1024),
        (4_000_000, 1024),
        (5_000_000, 2048),
        (10**10, 8192),
    ],
)
def test_a_batch_gives_enough_steps_and_not_too_many(rows, size):
    assert defaults.batch_size(rows) == size


@pytest.mark.parametrize(
    ("steps", "epochs", "patience"),
    [(1, 100, 10), (31, 97, 10), (50, 60, 6), (100, 30, 3), (10_000, 30, 3)],
)
def test_short_epochs_are_more(steps, epochs, patience):
    assert (defaults.epochs(steps), defaults.patience(steps)) == (epochs, patience)


def test_the_rate_grows_with_the_root_of_the_batch():
    assert defaults.learning_rate("adam", 64) == 1e-3
    assert defaults.learning_rate("adam", 1024) == 4e-3
    assert defaults.learning_rate("sgd", 1024) == 1e-2


def test_tables_that_are_updated_by_rows_have_no_average(data):
    of = lambda **inputs: defaults.resolved(
        config.from_dict({"inputs": inputs}), data.layout, 1200
    )
    assert of().train.average_decay == 0.999
    assert of(update="rows").train.average_decay == 0


def auto(**train):
    """A tiny experiment that says `auto` wherever a rule can decide."""
    tree = config.to_dict(tiny())
    for section, knob in RULED:
        tree[section][knob] = AUTO
    tree["train"] |= {"metric": AUTO, **train}
    return config.from_dict(tree)


def test_what_is_left_out_is_auto_and_plain_values_are_what_they_say():
    experiment = config.from_dict({"train": {"epochs": 7}})
    assert experiment.train.epochs == 7
    assert experiment.train.batch_size == experiment.train.patience == AUTO
    assert Train().batch_size == 1024


def test_a_run_records_numbers_and_opens_as_it_was(data, tmp_path):
    asked = auto(batch_size=64)
    made = create_run(tmp_path / "run", asked, data)
    tree = recorded_tree(made.directory)
    assert AUTO not in [tree[section][knob] for section, knob in RULED]
    steps = data.facts["splits"]["train"]["rows"] // 64
    wanted = {
        "batch_size": 64,
        "epochs": defaults.epochs(steps),
        "patience": defaults.patience(steps),
        "learning_rate": 1e-3,
        "average_decay": 0.999,
        "members": 4,
        "metric": "certain:auto",
    }
    assert tree["train"] | wanted == tree["train"]
    assert open_run(made.directory).experiment == made.experiment
    same_run(made, asked)  # `auto` is what was recorded
    with pytest.raises(ValueError, match="batch_size: 64 -> 32"):
        same_run(made, auto(batch_size=32))


def test_a_recording_without_these_knobs_means_what_they_were(data, tmp_path):
    made = create_run(tmp_path / "run", tiny(), data)
    (made.directory / "manifest.json").unlink()
    path = made.directory / "experiment.toml"
    path.chmod(0o644)
    known = {f"{knob} =" for _, knob in RULED}
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(x for x in lines if not x.startswith(tuple(known))))
    train = open_run(made.directory).experiment.train
    assert train == Train(
        steps_per_dispatch=train.steps_per_dispatch,
        eval_batch_size=train.eval_batch_size,
        devices=1,
        metric=train.metric,
    )


def test_training_stops_early_by_default(data, tmp_path):
    run = new_run(data, tmp_path / "run", train={"patience": AUTO, "epochs": 60})
    assert run.experiment.train.patience == 10
    result = loop.fit(run)
    best = result["course"]["best_epoch"]
    assert result["epochs"] == min(best + 10, 60) < 60
