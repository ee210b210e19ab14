"""One notebook, graded as an instructor would: nbgrader, hidden checks and a feedback page."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

from course_lib.checks import progress
from course_lib.grading.intake import Refused, read_submission
from course_lib.grading.sandbox.launcher import strongest_level
from course_lib.grading.sandbox.policy import Level
from course_lib.notebooks import NOTEBOOKS, check_id
from course_lib.outline import outlines
from course_lib.release import nbgrader_config

_LEARNER = "learner"


class GradingFailed(Exception):
    """nbgrader could not grade a submission; the message holds its log."""


@dataclass(frozen=True)
class Mark:
    """The marks for one exercise; a score of None is left to a person."""

    exercise: str
    score: float | None
    max_score: float
    note: str = ""


def course_api(root: Path, level: Level, source: Path = NOTEBOOKS) -> NbGraderAPI:
    """nbgrader for a course whose gradebook and submissions live in `root`."""
    config = Config(nbgrader_config())
    config.Judge.level = level
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.source_directory = str(source)
    return NbGraderAPI(CourseDirectory(config=config), config=config)


def marks(api: NbGraderAPI, name: str, student: str) -> list[Mark]:
    """The marks of one student's submission, in the order of the notebook; what a person marks
    comes last, and so do exercises judged by plain asserts."""
    outline = next(one for one in outlines() if one.name == name)
    exercise_of = {check_id(t.exercise): t.exercise for t in outline.tasks}
    order = list(exercise_of)
    with api.gradebook as gradebook:
        grades = gradebook.find_submission(name, student).notebooks[0].grades
        judged = [grade for grade in grades if grade.name in exercise_of]
        others = [grade for grade in grades if grade.name not in exercise_of]
        return [
            Mark(exercise_of[grade.name], grade.score or 0.0, grade.max_score)
            for grade in sorted(judged, key=lambda grade: order.index(grade.name))
        ] + [
            Mark(grade.name, None if grade.needs_manual_grade else grade.score, grade.max_score)
            for grade in others
        ]


def counted(marks: list[Mark], references_seen: set[str]) -> list[Mark]:
    """Marks in the learner's own count: an exercise whose reference was shown counts 0."""
    return [
        replace(mark, score=0.0, note=progress.REFERENCE_SEEN)
        if mark.exercise in references_seen
        else mark
        for mark in marks
    ]


def grade_one(notebook: Path, page: Path) -> list[Mark]:
    """Grade a copy of one of the course's notebooks, and write its feedback to `page`.

    Raises:
        GradingFailed: nbgrader could not grade it.
    """
    name = notebook.stem
    try:
        read_submission(notebook)
    except Refused as refused:
        raise GradingFailed(str(refused)) from None
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        submitted = root / "submitted" / _LEARNER / name / notebook.name
        submitted.parent.mkdir(parents=True)
        shutil.copy(notebook, submitted)
        api = course_api(root, level=strongest_level())  # the learner's own code, on their machine
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # nbgrader's own way with its database
            for result in (
                api.generate_assignment(name),
                api.autograde(name, _LEARNER),
                api.generate_feedback(name, _LEARNER),
            ):
                if not result["success"]:
                    said = "\n".join(filter(None, (result.get("log"), result.get("error"))))
                    raise GradingFailed(f"{name} could not be graded. nbgrader said:\n{said}")
        page.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "feedback" / _LEARNER / name / f"{name}.html", page)
        return marks(api, name, _LEARNER)
