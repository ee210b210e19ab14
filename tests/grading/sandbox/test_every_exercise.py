"""What is right in the notebook is right when it is graded: every reference, through the sandbox."""

import pytest

from course_lib.checks import evaluate
from course_lib.checks.catalogue import course_exercise
from course_lib.grading.sandbox.launcher import Sandbox, strongest_level
from course_lib.syllabus import exercise_ids


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(strongest_level()) as sandbox:
        yield sandbox


@pytest.mark.parametrize("exercise_id", list(exercise_ids()))
def test_the_reference_is_right(exercise_id, sandbox):
    reference = course_exercise(exercise_id).reference
    with sandbox.session() as session:
        session.seconds = 60.0
        source = f"from {reference.__module__} import {reference.__name__}"
        assert session.ask("run", source=source)["error"] is None
        solution = session.ask("lookup", name=reference.__name__)
        for hidden in (False, True):
            report = evaluate(exercise_id, solution, seed=int(hidden), hidden=hidden)
            assert report.passed, report.message
