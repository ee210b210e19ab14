"""How a class did, read from a gradebook that is never written."""

from datetime import datetime, timedelta

import nbformat
import pytest
from nbgrader.api import Gradebook
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.grading.attacks.corpus import BYSTANDER, CORPUS
from course_lib.grading.grades import Course
from course_lib.grading.overview import ClassFolder

BY_NAME = {one.name: one for one in CORPUS}


def test_nobody_has_handed_in(course_folder):
    found = ClassFolder(course_folder).overview("small")
    assert (found.submitted, found.scores, found.for_a_person) == (0, (), ())
    assert found.mean is None and found.median is None and found.misconceptions == []
    assert [(e.exercise, e.judged, e.share) for e in found.exercises] == [
        ("double", 0, None), ("probability.greedy_next_token", 0, None),
    ]  # fmt: skip


def test_a_class(course_folder, hand_in, tmp_path, here):
    due = datetime(2026, 1, 1)
    with Gradebook(f"sqlite:///{course_folder / 'gradebook.db'}") as gradebook:
        gradebook.find_assignment("small").duedate = due
        gradebook.db.commit()
    for student, name in {"ada": None, "bob": "replaces check", "cyd": None}.items():
        folder = hand_in(student, BY_NAME[name] if name else BYSTANDER)
        hours = 3 if student == "cyd" else -3
        (folder / "timestamp.txt").write_text(f"{due + timedelta(hours=hours)} UTC")
    path = hand_in("dan", BYSTANDER) / "small.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "greedy":
            cell.source = "def greedy_next_token(logits):\n    return logits.argmax()"
    nbformat.write(notebook, path)
    hand_in("eve", BYSTANDER).joinpath("small.ipynb").write_text("no notebook")
    hand_in("-rf", BYSTANDER)
    assert len(list(Course(course_folder).grade("small", here))) == 6
    hand_in("fay", BYSTANDER)

    gradebook = course_folder / "gradebook.db"
    before = gradebook.read_bytes(), gradebook.stat().st_mtime_ns
    found = ClassFolder(course_folder).overview("small")
    assert (gradebook.read_bytes(), gradebook.stat().st_mtime_ns) == before
    assert found.submitted == 7 and found.scores == (0, 1, 2, 2) and found.max_score == 2
    assert found.median == 1.5 and found.mean == 1.25
    double, greedy = found.exercises
    assert (double.right, double.judged, double.share) == (3, 4, 0.75)
    assert (greedy.right, greedy.judged) == (2, 4)
    assert ("returns a tensor", 1) in greedy.misconceptions
    assert found.misconceptions[0][0] == "probability.greedy_next_token"
    why = {one.student: one.why for one in found.for_a_person}
    assert why.keys() == {"-rf", "cyd", "eve", "fay"}
    assert "no name for a folder" in why["-rf"] and why["cyd"].startswith("late: at")
    assert "refused: small.ipynb is no notebook" in why["eve"]
    assert why["fay"] == "not graded yet"

    page = tmp_path / "page.html"
    for more in ([], ["--to", str(page)]):
        result = CliRunner().invoke(
            app, ["overview", "small", "--folder", str(course_folder), *more]
        )
        assert result.exit_code == 0, result.output
        assert more or ("returns a tensor" in result.output and "fay: not graded" in result.output)
    assert "returns a tensor" in page.read_text(encoding="utf-8")


def test_a_mark_that_a_person_corrects_counts(course_folder, hand_in, here):
    hand_in("bob", BY_NAME["replaces check"])
    list(Course(course_folder).grade("small", here))
    with Gradebook(f"sqlite:///{course_folder / 'gradebook.db'}") as gradebook:
        (notebook,) = gradebook.find_submission("small", "bob").notebooks
        next(g for g in notebook.grades if g.name == "check-double").manual_score = 1
        gradebook.db.commit()
    found = ClassFolder(course_folder).overview("small")
    assert found.scores == (1,) and found.exercises[0].right == 1


def test_the_gradebook_cannot_be_written(course_folder):
    with (
        ClassFolder(course_folder).reading() as connection,
        pytest.raises(OperationalError, match="readonly"),
    ):
        connection.execute(text("DELETE FROM assignment"))


def test_what_is_no_course_folder_is_said(course_folder, tmp_path):
    with pytest.raises(ValueError, match="small"):
        ClassFolder(course_folder).overview("large")
    (course_folder / "gradebook.db").unlink()
    with pytest.raises(ValueError, match="no gradebook"):
        ClassFolder(course_folder)
    assert not (course_folder / "gradebook.db").exists()
    result = CliRunner().invoke(app, ["overview", "small", "--folder", str(tmp_path)])
    assert result.exit_code == 1 and "nbgrader_config.py" in result.output
