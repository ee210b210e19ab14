"""The attack corpus through `course grade` and `nbgrader autograde`: the marks they must get.

Here only what does something to the notebook itself, which is where the two could differ;
`COURSE_ATTACKS=all` tries everything, but for what uses the course's reference: it refuses in the
course's own notebooks, of which the corpus's small assignment is none.
"""

import os
import subprocess
import sys

from nbgrader.api import Gradebook

from course_lib.grading import jobs
from course_lib.grading.attacks.corpus import CORPUS
from course_lib.grading.grades import Course

TRIED = {
    f"s{number:03}": one
    for number, one in enumerate(CORPUS)
    if one.change
    or (os.environ.get("COURSE_ATTACKS") == "all" and "the course's reference" not in one.name)
}
MUST = {student: one.marks for student, one in TRIED.items()}


def marks(folder):
    """Each student's marks as they stand in the gradebook."""
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        return {
            s.student.id: {grade.name: grade.auto_score for grade in s.notebooks[0].grades}
            for s in gradebook.assignment_submissions("small")
        }


# What is endless is not waited for longer than needed.
QUICKLY = """
from functools import partial
from course_lib.grading import jobs
from course_lib.grading.attacks.harness import CLOCK
jobs.judge = partial(jobs.judge, clock=CLOCK)
"""


def test_both_commands_give_the_marks_they_must(course_folder, hand_in, here, monkeypatch):
    for student, one in TRIED.items():
        hand_in(student, one)
    with open(course_folder / "nbgrader_config.py", "a") as config:
        config.write(QUICKLY)
    monkeypatch.setattr(jobs, "judge", jobs.judge)  # afterwards it is what it was
    assert {one.state for one in Course(course_folder).grade("small", here)} == {"graded"}
    assert marks(course_folder) == MUST
    command = [sys.executable, "-m", "nbgrader", "autograde", "small", "--force"]
    done = subprocess.run(command, cwd=course_folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert marks(course_folder) == MUST
