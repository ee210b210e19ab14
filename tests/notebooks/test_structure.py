"""Every notebook keeps to the layout in CONTRIBUTING.md, and says what the package does."""

import ast
import inspect
import re
from textwrap import dedent

import nbformat
import pytest

from course_lib.checks import exercises
from course_lib.notebooks import ROOT, notebook_names, notebook_path
from course_lib.syllabus import CHAPTERS, chapter_of

NAMES = notebook_names()
EXERCISES = list(exercises().values())


@pytest.fixture(scope="module")
def notebooks():
    return {name: nbformat.read(notebook_path(name), as_version=4) for name in NAMES}


def cell_of(notebook, grade_id):
    (index,) = [
        i
        for i, cell in enumerate(notebook.cells)
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id
    ]
    return index


def code_of(source: str) -> str:
    """The code without comments and docstrings, in a form that can be compared."""
    (definition,) = ast.parse(dedent(source)).body
    for node in ast.walk(definition):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(definition)


def read_by_a_person(cell) -> bool:
    """A cell that a learner writes and a person marks, as in the project."""
    marks = cell.metadata.get("nbgrader", {})
    return bool(marks.get("grade") and marks.get("solution"))


def test_every_notebook_has_exercises():
    assert NAMES == [chapter.notebook for chapter in CHAPTERS]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_solution_cell_is_the_reference(exercise, notebooks):
    notebook = notebooks[chapter_of(exercise.id).notebook]
    source = notebook.cells[cell_of(notebook, exercise.grade_id)].source
    assert code_of(source) == code_of(inspect.getsource(inspect.unwrap(exercise.reference)))


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_exercise_layout(exercise, notebooks):
    notebook = notebooks[chapter_of(exercise.id).notebook]
    index = cell_of(notebook, exercise.grade_id)
    text, solution, check = notebook.cells[index - 1 : index + 2]
    assert text.cell_type == "markdown"
    assert exercise.name in text.source
    points = "1 point" if exercise.points == 1 else f"{exercise.points} points"
    assert f"({points})" in text.source
    for number in (1, 2, 3):
        assert text.source.count(f"<summary>Hint {number}:") == 1
    assert text.source.count("<details>") == text.source.count("</details>") == 3
    for forbidden in exercise.forbids:
        if "::" in forbidden:  # an operator, which is what the named functions run
            continue
        assert forbidden.split(".")[-1] in text.source, f"say that {forbidden} is not to be used"

    assert solution.metadata.nbgrader.solution and not solution.metadata.nbgrader.grade
    assert "### BEGIN SOLUTION" in solution.source and "### END SOLUTION" in solution.source

    assert check.metadata.nbgrader.grade and check.metadata.nbgrader.locked
    assert check.metadata.nbgrader.grade_id == f"check-{exercise.grade_id}"
    assert check.metadata.nbgrader.points == exercise.points
    assert check.source.splitlines() == [
        f'check("{exercise.id}", {exercise.name})',
        "### BEGIN HIDDEN TESTS",
        f'check("{exercise.id}", {exercise.name}, hidden=True)',
        "### END HIDDEN TESTS",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_no_other_graded_cells(name, notebooks):
    graded = {
        cell.metadata.nbgrader.grade_id
        for cell in notebooks[name].cells
        if "nbgrader" in cell.metadata and not read_by_a_person(cell)
    }
    mine = [e for e in EXERCISES if chapter_of(e.id).notebook == name]
    assert graded == {g for e in mine for g in (e.grade_id, f"check-{e.grade_id}")}


@pytest.mark.parametrize("name", NAMES)
def test_cells_read_by_a_person_stand_below_their_rubric(name, notebooks):
    cells = notebooks[name].cells
    for before, cell in zip(cells, cells[1:]):
        if not read_by_a_person(cell):
            continue
        points = cell.metadata.nbgrader.points
        assert not cell.metadata.nbgrader.locked
        assert before.cell_type == "markdown"
        assert f"({points} points, read by a person)" in before.source
        assert points == 2 * before.source.count("\n| **")  # a line of the table gives up to 2
        assert "BEGIN SOLUTION" in cell.source and "END SOLUTION" in cell.source


@pytest.mark.parametrize("name", NAMES)
def test_is_committed_executed_and_without_noise(name, notebooks):
    notebook = notebooks[name]
    nbformat.validate(notebook)
    count = 0
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"nbgrader", "tags", "jupyter"}
        if cell.cell_type != "code":
            continue
        count += 1
        assert cell.execution_count == count, f"not executed in order: {cell.source[:60]}"
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", f"stderr below {cell.source[:60]}"
            assert str(ROOT) not in str(output)


@pytest.mark.parametrize("name", NAMES)
def test_opens_and_closes_as_every_notebook_does(name, notebooks):
    text = [cell.source for cell in notebooks[name].cells if cell.cell_type == "markdown"]
    opening, closing = "\n".join(text[:3]), "\n".join(text[-4:])
    assert re.match(r"# \S", text[0])
    assert re.search(r"\d+ minutes", opening), "say how many minutes it takes"
    assert re.search(r"under (half a minute|\d+ seconds)", opening), "say how long it runs"
    assert "# Summary" in closing and "Where to read on" in closing
    questions = re.findall(
        r"(?m)^(?:<details><summary>)?(\d)\. ", closing[closing.index("# Test yourself") :]
    )
    assert "".join(questions) == "12345", "five self-test questions"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_as_course_new_began_it(name, notebooks):
    waits = r"(?m)^(- |> \*\*[^*]+\*\* |<details><summary>\d\. )?\.\.\.(</summary>)?$"
    for cell in notebooks[name].cells:
        assert cell.cell_type == "code" or not re.search(waits, cell.source), cell.source
