"""Every exercise keeps its promises: the checks accept what is right and name what is wrong.

A test is one exercise, so that collecting them imports none; it lists all that fails in it.
"""

import os

import pytest

from course_lib.checks import evaluate
from course_lib.checks.catalogue import course_exercise
from course_lib.checks.relations import first_relation
from course_lib.checks.trial import try_out
from course_lib.syllabus import exercise_ids

# Every other seed draws the larger, hidden cases. `make try` and `make draws` try more.
N_DRAWS = int(os.environ.get("COURSE_DRAWS", "1"))


def draws(n_draws: int) -> list[tuple[int, bool]]:
    return [(seed, seed % 2 == 1) for seed in range(n_draws)]


# What people write may warn; that is theirs to read, and no error.
pytestmark = pytest.mark.filterwarnings("default")
every_exercise = pytest.mark.parametrize("exercise", list(exercise_ids()), indirect=True)


@pytest.fixture
def exercise(request):
    return course_exercise(request.param)


@every_exercise
def test_has_what_the_course_promises(exercise):
    assert len(exercise.misconceptions) >= 4
    assert len(exercise.alternatives) >= 2
    assert len({m.name for m in exercise.misconceptions}) == len(exercise.misconceptions)
    assert exercise.points > 0
    assert exercise.reference.__name__ == exercise.name


@every_exercise
def test_misconceptions_are_rejected_and_named(exercise):
    failures = []
    for misconception in exercise.misconceptions:
        for seed, hidden in draws(N_DRAWS):
            report = evaluate(exercise.id, misconception.solution, seed=seed, hidden=hidden)
            named = report.misconception == misconception.name
            if report.passed or report.points or not named or misconception.says not in str(report):
                failures.append((misconception.name, seed, hidden, report.headline))
    assert not failures


@every_exercise
def test_right_solutions_are_accepted(exercise):
    failures = []
    for solution in (exercise.reference, *exercise.alternatives):
        for seed, hidden in draws(max(N_DRAWS, 2)):
            report = evaluate(exercise.id, solution, seed=seed, hidden=hidden)
            if not report.passed or report.points != report.max_points:
                failures.append((solution.__name__, seed, hidden, report.message))
    assert not failures


@pytest.mark.slow
@every_exercise
def test_no_misconception_is_called_by_anothers_name(exercise):
    """One is left out at a time; what is said of it then must hold without its name."""
    failures, known = [], list(exercise.misconceptions)
    try:
        for left_out in known[:: max(len(known) // 4, 1)]:
            exercise.misconceptions[:] = [one for one in known if one is not left_out]
            report = evaluate(exercise.id, left_out.solution)
            if report.passed or report.misconception:
                failures.append((left_out.name, report.headline))
            first_relation(
                try_out(exercise, left_out.solution, 0, False)
            )  # and stumbles over nothing
    finally:
        exercise.misconceptions[:] = known
    assert not failures


@every_exercise
def test_an_empty_body_and_a_stub_get_their_own_message(exercise):
    def stub(*_, **__):
        raise NotImplementedError

    stub.__name__ = exercise.name
    assert "not written yet" in evaluate(exercise.id, stub).message

    nothing = evaluate(exercise.id, lambda *_, **__: None)
    assert not nothing.passed


@every_exercise
def test_a_hidden_report_shows_no_case(exercise):
    report = evaluate(exercise.id, lambda *_, **__: 0, hidden=True)
    assert not report.passed
    assert report.evidence == ()
