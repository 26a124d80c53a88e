"""Trials: each is the lone run of its seed and knobs, whatever its neighbours do."""

import shutil

import jax
import numpy as np
import pytest
from lib.training import StopAfter, assert_near, records, tiny

from ple_jax import config
from ple_jax.data.loader import Loader
from ple_jax.layers.dropout import Dropout
from ple_jax.parallel.mesh import make_mesh
from ple_jax.runs.directory import create_run, open_run
from ple_jax.runs.journal import fallbacks
from ple_jax.serve import files
from ple_jax.train import divergence, loop, vmapped
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.feed import feed_of
from ple_jax.train.setup import Setup, placed
from ple_jax.train.trainer import trainer_of

R, BATCH, STEPS = 3, 32, 5
SEEDS = [{"train.seed": s} for s in (3, 5, 2**33 + 7)]
SIZES = {"expert_dims": [7], "tower_dims": [5], "dims": [7], "auxiliary_dims": [3]}
STAR = {"kind": "star"}


@pytest.fixture(scope="module")
def data(prepared):
    return prepared("synthetic", examples=600)


def small(**sections):
    """SGD by default: Adam divides by gradients that rounding alone makes."""
    of_train = {"batch_size": BATCH, "optimizer": "sgd", "epochs": 2}
    model = sections.get("model", {})
    known = config.options("model", model.get("kind", "ple"))
    sizes = {k: v for k, v in SIZES.items() if k in known}
    tree = {"inputs": {"embedding_dim": 3}, **sections}
    tree |= {"model": sizes | model, "train": of_train | sections.get("train", {})}
    return config.from_dict(tree)


def alike(experiment, values):
    """The experiment with each of these values, checked."""
    return [config.with_values(experiment, v) for v in values]


def points(knobs):
    """A value of every knob for each trial."""
    return [{name: values[i] for name, values in knobs.items()} for i in range(R)]


def assert_close(a, b, rtol=1e-5, atol=1e-6):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), y in zip(
        jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True
    ):
        name = jax.tree_util.keystr(path)
        x, y = np.asarray(x), np.asarray(y)
        if "histogram" in name:  # a logit may fall on the border of two bins
            assert np.abs(x - y).sum() <= 4, name
        elif "carry" not in name:  # which is rounding and nothing else
            np.testing.assert_allclose(x, y, rtol=rtol, atol=atol, err_msg=name)


def check_equal(experiments, data, data_on="host", devices=1, **tolerance):
    """Some steps of all together against the first's and the last's own."""
    together = Setup(experiments, data, vmapped=True).loader
    shared = isinstance(together, Loader)
    trainer = vmapped.trainer_of(experiments, data.layout, 7, shared)
    mesh = make_mesh(devices)
    settings = config.with_values(
        experiments[0], {"train.data_on": data_on, "train.steps_per_dispatch": 4}
    ).train
    feed = feed_of(together, trainer, settings, mesh)
    state = placed(trainer, mesh, vmapped=True)
    chunks = feed.chunks(0, 0)
    taken = 0
    while taken < STEPS:
        batches, count = next(chunks)
        before = state
        state, _ = trainer.steps(state, batches, count)
        assert before.step.is_deleted()  # donated
        taken += count
    assert trainer.steps.func._cache_size() == 1
    for i in (0, len(experiments) - 1):
        lone = trainer_of(experiments[i], data.layout, 7)
        batches = Setup([experiments[i]], data).loader.batches(0, 0, taken)
        wanted, _ = lone.steps(lone.init(), batches, taken)
        got = jax.tree.map(lambda leaf, i=i: leaf[i], state)
        assert_close(got, wanted, **tolerance)


def test_a_trial_is_the_lone_run_of_its_knobs(everything):
    settings = {"schedule": "cosine", "average_decay": 0.9, "clip_norm": 9.0}
    knobs = {
        "train.learning_rate": (0.05, 0.1, 0.3),
        "train.final_rate": (0.1, 0.5, 0.9),
        "train.weight_decay": (0.1, 0.2, 0.5),
        "train.clip_norm": (0.01, 0.1, 9.0),
        "train.average_decay": (0.5, 0.9, 0.99),
        "inputs.embedding_scale": (0.1, 0.3, 0.7),
        "inputs.embedding_dropout_rate": (0.1, 0.3, 0.7),
    }
    check_equal(alike(small(train=settings), points(knobs)), everything)


def test_a_trial_is_the_lone_run_of_its_temperature(everything):
    experiment = small(train={"sampling": "balanced"})
    knob = {"train.temperature": (1.0, 2.0, 9.0)}
    check_equal(alike(experiment, points(knob)), everything)


@pytest.mark.parametrize(
    ("data_on", "update"),
    [("host", "rows"), ("device", "rows"), ("device", "dense")],
)
def test_a_trial_is_the_lone_run_of_its_seed(data_on, update, everything):
    experiment = small(inputs={"embedding_dim": 3, "update": update})
    check_equal(alike(experiment, SEEDS), everything, data_on)


@pytest.mark.parametrize(
    ("optimizer", "update"),
    [("adam", "dense"), ("adam", "rows"), ("adagrad", "rows")],
)
def test_moments_are_those_of_the_lone_run(optimizer, update, everything):
    experiment = small(
        train={"optimizer": optimizer, "weight_decay": 0.1},
        inputs={"embedding_dim": 3, "update": update},
    )
    values = [{"train.seed": i, "train.weight_decay": 0.1 * (i + 1)} for i in range(R)]
    # Adam's step is one of the rate's size, also where rounding makes the gradient.
    check_equal(alike(experiment, values), everything, rtol=1e-4, atol=1e-4)


RATES = {"dropout_rate": (0.1, 0.3, 0.5)}


@pytest.mark.parametrize(
    ("model", "training", "knobs"),
    [
        ({"batch_norm": True}, {"average_decay": 0.9}, RATES),
        ({"kind": "mmoe", "dropout_rate": 0.2}, {}, {}),
        (
            {"kind": "sluice", "width": 6},
            {},
            RATES | {"orthogonality": (0.1, 0.3, 0.9)},
        ),
        ({"kind": "asymmetric", "dropout_rate": 0.2}, {}, {}),
        ({"kind": "mulann"}, {}, {"discriminator_weight": (0.1, 0.3, 0.9)}),
        ({"groups": "tasks_domains"}, {}, RATES),
        (STAR, {}, RATES | {"momentum": (0.5, 0.9, 0.99)}),
        (STAR, {"sampling": "one_domain"}, {}),
    ],
    ids=[
        "ple",
        "mmoe",
        "sluice",
        "asymmetric",
        "mulann",
        "groups",
        "star",
        "one_domain",
    ],
)
def test_models_of_several_seeds_rates_and_weights(model, training, knobs, everything):
    each = points({f"model.{name}": values for name, values in knobs.items()})
    trials = [seed | some for seed, some in zip(SEEDS, each, strict=True)]
    check_equal(alike(small(model=model, train=training), trials), everything)


def test_weightings_of_several_weights(everything):
    schedule = {"weights": [1.0, 2.0, 0.5], "ratios": [0.9, 0.9, 0.9]}
    experiment = small(weighting={"kind": "schedule", "clock": "step", **schedule})
    each = [
        {"weighting.weights": w, "weighting.ratios": r, "train.seed": i}
        for i, (w, r) in enumerate(
            [((1.0, 2.0, 0.5), (0.9, 0.8, 0.7)), ((0.0, 1.0, 3.0), (1.0, 0.5, 2.0))]
        )
    ]
    check_equal(alike(experiment, each), everything)


def test_four_devices_train_trials_as_one_does(everything):
    check_equal(alike(small(), SEEDS), everything, "device", devices=4)


def test_trials_start_from_the_bits_of_lone_runs(data):
    experiments = alike(small(), SEEDS)
    state = vmapped.trainer_of(experiments, data.layout).init()
    for i, experiment in enumerate(experiments):
        wanted = trainer_of(experiment, data.layout).init()
        got = jax.tree.map(lambda leaf, i=i: leaf[i], state)
        assert_close(got, wanted, rtol=1e-6, atol=0)
        np.testing.assert_array_equal(got.seed, wanted.seed)


def test_dropout_is_that_of_flax(everything):
    import flax.linen as nn

    x = np.ones((31, 37), np.float32)
    for rate in (0.3, 0.0):
        of = lambda layer: layer.apply({}, x, rngs={"dropout": jax.random.key(7)})
        wanted = of(nn.Dropout(rate, deterministic=False))
        np.testing.assert_array_equal(of(Dropout(rate)), wanted)
    traced = jax.jit(lambda r: of(Dropout(r)))
    np.testing.assert_array_equal(traced(0.3), of(Dropout(0.3)))
    np.testing.assert_array_equal(of(Dropout(0.3, deterministic=True)), x)


# The loop.


def runs_of(data, folder, values, **sections):
    """Tiny runs that differ in these values."""
    experiment = tiny(**sections)
    return [
        create_run(folder / f"r{i}", config.with_values(experiment, v), data)
        for i, v in enumerate(values)
    ]


@pytest.mark.parametrize("data_on", ["host", "device"])
def test_each_ends_as_its_lone_run(data, tmp_path, data_on):
    sections = {
        "train": {"data_on": data_on, "optimizer": "sgd", "average_decay": 0.9},
        "model": {"dropout_rate": 0.1},
    }
    values = [
        {"train.seed": 1, "train.learning_rate": 0.5},
        {"train.seed": 2, "train.learning_rate": 0.1},
    ]
    together = runs_of(data, tmp_path / "together", values, **sections)
    results = loop.fit_group(together, tmp_path / "checkpoints")
    assert not (tmp_path / "checkpoints").exists()
    for one, lone, result in zip(
        together,
        runs_of(data, tmp_path / "lone", values, **sections),
        results,
        strict=True,
    ):
        assert_near(result, loop.fit(lone))
        assert_near(records(one), records(lone))
        assert one.result == result
        # Its directory alone is enough to score, and says what it is when resumed.
        scorer, variables = files.load_scorer(open_run(one.directory))
        found = scorer.measured(scorer.of_split(variables, "test"), "test")
        assert_near(found, result["test"])
        with pytest.raises(ValueError, match="trials are resumed together"):
            loop.fit(one, resume=True)


@pytest.mark.parametrize(
    ("dispatches", "data_on"), [(2, "host"), (3, "device"), (5, "host")]
)
def test_stopped_trials_resume_to_the_same_bits(
    data, tmp_path, monkeypatch, dispatches, data_on
):
    sections = {
        "train": {"average_decay": 0.9, "patience": 1, "data_on": data_on},
        "model": {"dropout_rate": 0.1},
    }
    whole, broken = (
        runs_of(data, tmp_path / name, SEEDS[:2], **sections) for name in ("a", "b")
    )
    last = {}
    finish = loop.finish

    def noted(group, held, followers):
        last[group.runs[0].directory.parent.name] = jax.device_get(held)
        return finish(group, held, followers)

    monkeypatch.setattr(loop, "finish", noted)
    wanted = loop.fit_group(whole, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "ahead", lambda items: items)
        StopAfter(patch, dispatches)
        with pytest.raises(loop.Stopped, match="SIGTERM"):
            loop.fit_group(broken, tmp_path / "broken")
    again = [open_run(one.directory) for one in broken]
    assert loop.fit_group(again, tmp_path / "broken", resume=True) == wanted
    for x, y in zip(*map(jax.tree.leaves, last.values()), strict=True):
        np.testing.assert_array_equal(x, y)
    assert [*map(records, whole)] == [*map(records, again)]


def test_trials_resume_from_an_older_checkpoint_if_the_newest_is_damaged(
    data, tmp_path, monkeypatch, capsys
):
    whole, broken = (runs_of(data, tmp_path / name, SEEDS[:2]) for name in ("a", "b"))
    wanted, folder = loop.fit_group(whole, tmp_path / "whole"), tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "ahead", lambda items: items)
        StopAfter(patch, 3)
        with pytest.raises(loop.Stopped):
            loop.fit_group(broken, folder)
    older, newest = sorted(int(path.name) for path in folder.iterdir())
    shutil.rmtree(folder / f"{newest}" / "training")
    with pytest.raises(ValueError, match=rf"step {older} is whole: resume without"):
        loop.fit_group(broken, folder, resume=True, strict=True)
    assert loop.fit_group(broken, folder, resume=True) == wanted
    assert f"{newest} cannot be read" in capsys.readouterr().err
    for one, other in zip(whole, broken, strict=True):
        notes = fallbacks(other.metrics)
        assert [note["step"] for note in notes] == [older]
        assert records(one) == [r for r in records(other) if "fallback" not in r]


def test_trials_keep_their_best_as_they_train(data, tmp_path, monkeypatch):
    settings = {"checkpoint_every": 2, "learning_rate": 0.003}
    runs = runs_of(data, tmp_path / "runs", SEEDS[:2], train=settings)
    monkeypatch.setattr(loop, "ahead", lambda items: items)
    with monkeypatch.context() as patch:
        StopAfter(patch, 2 * (len(data.split("train")) // 64 // 2) + 2)
        with pytest.raises(loop.Stopped):
            loop.fit_group(runs, tmp_path / "checkpoints")
    for one in runs:
        (*_, best) = (record for record in records(one) if record["improved"])
        with Checkpoints(one.checkpoints) as checkpoints:
            assert checkpoints.latest == checkpoints.best == best["step"]
        scorer, variables = files.load_scorer(open_run(one.directory))
        found = scorer.measured(scorer.of_split(variables, "validation"), "validation")
        assert_near(found, best["validation"])
    for one, result in zip(
        runs, loop.fit_group(runs, tmp_path / "checkpoints", resume=True), strict=True
    ):
        best = max(records(one), key=lambda r: r["score"])
        assert result["step"] == best["step"]
        assert result["validation"] == best["validation"]  # to the bit
        with Checkpoints(one.checkpoints) as checkpoints:
            assert checkpoints.latest == checkpoints.best == best["step"]


def test_trials_are_resumed_with_their_own_data(data, tmp_path, monkeypatch):
    runs = runs_of(data, tmp_path / "runs", SEEDS[:2])
    monkeypatch.setattr(loop, "ahead", lambda items: items)
    StopAfter(monkeypatch, 2)
    with pytest.raises(loop.Stopped):
        loop.fit_group(runs, tmp_path / "checkpoints")
    with pytest.raises(ValueError, match=r"trials: \['r0', 'r1'\] -> \['r1', 'r0'\]"):
        loop.fit_group(runs[::-1], tmp_path / "checkpoints", resume=True)


def test_patience_is_each_ones_own(data, tmp_path):
    # The first learns the training rows by heart; the second still learns at the end.
    values = [{"train.learning_rate": r} for r in (0.3, 3e-4)]
    settings = {"epochs": 5, "patience": 1, "metric": "log_loss"}
    runs = runs_of(data, tmp_path / "runs", values, train=settings)
    results = loop.fit_group(runs, tmp_path / "checkpoints")
    each = [records(one) for one in runs]
    assert len(each[0]) < len(each[1]) == 5
    for journal, result in zip(each, results, strict=True):
        best = max(journal, key=lambda r: r["score"])
        assert result["step"] == best["step"]
        assert result["epochs"] == len(journal)
        assert_near(result["validation"], best["validation"])
    assert not each[0][-1]["improved"]


def test_one_that_diverges_leaves_the_others_alone(data, tmp_path):
    values = [{"train.learning_rate": r} for r in (0.1, 1e30)]
    settings = {"optimizer": "sgd", "epochs": 2}
    runs = runs_of(data, tmp_path / "runs", values, train=settings)
    results = loop.fit_group(runs, tmp_path / "checkpoints")
    lone = create_run(tmp_path / "lone", runs[0].experiment, data)
    assert_near(results[0], loop.fit(lone))
    steps = len(data.split("train")) // 64
    assert results[1] == {"step": None, "epochs": 0, "diverged": steps}
    assert runs[1].result == results[1]
    assert not records(runs[1])
    with pytest.raises(ValueError, match="no checkpoint yet"):
        files.load_scorer(runs[1])


def test_when_all_diverge_the_state_is_not_saved(data, tmp_path, monkeypatch):
    settings = {"optimizer": "sgd", "epochs": 5}
    values = [{"train.learning_rate": rate} for rate in (1e30, 1e31)]
    runs = runs_of(data, tmp_path / "runs", values, train=settings)
    saved, save = [], Checkpoints.save
    noted = lambda self, *rest: saved.append(rest) or save(self, *rest)
    monkeypatch.setattr(Checkpoints, "save", noted)
    steps = len(data.split("train")) // 64
    wanted = {"step": None, "epochs": 0, "diverged": steps}
    assert loop.fit_group(runs, tmp_path / "checkpoints") == [wanted] * 2
    lone = create_run(tmp_path / "lone", runs[0].experiment, data)
    with pytest.raises(
        FloatingPointError, match=r"model.* is not finite\. Lower train"
    ):
        loop.fit(lone)
    assert lone.result is None
    assert not saved


def test_one_that_diverges_late_keeps_its_best(data, tmp_path, monkeypatch):
    runs = runs_of(data, tmp_path / "runs", SEEDS[:2])
    not_finite, calls = divergence.not_finite, []

    def second_epoch(trained, vmapped):
        calls.append(1)
        first, second = not_finite(trained, vmapped)
        return ["a kernel" if len(calls) == 2 else first, second]

    monkeypatch.setattr(divergence, "not_finite", second_epoch)
    results = loop.fit_group(runs, tmp_path / "checkpoints")
    of_epoch = len(data.split("train")) // 64
    assert results[0]["diverged"] == 2 * of_epoch
    assert results[0]["step"] == of_epoch
    assert len(records(runs[0])) == 1
    assert len(records(runs[1])) == 3
    assert_near(results[0]["validation"], records(runs[0])[0]["validation"])
    files.load_scorer(runs[0])


def test_a_lone_run_does_not_train_several_seeds(data, tmp_path):
    one = create_run(tmp_path / "run", tiny(train={"seeds": 2}), data)
    with pytest.raises(ValueError, match="study"):
        loop.fit(one)


def test_a_trial_that_is_ended_stops_counting(data, tmp_path):
    values = [{"train.seed": i} for i in range(3)]
    whole = runs_of(data, tmp_path / "whole", values)
    wanted = loop.fit_group(whole, tmp_path / "a")
    ended = runs_of(data, tmp_path / "ended", values)
    ends = lambda i, record: i == 1 and record["epoch"] == 0
    results = loop.fit_group(ended, tmp_path / "b", ends=ends)
    assert [result["epochs"] for result in results] == [3, 1, 3]
    assert records(ended[1]) == records(whole[1])[:1]
    assert results[::2] == wanted[::2]
