"""dataset.json: what a prepared data set says of itself.

version       2; format 1, which is read too, named the files of bags after columns
identity      what it was prepared from
arrays        names of the arrays of a split
splits        split -> rows, base rate of each task, rows of each domain
origins       name, first row and number of rows of each raw file, in order
blocks        how many rows a block has, and the checksums of all: see `data.blocks`
oddities      split -> rows that train has too; task -> labels 1 outside its space
fingerprint   BLAKE2b of all other files
checksums     file -> CRC-32; the oldest data sets have none
seal          CRC-32 of the rest of this file; in format 1 there is none

Data sets of before there were `origins`, `oddities` and `blocks` have none of them.
"""

import dataclasses
import json
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

from ple_jax.checks import at_least
from ple_jax.config.values import convert, dataclass_from
from ple_jax.disk import read_json, write_json
from ple_jax.splits import SPLITS

VERSION, OLD = 2, 1
FACTS, SEAL = "dataset.json", "seal"


@dataclasses.dataclass(frozen=True)
class _Facts:
    version: int
    arrays: tuple[str, ...]
    splits: dict
    fingerprint: str
    identity: dict = dataclasses.field(default_factory=dict)
    origins: tuple[tuple[str, int, int], ...] = ()
    oddities: dict = dataclasses.field(default_factory=dict)
    blocks: dict = dataclasses.field(default_factory=dict)
    checksums: dict = dataclasses.field(default_factory=dict)
    seal: str = ""


@dataclasses.dataclass(frozen=True)
class _Blocks:
    rows: int
    checksums: dict


@dataclasses.dataclass(frozen=True)
class _SplitFacts:
    rows: int
    base_rates: dict
    domains: dict


def write_facts(directory: pathlib.Path, facts: Mapping[str, Any]) -> None:
    """Writes dataset.json, sealed."""
    plain = json.loads(json.dumps(facts))  # as it is read: all keys are strings
    write_json(directory / FACTS, {**plain, SEAL: _seal(plain)})


def read_facts(directory: pathlib.Path) -> dict[str, Any]:
    """Reads dataset.json.

    Raises:
        ValueError: It is missing or damaged, or of a format that is not known.
    """
    path = directory / FACTS
    if not path.is_file():
        raise ValueError(
            f"{directory} is not a prepared data set: it has no {FACTS}. "
            "`ple-jax prepare` makes one."
        )
    facts = read_json(path)
    version = facts.get("version") if isinstance(facts, dict) else None
    if type(version) is int and version not in (OLD, VERSION):
        raise ValueError(
            f"{directory} was prepared in format {version}, but this ple_jax reads "
            f"formats {OLD} and {VERSION}: prepare it again."
        )
    try:
        _check(facts)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return facts


def _check(facts: Any) -> None:
    checked = dataclass_from(_Facts, facts, "it")
    if checked.version == VERSION and checked.seal != (found := _seal(facts)):
        raise ValueError(f"its seal is {found}, expected {checked.seal!r}.")
    each = dataclasses.make_dataclass("_Splits", [(s, _SplitFacts) for s in SPLITS])
    splits = dataclass_from(each, checked.splits, "splits")
    for split in map(splits.__getattribute__, SPLITS):
        for task, rate in split.base_rates.items():
            convert(float | None, rate, f"base_rates.{task}")
        for domain, rows in split.domains.items():
            convert(int, rows, f"domains.{domain}")
    named = {"checksums": checked.checksums}
    if checked.blocks:
        blocks = dataclass_from(_Blocks, checked.blocks, "blocks")
        at_least(1, "blocks", rows=blocks.rows)
        named["blocks"] = blocks.checksums
    for what, checksums in named.items():
        for name, checksum in checksums.items():
            convert(str, checksum, f"{what}.{name}")


def _seal(facts: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in facts.items() if key != SEAL}
    return f"{zlib.crc32(json.dumps(rest, sort_keys=True).encode()):08x}"
