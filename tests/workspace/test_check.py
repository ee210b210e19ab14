"""`course check` says what it found, whatever the notebook does to its kernel or is."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.notebooks import notebook_path
from course_lib.release import released_from

NAME = "00_start_here"


def test_a_cell_that_ends_its_kernel_costs_no_verdict(tmp_path):
    notebook = released_from(notebook_path(NAME))
    notebook.cells.insert(1, new_code_cell("# mine\nimport os; os._exit(3)"))
    (tmp_path / NAME).mkdir()
    nbformat.write(notebook, tmp_path / NAME / f"{NAME}.ipynb")
    done = CliRunner().invoke(app, ["check", "00", "--workspace", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "left out: import os; os._exit(3)" in done.output
    assert "did not run" not in done.output


@pytest.mark.parametrize(("content", "told"), [("", "is empty"), ('{"cells": [', "is cut off")])
def test_a_broken_file_is_named_for_what_it_is(content, told, tmp_path):
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / f"{NAME}.ipynb").write_text(content)
    done = CliRunner().invoke(app, ["check", "00", "--workspace", str(tmp_path)])
    assert done.exit_code == 1 and told in done.output
    assert "`course start` makes your copies" not in done.output and "rename it" in done.output
