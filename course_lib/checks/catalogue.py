"""The course's exercises by their ids: an id is the path of a file below `course_lib.exercises`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from course_lib.checks.exercise import Exercise
from course_lib.syllabus import exercise_ids


def course_exercise(exercise_id: str) -> Exercise:
    """One of the course's exercises; only its own file is imported."""
    module = importlib.import_module(f"course_lib.exercises.{exercise_id}")
    return getattr(module, exercise_id.partition(".")[2])


def exercises() -> Mapping[str, Exercise]:
    """Every exercise of the course by its id, in the order of the notebooks."""
    return {exercise_id: course_exercise(exercise_id) for exercise_id in exercise_ids()}
