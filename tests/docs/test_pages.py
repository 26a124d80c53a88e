"""What the pages say is done here, to the letter: commands, files and Python."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(
    r"^```(?:\{code-block\} )?(\w+)\n(?::caption: (\S+)\n\n)?(.*?)^```$", re.M | re.S
)
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def blocks(page):
    """(language, file name or "", text) of each block of code."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


def run(command, folder):
    """Runs a command line of the package, or of Python, by this interpreter."""
    program, *arguments = shlex.split(command)
    module = ["-m", "ple_jax"] if program == "ple-jax" else []
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    settings = {"PYTHONPATH": path, "PLE_JAX_CACHE": str(folder / "cache")}
    settings["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # compiles fast
    done = subprocess.run(
        [sys.executable, *module, *arguments],
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_get_started_does_what_it_says(tmp_path):
    for language, name, text in blocks(DOCS / "get-started.md"):
        if name:
            (tmp_path / name).write_text(text, encoding="utf-8")
        elif language == "console":
            for line in text.splitlines():
                if not line.startswith("$ pip"):
                    run(line.removeprefix("$ "), tmp_path)
    assert (tmp_path / "runs/shop/result.json").is_file()
    assert (tmp_path / "runs/mmoe/result.json").is_file()
    assert (tmp_path / "scores.parquet").stat().st_size


def test_the_loop_of_the_guide_runs_and_learns():
    space = {}
    parts = [text for kind, _, text in blocks(DOCS / "guides/custom-loop.md")]
    for text in parts:
        exec(text, space)
    first = float(space["loss"])
    for _ in range(20):
        exec(
            "params, stats, moments, loss = step("
            "params, stats, moments, jax.random.key(3))",
            space,
        )
    assert float(space["loss"]) < first
    assert space["logits"].shape == (256, 2)


BUILT = 'models.build("star", num_tasks=2, num_domains=3, dims=(16,))'
IN_THE_LOOP = {  # model -> its options, and what the loop must hand back
    "star": ("dims=(16,)", "batch_stats"),
    "mulann": ("discriminator_weight=0.5", "penalties"),
    "sluice": ("orthogonality=0.5", "penalties"),
    "shared_bottom": ("dropout_rate=0.5", None),
}


@pytest.mark.parametrize("kind", IN_THE_LOOP)
def test_the_loop_of_the_guide_trains_any_model(kind):
    """Statistics move and have no gradient, penalties count, and dropout drops."""
    import jax

    options, gives = IN_THE_LOOP[kind]
    first, loop = [t for _, _, t in blocks(DOCS / "guides/custom-loop.md")][:2]
    assert first.count(BUILT) == 1
    own = f"models.build({kind!r}, num_tasks=2, num_domains=3, {options})"
    space = {}
    exec(first.replace(BUILT, own), space)
    assert set(space["variables"]) - {"batch_stats"} == {"params"}
    params, before = space["params"], space["stats"]
    exec(loop, space)
    loss_of = jax.jit(space["loss_of"])
    (loss, after), (other, _) = (
        loss_of(params, before, jax.random.key(seed)) for seed in (2, 3)
    )
    assert (loss != other) == ("dropout" in options)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), before, after)
    assert any(jax.tree.leaves(moved)) == (gives == "batch_stats")
    free = own.replace("=0.5", "=0.0")
    exec(f"model = {free}", space)
    without, _ = space["loss_of"](params, before, jax.random.key(2))
    if gives == "penalties":
        assert loss > without + 1e-3


def test_the_guide_from_python_does_what_it_says(tmp_path, monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    space = {}
    for kind, _, text in blocks(DOCS / "guides/python.md"):
        assert kind == "python"
        exec(text, space)
    assert list(space["scores"].columns) == ["click", "buy"]
    assert space["scores"].index.isin(space["frame"].index).all()
    assert 0.5 < space["test"] < 1
    assert len(space["losses"]) == 3
    assert space["again"].result == space["run"].result
    assert {p.name for p in (tmp_path / "runs").iterdir()} == {"ple", "ple-2", "wide"}
    assert space["clicked"].shape == (5000, 2)


@pytest.mark.parametrize("kind", ["ple", "star", "mmoe"])
def test_the_readmes_python_trains_what_it_names(kind):
    (text,) = [t for lang, _, t in blocks(ROOT / "README.md") if lang == "python"]
    assert '"ple"' in text
    space = {}
    exec(text.replace('"ple"', f'"{kind}"'), space)
    loss, _ = space["loss_of"](space["params"])
    assert loss < space["loss"]
    assert sorted(space["variables"]) == (["batch_stats"] if kind == "star" else [])


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    links = re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", text.replace("\n", " "))
    assert len(links) > 15
    for link in (a or b for a, b in links):
        assert (ROOT / link).exists(), link


def test_the_guides_plugins_work(tmp_path, capsys):
    from ple_jax import models, plugins, sinks, weightings

    package = tmp_path / "written_here"
    package.mkdir()
    named = [block for block in blocks(DOCS / "guides/extend.md") if block[1]]
    assert len(named) == 3
    for _, name, text in named:
        (package / name).write_text(text, encoding="utf-8")
    for _, name, _ in named:
        plugins.allow(f"written_here.{name.removesuffix('.py')}", str(tmp_path))
    model = models.build("written_here.linear", num_tasks=2, use_bias=False)
    assert not model.use_bias
    assert weightings.build("written_here.worst").init(2) == ((), ())
    about = sinks.About("run", "", "0", {}, tmp_path, tmp_path, 0)
    sink = sinks.find("written_here.printing").build(about)
    sink.write(3, {"validation/score": 0.5})
    assert capsys.readouterr().out == "run 3 0.5\n"


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebooks_are_stored_without_outputs(file):
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_there_are_three_notebooks():
    assert len(NOTEBOOKS) == 3
