"""From a solution to a report: try every case, and say what was seen."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from course_lib.checks.diagnosis import diagnose
from course_lib.checks.exercise import Exercise
from course_lib.checks.finding import find_exercise
from course_lib.checks.report import Report, in_words
from course_lib.checks.trial import Trial, in_usual_precision, try_out


def evaluate(
    exercise_id: str, solution: Any, *, seed: int | None = None, hidden: bool = False
) -> Report:
    """Try a solution on every case of an exercise and report.

    Never raises on a wrong, crashing or slow solution.

    Args:
        exercise_id: module and name, such as "attention.softmax".
        solution: the learner's function or class.
        seed: what the cases are drawn from; None is 0, or unknown to everyone when `hidden`.
        hidden: larger cases, and a report that shows nothing of them.

    Raises:
        ValueError: no exercise has this id.
    """
    exercise = find_exercise(exercise_id)
    if not callable(solution):
        return _not_callable(exercise, solution)
    if seed is None:
        seed = secrets.randbits(48) if hidden else 0
    trial = try_out(exercise, solution, seed, hidden)
    if not trial.wrong:
        headline = f"right on all {len(trial.cases)} cases"
        return Report(exercise.id, True, exercise.points, exercise.points, headline)
    return diagnose(trial, shown_case(trial))


def _not_callable(exercise: Exercise, solution: Any) -> Report:
    kind = "class" if isinstance(exercise.reference, type) else "function"
    explanation = f"`{exercise.name}` should be a {kind}; it is {in_words(solution)}."
    headline = f"this is not a {kind}"
    return Report(exercise.id, False, 0.0, exercise.points, headline, explanation=(explanation,))


def shown_case(trial: Trial) -> int:
    """The wrong case from which most can be learned: values before gradients, ordinary input before
    odd and empty input, the usual precision before others, little to read before much."""

    def effort(i: int) -> tuple[bool | int, ...]:
        case, got = trial.cases[i], trial.got[i]
        return (
            case.edge,
            case.gradients,
            trial.is_degenerate(i),
            not in_usual_precision(case),
            got.error is not None,
            _size(case.arguments.values()),
        )

    return min(trial.wrong, key=effort)


def _size(values: Any) -> int:
    """How much there is to read in a case's arguments."""
    if isinstance(values, Tensor):
        return values.numel()
    if isinstance(values, str | bytes):
        return len(values)
    if isinstance(values, Mapping):
        return sum(map(_size, values.keys())) + sum(map(_size, values.values()))
    if isinstance(values, int | float) and abs(values) > 100:
        return len(str(values))  # nobody works with it in the head
    try:
        return sum(map(_size, values))
    except TypeError:
        return len(vars(values)) if hasattr(values, "__dict__") else 1
