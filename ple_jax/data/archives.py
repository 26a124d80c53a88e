"""Fetches a package's archive by its checksum; nothing of it runs.

`pip download` would build a source archive to learn what it needs, which runs its code.
So pip only says here where it would look: its settings index-url, extra-index-url,
find-links, no-index, proxy, cert and client-cert, in its files and its environment.
"""

import ast
import hashlib
import html.parser
import os
import pathlib
import re
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

SECTIONS = ("global", "download", ":env:")  # of pip's settings: the last one wins
SECONDS, PAGE_BYTES, CHUNK = 60, 2**26, 2**20


class Archive(NamedTuple):
    """A released file: a source archive or a wheel.

    Attributes:
        project: The name of its package, in lower case with hyphens.
        file: Its file name.
        sha256: Checksum of the file.
        size: Its bytes.
    """

    project: str
    file: str
    sha256: str
    size: int


def fetch_archive(archive: Archive, folder: pathlib.Path) -> pathlib.Path:
    """Copies the archive into the folder, from the first place that has it.

    Raises:
        ValueError: No place has it, or pip does not say where to look.
    """
    settings = _settings()
    places = list(_places(archive.project, settings))
    opener = _opener(settings, places)
    path, faults = folder / archive.file, []
    for place in map(_public, places):
        try:
            for link in _links(opener, place):
                if unquote(urlsplit(link).path).rpartition("/")[2] == archive.file:
                    _copy(opener, urldefrag(link).url, path, archive)
                    return path
        except (OSError, HTTPException, ValueError) as error:
            faults.append(f"{place}: {error}")
    told = "; ".join(faults) or "none links to it"
    raise ValueError(f"No place of pip's has {archive.file} ({told}).")


def _copy(opener: Any, link: str, path: pathlib.Path, archive: Archive) -> None:
    """Copies a file as far as it can be the archive, and checks that it is."""
    digest = hashlib.sha256()
    with opener.open(link, timeout=SECONDS) as source, path.open("wb") as file:
        while file.tell() <= archive.size and (chunk := source.read(CHUNK)):
            file.write(chunk)
            digest.update(chunk)
    if digest.hexdigest() != archive.sha256:
        path.unlink()
        raise ValueError(
            f"{link} is not the released file: its sha256 is {digest.hexdigest()}, "
            f"expected {archive.sha256}"
        )


# Where pip would look.


def _settings() -> dict[str, str]:
    """pip's settings by name, and its own index where none is set."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in _pip("config", "list").splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if section in found:
            found[section][option] = ast.literal_eval(value)
    settings = {k: v for section in SECTIONS for k, v in found[section].items()}
    if "index-url" not in settings:
        help_ = _pip("download", "--help")
        default = re.search(r"--index-url <url>.*?\(default (\S+)\)", help_, re.DOTALL)
        settings |= {"index-url": default[1]} if default else {}
    return settings


def _pip(*arguments: str) -> str:
    """What pip prints; it does not look for modules in the working directory."""
    command = [sys.executable, "-P", "-m", "pip", *arguments]
    wide = os.environ | {"COLUMNS": "1000"}
    done = subprocess.run(command, capture_output=True, text=True, env=wide)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise ValueError(f"pip does not say where it looks: {reason[0]}.")
    return done.stdout


def _places(project: str, settings: dict[str, str]) -> Iterator[str]:
    """Addresses of the pages and folders that may link to a package's files."""
    yield from map(_address, settings.get("find-links", "").split())
    if settings.get("no-index", "") not in ("1", "true", "yes", "on"):
        names = ("index-url", "extra-index-url")
        for index in " ".join(settings.get(name, "") for name in names).split():
            yield f"{_address(index).rstrip('/')}/{project}/"


def _address(place: str) -> str:
    """An address; pip also takes paths."""
    if re.match(r"(https?|file)://", place):
        return place
    return pathlib.Path(place).expanduser().absolute().as_uri()


def _public(address: str) -> str:
    """An address without the name and password that it may hold."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _opener(settings: dict[str, str], places: Iterable[str]) -> Any:
    """Opens addresses as pip's settings say, with the passwords of these places."""
    context = ssl.create_default_context(cafile=settings.get("cert"))
    if certificate := settings.get("client-cert"):
        context.load_cert_chain(certificate)
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    for parts in map(urlsplit, places):
        if parts.username:
            whole = _public(parts._replace(path="/").geturl())
            name, secret = unquote(parts.username), unquote(parts.password or "")
            passwords.add_password(None, whole, name, secret, is_authenticated=True)
    proxy = settings.get("proxy")
    return urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPBasicAuthHandler(passwords),
        urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else None),
    )


# What a place links to.


def _links(opener: Any, place: str) -> list[str]:
    """All that a page links to, or that a folder holds."""
    path = pathlib.Path(unquote(urlsplit(place).path))
    if place.startswith("file:") and path.is_dir():
        if not (path / "index.html").is_file():
            return [child.as_uri() for child in path.absolute().iterdir()]
        place = (path / "index.html").absolute().as_uri()
    page = urllib.request.Request(place, headers={"Accept": "text/html"})
    with opener.open(page, timeout=SECONDS) as answer:
        reader = _Anchors()
        reader.feed(answer.read(PAGE_BYTES).decode("utf-8", "replace"))
        return [urljoin(answer.url, link) for link in reader.links]


class _Anchors(html.parser.HTMLParser):
    """The links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]):
        """Notes the address of an anchor."""
        self.links += [v for k, v in attributes if tag == "a" and k == "href" and v]
