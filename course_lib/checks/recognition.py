"""Recognise a misconception: it alone gives the solution's outcome on every case."""

from __future__ import annotations

from course_lib.checks.exercise import Misconception
from course_lib.checks.trial import Trial


def recognised(trial: Trial) -> Misconception | None:
    """The misconception that explains a solution, if exactly one does.

    It explains if its outcome is the solution's on every case inside the edges, errors with the
    same words, and where only edges are wrong, on every case. Two that both do are told apart by
    no case, and neither is named.
    """
    if any(not one.tried or one.overrun for one in trial.got):
        return None
    cases = [i for i, case in enumerate(trial.cases) if not case.edge]
    if all(i in trial.right for i in cases):
        cases = [*range(len(trial.cases))]
    explaining = [
        one
        for one in trial.exercise.misconceptions
        if all(trial.alike(trial.got[i], trial.theirs(one, i)) for i in cases)
    ]
    return explaining[0] if len(explaining) == 1 else None
