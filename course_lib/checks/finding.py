"""Find an exercise: one of the course's, or a custom one of the instructor's."""

from __future__ import annotations

from course_lib.checks.catalogue import course_exercise
from course_lib.checks.custom import custom_exercises
from course_lib.checks.exercise import Exercise
from course_lib.syllabus import exercise_ids


def find_exercise(exercise_id: str) -> Exercise:
    """The exercise with this id.

    Raises:
        ValueError: no exercise has this id.
    """
    if exercise_id in exercise_ids():
        return course_exercise(exercise_id)
    custom = custom_exercises()
    if exercise_id not in custom:
        known = ", ".join([*exercise_ids(), *custom])
        raise ValueError(f"exercise_id: expected one of {known}; got {exercise_id!r}")
    return custom[exercise_id]
