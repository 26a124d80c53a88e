"""The gallery counts as the studies' own sentences do, and leaves none out."""

import re

import pytest
from lib.site import load

gallery = load("extensions/gallery.py")
FOLDERS = gallery.committed()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_gallery_counts_as_the_study_does(folder):
    text = (folder / "results.md").read_text()
    rows = gallery.summary(gallery.differences(text))[2:]
    counted = {
        row[0].strip("`"): list(map(int, row[1:5])) for row in map(gallery.cells, rows)
    }
    said = re.findall(
        r"^- (.*) beside .*, of (\d+) comparisons: ahead in (\d+)\D.*behind in (\d+)"
        r"\D.*shown in (\d+)\.$",
        text,
        re.M,
    )
    assert counted == {choice: list(map(int, counts)) for choice, *counts in said}
    assert gallery.reference(text)


def test_each_study_has_a_question_words_and_a_page():
    folders = [file.parent for file in gallery.STUDIES.glob("*/study.toml")]
    assert sorted(folders) == FOLDERS
    shown = gallery.index(FOLDERS)
    for folder in FOLDERS:
        assert f"]({folder.name}.md)" in shown
        text = gallery.page(folder)
        assert text.startswith("# ")
        assert "ple-jax study" in text
        for figure in folder.glob("*.svg"):
            assert f"/{folder.name}/{figure.name}" in text
