"""A learner's way: get the copies, meet the first check, solve, check, submit, see progress."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from typer.testing import CliRunner

from course_lib.checks import exercises
from course_lib.cli import app
from course_lib.grading.single import grade_one
from course_lib.notebooks import execute, notebook_names
from course_lib.syllabus import chapter_of
from course_lib.workspace.start import start


@pytest.fixture
def workspace(tmp_path):
    list(start(tmp_path))
    return tmp_path


def to_the_first_check(name, workspace):
    """The cells of a learner's copy up to its first check, ready to follow another notebook's."""
    notebook = nbformat.read(workspace / name / f"{name}.ipynb", as_version=4)
    marks = [cell.metadata.get("nbgrader", {}).get("grade") for cell in notebook.cells]
    clean = new_code_cell(f"%reset -f\n%cd -q {workspace / name}")
    return [clean, *notebook.cells[: marks.index(True) + 1]]


def test_untouched_copies_run_to_the_first_check_and_fail_politely(workspace):
    """In one kernel, whose names are cleared between them: a start of each takes longer."""
    parts = {name: to_the_first_check(name, workspace) for name in notebook_names()}
    notebook = new_notebook(cells=[cell for cells in parts.values() for cell in cells])
    execute(notebook, workspace, allow_errors=True)
    for name, cells in parts.items():
        code = [cell for cell in cells if cell.cell_type == "code"]
        failed = [cell for cell in code if any(o.output_type == "error" for o in cell.outputs)]
        assert failed == [cells[-1]], name
        report, error = cells[-1].outputs
        assert "not written yet" in report["data"]["text/plain"]
        assert error.ename == "CheckFailed"
        assert error.traceback == [error.evalue]  # one line, no traceback
    tries = (workspace / ".course" / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(one)["passed"] for one in tries] == [False] * len(parts)


@pytest.mark.parametrize("name", notebook_names())
def test_solved_copy_gets_full_marks_under_hidden_checks(name, workspace, write, solutions):
    write(workspace / name / f"{name}.ipynb", solutions(name))
    page = workspace / "feedback" / f"{name}.html"
    marks = grade_one(workspace / name / f"{name}.ipynb", page)
    mine = [e for e in exercises().values() if chapter_of(e.id).notebook == name]
    judged = [(m.exercise, m.score, m.max_score) for m in marks if m.score is not None]
    assert sorted(judged) == sorted((e.id, e.points, e.points) for e in mine)
    assert (len(marks) > len(judged)) == (name == "13_project"), "a person marks a part of this one"
    html = page.read_text(encoding="utf-8")
    assert all(f"{e.id}: right on all" in html for e in mine)


def test_what_is_in_the_workspace_is_never_overwritten(workspace):
    path = next(workspace.glob("*/*.ipynb"))
    path.write_text("my work")
    assert not any(written for _, written in start(workspace))
    assert path.read_text() == "my work"


def test_commands_of_a_learner(tmp_path, write, solutions):
    name, wrong = "00_start_here", "probability-greedy_next_token"
    workspace = ["--workspace", str(tmp_path)]

    def course(*arguments):
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*arguments, *workspace])
        assert result.exit_code == 0, result.output
        return result.output

    assert f"made  {tmp_path.name}/{name}" in course("start")
    assert f"kept  {tmp_path.name}/{name}" in course("start")
    answers = solutions(name)
    answers[wrong] = "def greedy_next_token(logits):\n    return logits.argmax()\n"
    write(tmp_path / name / f"{name}.ipynb", answers)

    said = course("check", "00")
    assert "right on all" in said
    assert "returns a tensor" in said

    total = sum(e.points for e in exercises().values() if chapter_of(e.id).notebook == name)
    lost = exercises()["probability.greedy_next_token"].points
    assert f"{total - lost} of {total} points" in course("submit", "00", "--no-show")
    assert (tmp_path / "feedback" / f"{name}.html").exists()

    assert "0 of" in course("progress")  # `course check` is no attempt of the learner's
    path = tmp_path / name / f"{name}.ipynb"
    execute(nbformat.read(path, as_version=4), path.parent, allow_errors=True)
    said = course("progress")
    assert "2 of" in said and "returns a tensor" in said
