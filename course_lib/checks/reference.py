"""Look at a reference, and give up the exercise's points in one's own count."""

from __future__ import annotations

import inspect
import os
from textwrap import dedent

from course_lib.checks import progress
from course_lib.checks.finding import find_exercise


def show_reference(exercise_id: str, *, give_up_points: bool = False) -> None:
    """Print the source of an exercise's reference.

    The first call says what it costs: the exercise counts 0 points in your own count from then on.

    Args:
        exercise_id: module and name, such as "attention.softmax".
        give_up_points: yes, show it.

    Raises:
        ValueError: no exercise has this id.
    """
    if os.environ.get("NBGRADER_EXECUTION"):  # also set in the sandbox
        print("show_reference shows nothing while a notebook is graded.")
        return
    exercise = find_exercise(exercise_id)
    path = progress.progress_file()
    seen = path is not None and exercise_id in progress.references_seen(path)
    if not (give_up_points or seen):
        points = "1 point" if exercise.points == 1 else f"{exercise.points} points"
        print(
            f"With its reference shown, {exercise_id} counts 0 instead of {points} in your own "
            "count, for good. The three hints above the exercise cost nothing.\n"
            f'To see it: show_reference("{exercise_id}", give_up_points=True)'
        )
        return
    progress.record_reference(exercise_id)
    print(dedent(inspect.getsource(inspect.unwrap(exercise.reference))))
