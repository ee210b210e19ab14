"""The one list of the course agrees with what is there."""

import re
from pathlib import Path

import nbformat
import pytest

import course_lib
from course_lib.checks import exercises
from course_lib.notebooks import answer_id, notebook_names, notebook_path
from course_lib.syllabus import CHAPTERS, chapter_called, chapter_of, exercise_ids

FILES = Path(course_lib.__file__).parent / "exercises"


def test_every_notebook_is_a_chapter_in_order():
    assert notebook_names() == [chapter.notebook for chapter in CHAPTERS]


def test_the_id_is_the_path():
    named = {f"{path.parent.name}.{path.stem}" for path in FILES.glob("*/*.py")}
    shared = {one for one in named if one.endswith((".__init__", ".shared"))}
    assert named - shared == set(exercise_ids())
    assert all(exercise.id == exercise_id for exercise_id, exercise in exercises().items())


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.notebook)
def test_a_chapter_says_what_its_notebook_says(chapter):
    cells = nbformat.read(notebook_path(chapter.notebook), as_version=4).cells
    opening = cells[0].source
    assert re.match(rf"# {re.escape(chapter.title)}\b", opening)
    assert f"about {chapter.minutes} minutes" in opening
    marks = [cell.metadata.get("nbgrader", {}) for cell in cells]
    answers = [m.grade_id for m in marks if m.get("solution") and not m.get("grade")]
    assert answers == [answer_id(exercise_id) for exercise_id in chapter.exercise_ids]


def test_an_exercise_and_a_notebook_are_found_by_name():
    assert chapter_of("attention.softmax") is chapter_called("03_attention")
    assert chapter_called("12_mine") is None
    with pytest.raises(ValueError, match="exercise_id: expected one of .*; got 'attention.soft'"):
        chapter_of("attention.soft")
