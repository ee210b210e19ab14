"""The quiz cells at the end of every notebook, and in what the learner gets."""

import nbformat
import pytest

from course_lib.notebooks import notebook_names, notebook_path
from course_lib.release import released_from
from course_lib.review import quiz


def quiz_cell(notebook, name):
    """The quiz cell; its place is between a heading and the summary."""
    code = f'from course_lib.review import quiz\n\nquiz("{name}")'
    (at,) = [i for i, cell in enumerate(notebook.cells) if cell.source == code]
    assert notebook.cells[at - 1].source.startswith("## Check what you remember")
    assert notebook.cells[at + 1].source.startswith("## Summary")
    return notebook.cells[at]


@pytest.mark.parametrize("name", notebook_names())
def test_every_notebook_ends_with_its_quiz_as_it_is_now(name):
    cell = quiz_cell(nbformat.read(notebook_path(name), as_version=4), name)
    (output,) = cell.outputs
    assert output.data["text/html"] == quiz(name)._repr_html_()
    assert output.data["text/plain"] == repr(quiz(name))


@pytest.mark.parametrize("name", notebook_names())
def test_the_learners_copy_keeps_the_quiz_and_no_grade_hangs_on_it(name):
    cell = quiz_cell(released_from(notebook_path(name)), name)
    assert cell.metadata.tags == ["experiment"]  # not executed for a grade
    assert "nbgrader" not in cell.metadata and cell.outputs == []
