"""Every committed notebook is what its committed text says."""

import nbformat
import pytest

from course_lib.authoring.source import content, mark, read_source, sources
from course_lib.notebooks import NOTEBOOKS, notebook_names

SOURCES = sources(NOTEBOOKS)


def test_every_notebook_has_a_text_and_every_text_a_notebook():
    assert [path.stem for path in SOURCES] == notebook_names()
    assert all(path.stem == path.parent.name for path in SOURCES)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_notebook_is_built_from_its_text(path):
    text, built = read_source(path), nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    for told, made in zip(content(text), content(built), strict=True):
        assert made == told, f"course build {path.stem}"
    assert [cell.id for cell in built.cells] == [cell.id for cell in text.cells]
    assert built.metadata.course.built_from == mark(text)
