"""A data set that `ple-jax prepare` wrote; it trains without the raw files."""

import hashlib
import json
import pathlib
from functools import partial
from typing import Any

from ple_jax.data.checksums import check_bytes
from ple_jax.data.facts import FACTS, read_facts
from ple_jax.data.places import checked_name
from ple_jax.data.remote import again, is_url, system_of
from ple_jax.data.store import ELSEWHERE, Prepared
from ple_jax.disk import cache_dir, new_directory


def build(directory: str) -> Prepared:
    """Opens the prepared data set itself, in place of a source of raw rows.

    Args:
        directory: The directory given to `ple-jax prepare --out`, or where a copy of it
            lies in an object store, such as `s3://bucket/shop`. All but train is then
            copied to the cache; train is read by blocks from there.
    """
    if is_url(directory):
        return _open_url(directory.rstrip("/"))
    return Prepared.open(pathlib.Path(directory).expanduser())


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows about it."""
    return {
        "summary": "a data set that `ple-jax prepare` wrote",
        "source": "data.directory",
    }


def _open_url(url: str) -> Prepared:
    system, folder = system_of(url)
    try:
        facts = again(lambda: system.cat_file(f"{folder}/{FACTS}"), f"{url}/{FACTS}")
    except FileNotFoundError as error:
        raise ValueError(
            f"{url} is not a prepared data set: it has no {FACTS}."
        ) from error
    key = hashlib.blake2b(url.encode() + facts, digest_size=12).hexdigest()
    directory = cache_dir() / "remote" / key
    if not directory.exists():
        with new_directory(directory) as partial:
            (partial / FACTS).write_bytes(facts)
            _copy_all_but_train(system, folder, partial)
            (partial / ELSEWHERE).write_text(json.dumps({"train": url}))
    return Prepared.open(directory)


def _copy_all_but_train(system: Any, folder: str, directory: pathlib.Path) -> None:
    for file, wanted in read_facts(directory).get("checksums", {}).items():
        if file.startswith("train/"):
            continue
        target = directory / checked_name(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = partial(_copy, system, f"{folder}/{file}", target, wanted)
        try:
            again(copy, f"{folder}/{file}")
        except FileNotFoundError as error:
            raise ValueError(
                f"The data set is damaged: {folder}/{file} is missing."
            ) from error


def _copy(system: Any, file: str, target: pathlib.Path, checksum: str) -> None:
    system.get_file(file, str(target))
    check_bytes(target, checksum, file)
