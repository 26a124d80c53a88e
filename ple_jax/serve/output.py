"""The file that scores go to: what it may replace, and how it is written."""

import pathlib
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ple_jax.checks import nearest
from ple_jax.data.read import expand_patterns
from ple_jax.disk import new_file, replace_file

Writer: TypeAlias = "pq.ParquetWriter | pyarrow.csv.CSVWriter"
ENDINGS = (".parquet", ".pq", ".csv")


def check_output(out: pathlib.Path, sources: Sequence[str], overwrite: bool) -> None:
    """Raises unless what comes of `sources` may be written to `out`.

    Raises:
        ValueError: The ending says no format, the folder is missing, or `out` is an
            input, or no plain file.
        FileExistsError: The file exists, and `overwrite` is false.
    """
    if out.suffix not in ENDINGS:
        raise ValueError(
            f"--out {out} must end in one of {', '.join(ENDINGS)}, got {out.suffix!r}."
        )
    if not out.parent.is_dir():
        above = out.parent.parent
        beside = [p.name for p in above.iterdir()] if above.is_dir() else []
        raise ValueError(
            f"--out {out} needs the folder {out.parent}, which is missing."
            f"{nearest(out.parent.name, beside)}"
        )
    inputs = expand_patterns(sources) if sources else []
    if out.exists() and any(out.samefile(path) for path in inputs):
        raise ValueError(f"--out {out} is the file to read; name another file.")
    if out.is_symlink() or (out.exists() and not stat.S_ISREG(out.stat().st_mode)):
        raise ValueError(f"--out {out} is there, but no plain file; name another file.")
    if out.exists() and not overwrite:
        raise FileExistsError(
            f"{out} already exists; name another file, or replace it by --overwrite."
        )


@contextmanager
def open_output(
    out: pathlib.Path, columns: pa.Schema, overwrite: bool
) -> Iterator[Writer]:
    """Yields a writer of tables; `out` appears when the block ends, or not at all.

    Raises:
        ValueError: The file cannot be written, such as on a full disk.
        FileExistsError: `out` exists, and `overwrite` is false.
    """
    placed = replace_file if overwrite else new_file
    try:
        with placed(out) as partial, _writer(partial, columns, out.suffix) as writer:
            yield writer
    except FileExistsError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{out} cannot be written: {error}") from error


def _writer(path: pathlib.Path, columns: pa.Schema, ending: str) -> Writer:
    if ending == ".csv":
        return pyarrow.csv.CSVWriter(path, columns)
    return pq.ParquetWriter(path, columns, write_page_checksum=True)
