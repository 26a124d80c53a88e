"""Archives from a package index: pinned by their bytes, and never run."""

import base64
import contextlib
import functools
import hashlib
import http.server
import io
import os
import re
import subprocess
import sys
import tarfile
import threading

import pytest

from ple_jax.data import archives
from ple_jax.data.archives import Archive, fetch_archive
from ple_jax.data.fetch import Member, Package, find_package

FILE, CONTENT = "odd-data-1.tar.gz", b"a,b\n1,2\n"
SETUP = "import os\nopen(os.environ['MARK'], 'w')\n"


@pytest.fixture
def pip(monkeypatch):
    """pip(option=value, ...) is all that pip is told, as its environment."""
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    def told(**options):
        for name, value in options.items():
            monkeypatch.setenv(f"PIP_{name.upper()}", str(value))

    return told


@pytest.fixture
def index(tmp_path):
    """A folder of an index, with a source archive whose setup.py leaves a mark."""
    page, files = tmp_path / "simple" / "odd-data", tmp_path / "files"
    page.mkdir(parents=True)
    files.mkdir()
    link = "<!DOCTYPE html><a href='../../files/{0}#sha256=0'>{0}</a>"
    (page / "index.html").write_text(link.format(FILE))
    with tarfile.open(files / FILE, "w:gz") as tar:
        for name, text in {
            "setup.py": SETUP.encode(),
            "pyproject.toml": b"[build-system]\nrequires = []\n",
            "odd/data/a.csv": CONTENT,
            "../../escaped": b"",
            "PKG-INFO": b"Name: odd-data\nVersion: 1\n",
        }.items():
            facts = tarfile.TarInfo(f"odd-data-1/{name}")
            facts.size = len(text)
            tar.addfile(facts, io.BytesIO(text))
    return tmp_path


@pytest.fixture
def archive(index):
    content = (index / "files" / FILE).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return Archive("odd-data", FILE, digest, len(content))


@contextlib.contextmanager
def served(folder, password=None):
    """A server on this machine; with a password it wants it on every request."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            token = base64.b64encode(f"me:{password}".encode()).decode()
            if password and self.headers["Authorization"] != f"Basic {token}":
                return self.send_error(401)
            return super().do_GET()

        def log_message(self, *parts):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def into(tmp_path):
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def test_a_source_archive_is_read_and_not_run(
    pip, index, archive, tmp_path, monkeypatch
):
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PLE_JAX_DATA", raising=False)
    pip(index_url=(index / "simple").as_uri())
    digest = hashlib.sha256(CONTENT).hexdigest()
    members = {"a": Member("a.csv", "odd/data/a.csv", digest)}
    found = find_package(Package("odd", "Odd", "its", archive, members), None)
    assert [path.name for path in found.values()] == ["a.csv.gz"]
    assert not (tmp_path / "mark").exists()
    assert sorted(p.name for p in (tmp_path / "cache/odd").iterdir()) == ["a.csv.gz"]
    assert not list(tmp_path.rglob("escaped"))


def test_the_archive_leaves_its_mark_where_it_is_run_control(
    index, tmp_path, monkeypatch
):
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    with tarfile.open(index / "files" / FILE) as tar:
        program = tar.extractfile("odd-data-1/setup.py").read()
    subprocess.run([sys.executable, "-"], input=program, check=True)
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("place", ["index", "extra", "folder", "path", "page"])
def test_a_file_is_found_wherever_pip_looks(place, pip, index, archive, into):
    simple, files = index / "simple", index / "files"
    nothing = (index / "nothing").as_uri()
    if place == "index":
        pip(index_url=simple)
    elif place == "extra":
        pip(index_url=nothing, extra_index_url=f"{nothing} {simple.as_uri()}")
    elif place == "folder":
        pip(no_index=1, find_links=f"{into} {files.as_uri()}")
    elif place == "path":
        pip(no_index=1, find_links=files)
    else:
        pip(no_index=1, find_links=simple / "odd-data" / "index.html")
    path = fetch_archive(archive, into)
    assert path == into / FILE
    assert path.read_bytes() == (files / FILE).read_bytes()


def test_a_file_of_pips_settings_is_read(pip, index, archive, into, monkeypatch):
    settings = index / "pip.conf"
    simple = (index / "simple").as_uri()
    settings.write_text(f"[global]\nindex-url = x\n[download]\nindex-url = {simple}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    assert fetch_archive(archive, into).is_file()


@pytest.mark.parametrize("password", [None, "se:cr@t"])
def test_a_server_is_asked_with_its_password(password, pip, index, archive, into):
    with served(index, password) as host:
        pip(index_url=f"http://{'me:se%3Acr%40t@' if password else ''}{host}/simple")
        assert fetch_archive(archive, into).is_file()


def test_an_error_does_not_tell_the_password(pip, index, archive, into):
    with served(index, "secret") as host:
        pip(index_url=f"http://me:wrong-one@{host}/simple")
        with pytest.raises(ValueError, match="401") as caught:
            fetch_archive(archive, into)
    assert "wrong-one" not in str(caught.value)


def test_another_file_of_that_name_is_refused(pip, index, archive, into):
    pip(index_url=index / "simple")
    wrong = archive._replace(sha256="0" * 64)
    with pytest.raises(ValueError, match=rf"{FILE} is not the released file: .*"):
        fetch_archive(wrong, into)
    assert not list(into.iterdir())


def test_another_file_in_one_place_does_not_hide_the_right_one(
    pip, index, archive, into
):
    (index / FILE).write_bytes(b"another")
    pip(index_url=index / "simple", find_links=index)
    assert fetch_archive(archive, into).stat().st_size == archive.size


def test_a_file_without_an_end_is_not_read_to_it(pip, index, archive, into):
    (index / "files" / FILE).unlink()
    (index / "files" / FILE).symlink_to("/dev/zero")
    pip(index_url=index / "simple")
    with pytest.raises(ValueError, match="is not the released file"):
        fetch_archive(archive, into)


def test_where_nothing_is_found_all_places_are_named(pip, index, archive, into):
    pip(index_url=index / "nothing", find_links=into)
    with pytest.raises(ValueError, match=r"has odd-data-1\.tar\.gz \(.*nothing/odd"):
        fetch_archive(archive, into)
    pip(no_index=1)
    with pytest.raises(ValueError, match="none links to it"):
        fetch_archive(archive, into)


def test_pip_has_an_index_of_its_own(pip):
    assert re.match(r"https://\S+/simple/?$", archives._settings()["index-url"])


def test_without_pip_one_sentence_says_so(pip, monkeypatch, archive, into):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ValueError, match="pip does not say where it looks"):
        fetch_archive(archive, into)
