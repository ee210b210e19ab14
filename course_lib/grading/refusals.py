"""What the gradebook says of a submission that could not be graded."""

from __future__ import annotations

from nbgrader.api import Gradebook


def take_grades_back(gradebook: Gradebook, assignment: str, student: str) -> None:
    """No grade of an earlier time stays; formgrader shows that somebody has to look."""
    gradebook.update_or_create_student(student)
    found = gradebook.update_or_create_submission(assignment, student)
    for grade in [grade for notebook in found.notebooks for grade in notebook.grades]:
        grade.auto_score, grade.needs_manual_grade = None, True
    gradebook.db.commit()
