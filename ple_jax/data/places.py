"""Where the files of a prepared data set lie. No column names a file."""

import os
import pathlib
from collections.abc import Iterable

from ple_jax.data.encode import ENCODER, MEANS, VOCABULARIES, Encoder
from ple_jax.data.facts import OLD, VERSION
from ple_jax.data.ranges import expected_arrays
from ple_jax.splits import SPLITS

INDEX = "splits.npy"  # of `data.row_index`


def files_of(
    encoder: Encoder, version: int = VERSION, index: bool = True
) -> dict[str, str]:
    """Name -> path in the directory, of every file but dataset.json.

    Data sets of before have no index of rows.

    The fingerprint hashes the names: the paths that files of format 1 have, which names
    the file of a bag after its column.
    """
    tables = (f"{VOCABULARIES}/{i}.parquet" for i in range(len(encoder.vocabularies)))
    fits = enumerate(encoder.categoricals.values())
    means = (f"{MEANS}/{i}.parquet" for i, fit in fits if fit.means)
    of_rows = [INDEX] if index else []
    files = {name: name for name in (ENCODER, *tables, *means, *of_rows)}
    for split in SPLITS:
        for array, file in array_files(expected_arrays(encoder)).items():
            name = f"{split}/{array}.npy"
            old = pathlib.PurePosixPath(name).as_posix()
            files[name] = old if version == OLD else f"{split}/{file}"
    return files


def array_files(arrays: Iterable[str]) -> dict[str, str]:
    """Array -> path in the folder of a split: bag number i lies in bags/i.npy."""
    names = list(arrays)
    bags = [name for name in names if name.startswith("bags/")]
    numbered = {name: f"bags/{i}" for i, name in enumerate(bags)}
    return {name: f"{numbered.get(name, name)}.npy" for name in names}


def checked_name(file: str) -> str:
    """A path that does not lead out of the directory it counts from.

    Raises:
        ValueError: It does.
    """
    parts = pathlib.PurePosixPath(file).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in file:
        raise ValueError(f"A prepared data set has no file {file!r}.")
    return file


def existing_file(directory: pathlib.Path, file: str) -> pathlib.Path:
    """The path of a file in a directory.

    Raises:
        ValueError: It is missing, or leads out of the directory.
    """
    path = directory / file
    try:
        real = pathlib.Path(os.path.realpath(path))
        is_file = path.is_file()
    except (ValueError, OSError) as error:  # such as a name with NUL, or a long one
        raise ValueError(f"{directory} has no file {file!r}: {error}.") from error
    if not real.is_relative_to(os.path.realpath(directory)):
        raise ValueError(
            f"{directory} has the file {file!r} in {real}, expected all of its files "
            "within it."
        )
    if not is_file:
        raise ValueError(f"{directory} is damaged: {path} is missing.")
    return path
