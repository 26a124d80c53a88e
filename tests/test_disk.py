"""Files that appear whole or not at all."""

import pytest

from ple_jax.disk import replace_file


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
