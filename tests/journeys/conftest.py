"""Made-up learners: they open their copy of a notebook and write into its solution cells."""

import nbformat
import pytest

from course_lib.notebooks import notebook_path


@pytest.fixture
def write():
    def write(path, answers):
        """Write `answers` (solution cell -> source) into the notebook at `path`."""
        notebook = nbformat.read(path, as_version=4)
        cells = {
            cell.metadata.nbgrader.grade_id: cell
            for cell in notebook.cells
            if "nbgrader" in cell.metadata
        }
        for grade_id, source in answers.items():
            cells[grade_id].source = source
        nbformat.write(notebook, path)

    return write


@pytest.fixture
def solutions():
    def solutions(name):
        """The instructor's solution cells of a notebook, in order."""
        notebook = nbformat.read(notebook_path(name), as_version=4)
        return {
            cell.metadata.nbgrader.grade_id: cell.source
            for cell in notebook.cells
            if cell.metadata.get("nbgrader", {}).get("solution")
        }

    return solutions
