"""The gallery counts as the studies' own sentences do, and leaves none out."""

import re

import pytest
from lib.site import load

gallery = load("extensions/gallery.py")
FOLDERS = gallery.committed()
SAID = re.compile(
    r"^- (.*) beside .*, of (\d+) comparisons: ahead in (\d+)\D.*behind in (\d+)"
    r"\D.*shown in (\d+)\.$",
    re.M,
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_gallery_counts_as_the_study_does(folder):
    text = (folder / "results.md").read_text()
    rows = gallery.summary(gallery.differences(text))[2:]
    counted = {
        row[0].strip("`"): list(map(int, row[1:5])) for row in map(gallery.cells, rows)
    }
    assert counted == {
        choice: list(map(int, counts)) for choice, *counts in SAID.findall(text)
    }
    assert gallery.reference(text)


def test_the_glance_adds_up_what_the_studies_say():
    rows = [gallery.cells(row) for row in gallery.glance(FOLDERS)[2:]]
    for folder, row in zip(FOLDERS, rows, strict=True):
        text = (folder / "results.md").read_text()
        counts = [map(int, counts) for _, *counts in SAID.findall(text)]
        wanted = [sum(column) for column in zip(*counts, strict=True)]
        assert [int(count) for count in row[2:6]] == wanted
        assert f"]({folder.name}.md)" in row[0]


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
