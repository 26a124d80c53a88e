"""Files that are fetched, and files that are not the published ones."""

import hashlib
import io
import zipfile

import pytest

from ple_jax.data import fetch
from ple_jax.data.archives import Archive
from ple_jax.data.fetch import Member, Package
from ple_jax.datasets import flights, movielens


@pytest.mark.parametrize("module", [movielens, flights])
def test_a_wrong_file_is_refused(module, tmp_path):
    with pytest.raises(ValueError, match=f"holds no .*{module.PACKAGE.archive.file}"):
        module.build(data_dir=str(tmp_path))
    for member in module.PACKAGE.members.values():
        (tmp_path / member.name).write_text("x")
    wrong = hashlib.sha256(b"x").hexdigest()
    with pytest.raises(
        ValueError, match=f"its sha256 is {wrong}, expected .*have .* fetched"
    ):
        module.build(data_dir=str(tmp_path))


def fake(folder, content):
    """A wheel with a plain file, and with one in a zip."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("b.csv", content)
    archive = folder / "fake-1-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("fake/data/a.csv", content)
        file.writestr("fake/data/b.csv.zip", inner.getvalue())
    return archive


@pytest.mark.parametrize("content", ["right", "wrong"])
def test_files_of_a_wheel_are_checked_before_they_are_kept(
    content, tmp_path, monkeypatch
):
    digest = hashlib.sha256(b"right").hexdigest()
    members = {
        "a": Member("a.csv", "data/a.csv", digest),
        "b": Member("b.csv", "data/b.csv.zip", digest),
    }
    archive = Archive("fake", "fake-1-py3-none-any.whl", "", 0)
    package = Package("fake", "Fake", "its", archive, members)
    monkeypatch.delenv("PLE_JAX_DATA", raising=False)
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(fetch, "fetch_archive", lambda a, folder: fake(folder, content))
    if content == "right":
        found = fetch.find_package(package, None)
        assert [p.name for p in found.values()] == ["a.csv.gz", "b.csv.gz"]
        assert found == fetch.find_package(package, str(tmp_path))
    else:
        with pytest.raises(ValueError, match=r"sha256 is .*put its a.csv and b.csv"):
            fetch.find_package(package, None)
        assert not any((tmp_path / "fake").iterdir())
