"""Every exercise keeps its promises: the checks accept what is right and name what is wrong."""

import os

import pytest

from course_lib.checks import evaluate, exercises

# Every other seed draws the larger, hidden cases. Before a new exercise goes in, try more.
DRAWS = [(seed, seed % 2 == 1) for seed in range(int(os.environ.get("COURSE_DRAWS", "4")))]
EXERCISES = list(exercises().values())
IDS = [exercise.id for exercise in EXERCISES]
MISCONCEPTIONS = [(e, m) for e in EXERCISES for m in e.misconceptions]
RIGHT = [(e, a) for e in EXERCISES for a in (e.reference, *e.alternatives)]


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_has_what_the_course_promises(exercise):
    assert len(exercise.misconceptions) >= 4
    assert len(exercise.alternatives) >= 2
    assert len({m.name for m in exercise.misconceptions}) == len(exercise.misconceptions)
    assert exercise.points > 0
    assert exercise.reference.__name__ == exercise.name


@pytest.mark.parametrize(
    ("exercise", "misconception"),
    MISCONCEPTIONS,
    ids=[f"{e.id}-{m.name.replace(' ', '_')}" for e, m in MISCONCEPTIONS],
)
def test_misconception_is_rejected_and_named(exercise, misconception):
    for seed, hidden in DRAWS:
        report = evaluate(exercise.id, misconception.solution, seed=seed, hidden=hidden)
        assert not report.passed
        assert report.points == 0
        assert report.misconception == misconception.name
        assert misconception.says in report.message


@pytest.mark.parametrize(
    ("exercise", "solution"), RIGHT, ids=[f"{e.id}-{a.__name__}" for e, a in RIGHT]
)
def test_right_solutions_are_accepted(exercise, solution):
    for seed, hidden in DRAWS:
        report = evaluate(exercise.id, solution, seed=seed, hidden=hidden)
        assert report.passed, report.message
        assert report.points == report.max_points


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_an_empty_body_and_a_stub_get_their_own_message(exercise):
    def stub(*_, **__):
        raise NotImplementedError

    stub.__name__ = exercise.name
    assert "not written yet" in evaluate(exercise.id, stub).message

    nothing = evaluate(exercise.id, lambda *_, **__: None)
    assert not nothing.passed


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_a_hidden_report_shows_no_case(exercise):
    report = evaluate(exercise.id, lambda *_, **__: 0, hidden=True)
    assert not report.passed
    assert report.evidence == ()
