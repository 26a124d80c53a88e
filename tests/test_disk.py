"""Files that appear whole or not at all."""

import pytest

from ple_jax.disk import new_file, replace_file


def test_a_file_is_replaced_when_it_is_whole(tmp_path):
    path = tmp_path / "table.json"
    path.write_text("old")
    with replace_file(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("old", ["old", None])
def test_an_error_leaves_what_was_there(tmp_path, old):
    path = tmp_path / "table.json"
    if old is not None:
        path.write_text(old)
    before = [*tmp_path.iterdir()]

    def stopped():
        with replace_file(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert [*tmp_path.iterdir()] == before
    assert not before or path.read_text() == old


def test_two_writers_of_one_file_do_not_share_a_name(tmp_path):
    path = tmp_path / "table.json"
    with replace_file(path) as one, replace_file(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert [*tmp_path.iterdir()] == [path]


def test_a_link_beside_the_target_is_not_followed(tmp_path):
    outside, path = tmp_path / "outside", tmp_path / "table.json"
    outside.write_text("mine")
    (tmp_path / "table.json.partial").symlink_to(outside)
    with replace_file(path) as partial:
        partial.write_text("new")
    assert outside.read_text() == "mine"
    assert not path.is_symlink()


def test_a_taken_name_is_an_error_and_never_followed(tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    monkeypatch.setattr("secrets.token_hex", lambda n: "taken")
    (tmp_path / ".partial-taken").symlink_to(outside)
    with pytest.raises(FileExistsError), replace_file(tmp_path / "new") as partial:
        partial.write_text("new")
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_replaces_nothing(tmp_path, monkeypatch, links):
    def refuse(*_):
        raise PermissionError("no links here")

    if not links:
        monkeypatch.setattr("os.link", refuse)
    path = tmp_path / "new"
    with new_file(path) as partial:
        partial.write_text("first")

    def overtaken():
        with new_file(tmp_path / "other") as partial:
            partial.write_text("late")
            (tmp_path / "other").write_text("early")

    with pytest.raises(FileExistsError, match="choose a new file"):
        overtaken()
    assert (tmp_path / "other").read_text() == "early"
    assert path.read_text() == "first"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "other"]
