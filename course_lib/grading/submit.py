"""Grade one's own notebook as an instructor would: nbgrader, hidden checks and a feedback page."""

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
from course_lib.grading.learner import chapters, progress_of
from course_lib.grading.release import nbgrader_config
from course_lib.grading.sandbox import Level, strongest_level
from course_lib.notebooks import NOTEBOOKS, notebook_path

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
    chapter = next(one for one in chapters() if one.name == name)
    exercise_of = {f"check-{t.exercise.replace('.', '-')}": t.exercise for t in chapter.tasks}
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


def counted(mark: Mark, references_seen: set[str]) -> Mark:
    """A mark in the learner's own count: an exercise whose reference was shown counts 0."""
    if mark.exercise not in references_seen:
        return mark
    return replace(mark, score=0.0, note=progress.REFERENCE_SEEN)


def submit(name: str, workspace: Path) -> tuple[list[Mark], Path]:
    """Grade the learner's notebook and write a feedback page beside the workspace's notebooks.

    Returns:
        The marks, and the path of the feedback page.

    Raises:
        ValueError: there is no such notebook in the workspace.
        GradingFailed: nbgrader could not grade it.
    """
    path = notebook_path(name, workspace)
    name = path.stem
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        submitted = root / "submitted" / _LEARNER / name / path.name
        submitted.parent.mkdir(parents=True)
        shutil.copy(path, submitted)
        api = course_api(root, level=strongest_level())  # the learner's own code, on their machine
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # nbgrader's own way with its database
            for result in (
                api.generate_assignment(name),
                api.autograde(name, _LEARNER),
                api.generate_feedback(name, _LEARNER),
            ):
                if not result["success"]:
                    raise GradingFailed(
                        "\n".join(filter(None, (result.get("log"), result.get("error"))))
                    )
        page = workspace / "feedback" / f"{name}.html"
        page.parent.mkdir(exist_ok=True)
        shutil.copy(root / "feedback" / _LEARNER / name / f"{name}.html", page)
        seen = progress.references_seen(progress_of(workspace))
        return [counted(mark, seen) for mark in marks(api, name, _LEARNER)], page
