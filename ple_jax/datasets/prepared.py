"""A data set that `ple-jax prepare` wrote; it trains without the raw files."""

import hashlib
import json
import pathlib
from typing import Any

from ple_jax.data.facts import FACTS, read_facts
from ple_jax.data.places import checked_name
from ple_jax.data.remote import is_url, system_of
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
        facts = system.cat_file(f"{folder}/{FACTS}")
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
    for file in read_facts(directory).get("checksums", {}):
        if file.startswith("train/"):
            continue
        target = directory / checked_name(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            system.get_file(f"{folder}/{file}", str(target))
        except FileNotFoundError as error:
            raise ValueError(
                f"The data set is damaged: {folder}/{file} is missing."
            ) from error
