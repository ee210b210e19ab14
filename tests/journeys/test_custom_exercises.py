"""An instructor's own exercise, by the lines that docs/instructors.md gives for it."""

import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.checks import evaluate
from course_lib.checks.custom import custom_exercises, described, only
from course_lib.grading.sandbox.launcher import strongest_level
from course_lib.notebooks import ROOT

PAGE = (ROOT / "docs" / "instructors.md").read_text(encoding="utf-8")
DESCRIPTION, CHECK = re.findall(
    r"```python\n(.*?)```", PAGE.split("## Your own exercises")[1], re.DOTALL
)
NAME = "12_mine"
RIGHT, SQUARED = "def double(x):\n    return x + x", "def double(x):\n    return x**2"


def marks(grade_id, **kind):
    metadata = {"schema_version": 3, "grade_id": grade_id, "task": False, "solution": False}
    return {"nbgrader": metadata | {"grade": False, "locked": True} | kind}


def instructors_notebook():
    answer = "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"
    return new_notebook(
        cells=[
            new_code_cell("from course_lib.checks import check"),
            new_code_cell(answer, metadata=marks("own-double", solution=True, locked=False)),
            new_code_cell(CHECK, metadata=marks("check-own-double", grade=True, points=2)),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "P", "language": "python"}},
    )


def run(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A course folder with one's own notebook, released, handed in, graded, feedback written."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "notebooks" / NAME).mkdir(parents=True)
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    with open(folder / "nbgrader_config.py", "a") as config:
        config.write(f"\nc.Judge.level = {strongest_level()!r}\n")
    nbformat.write(instructors_notebook(), folder / "notebooks" / NAME / f"{NAME}.ipynb")
    (folder / "notebooks" / NAME / "exercises.py").write_text(DESCRIPTION)
    run(folder, "nbgrader", "generate_assignment", NAME)
    for student, answer in {"ada": RIGHT, "bob": SQUARED, "eve": SQUARED}.items():
        handed_in = folder / "submitted" / student / NAME
        shutil.copytree(folder / "release" / NAME, handed_in)
        notebook = nbformat.read(handed_in / f"{NAME}.ipynb", as_version=4)
        notebook.cells[1].source = answer
        if student == "eve":  # describes it otherwise, wherever she can
            told = DESCRIPTION.replace("2 * x", "x * x").split("@double.misconception")[0]
            (handed_in / "exercises.py").write_text(told)
            notebook.cells.insert(1, new_code_cell(told))
        nbformat.write(notebook, handed_in / f"{NAME}.ipynb")
    said = run(folder, "course_lib", "grade", NAME)
    run(folder, "nbgrader", "generate_feedback", NAME)
    return folder, said


def test_it_takes_less_than_ten_lines():
    assert len(DESCRIPTION.splitlines()) < 10


def test_learners_get_the_description_with_the_notebook(graded):
    folder, _ = graded
    assert (folder / "release" / NAME / "exercises.py").read_text() == DESCRIPTION
    assert "2 * x" not in (folder / "release" / NAME / f"{NAME}.ipynb").read_text()


def test_right_and_wrong_get_their_marks_and_the_feedback_names_the_mistake(graded):
    folder, said = graded
    assert f"course overview {NAME}" in said
    pages = {
        student: (folder / "feedback" / student / NAME / f"{NAME}.html").read_text()
        for student in ("ada", "bob", "eve")
    }
    assert "right on all" in pages["ada"] and "squares instead" not in pages["ada"]
    for student in ("bob", "eve"):
        assert "squares instead" in pages[student]
        assert "Yours is x times x." in pages[student]


def test_the_overview_of_the_class(graded):
    from course_lib.grading.overview import ClassFolder

    folder, _ = graded
    before = (folder / "gradebook.db").stat()
    found = ClassFolder(folder).overview(NAME)
    assert found.scores == (0, 0, 2) and found.max_score == 2
    (exercise,) = found.exercises
    assert (exercise.exercise, exercise.right, exercise.judged) == ("own.double", 1, 3)
    assert exercise.misconceptions == (("squares instead", 2),)
    assert (folder / "gradebook.db").stat() == before


def test_the_same_check_works_in_a_learners_notebook(tmp_path, monkeypatch):
    (tmp_path / "exercises.py").write_text(DESCRIPTION)
    monkeypatch.chdir(tmp_path)
    assert evaluate("own.double", lambda x: x + x).passed
    report = evaluate("own.double", lambda x: x**2, hidden=True)
    assert report.misconception == "squares instead"
    with pytest.raises(ValueError, match="own.double"):
        evaluate("own.triple", lambda x: 3 * x)


def test_while_judging_no_file_is_looked_for(tmp_path, monkeypatch):
    (tmp_path / "exercises.py").write_text("raise SystemExit('run by the judge')")
    monkeypatch.chdir(tmp_path)
    with only(""):
        assert custom_exercises() == {}
        with pytest.raises(ValueError, match="expected one of"):
            evaluate("own.double", lambda x: x)
    with only(DESCRIPTION):
        assert evaluate("own.double", lambda x: x + x).passed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "ZeroDivisionError"),
        (
            "from course_lib.checks import Exercise\na = Exercise('own.a', 1, abs)",
            "own.a has no cases",
        ),
        (DESCRIPTION + "once_more = Exercise('own.double', 2, abs)", "exists already"),
        (DESCRIPTION.replace("own.double", "attention.softmax"), "exists already"),
    ],
)
def test_a_description_that_does_not_hold_says_so(text, said):
    with pytest.raises(ValueError, match=said):
        described(text)


def test_the_courses_exercises_stay_the_courses(tmp_path):
    """A description may import them; they do not become the instructor's."""
    code = (
        "from course_lib.checks.custom import described\n"
        "from course_lib.checks import exercises\n"
        "text = 'from course_lib.exercises.probability.autocomplete_bigram import *'\n"
        "assert described(text) == {} and 'probability.autocomplete_bigram' in exercises()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
