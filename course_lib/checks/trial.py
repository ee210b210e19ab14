"""A solution tried on every case of an exercise, beside what the reference makes of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor

from course_lib.checks.attempt import UNTRIED, Outcome, attempt, copied
from course_lib.checks.exercise import Case, Draw, Exercise, Misconception

# A loop in Python may take so many times what the reference takes, and that much at most.
_SLOWER, _LONGEST = 1000, 60.0

NO_ANSWER = object()


class TooLate(Exception):
    """No time is left to ask more."""


@dataclass(frozen=True)
class Trial:
    """Cases, and what the reference and the solution made of each of them.

    `until` is when the last question may be asked, in seconds of this thread's processor time.
    """

    exercise: Exercise
    seed: int
    hidden: bool
    solution: Callable[..., Any]
    cases: tuple[Case, ...]
    expected: tuple[Outcome, ...]
    got: tuple[Outcome, ...]
    until: float = math.inf

    @cached_property
    def wrong(self) -> list[int]:
        """The cases that are not right; not those that were not tried."""
        return [i for i, one in enumerate(self.got) if one.tried and not self.is_right(i, one)]

    @cached_property
    def right(self) -> list[int]:
        """The cases that are right."""
        return [i for i, one in enumerate(self.got) if one.tried and i not in self.wrong]

    def is_right(self, number: int, outcome: Outcome) -> bool:
        """Whether an outcome of a case is what the reference gives."""
        return outcome.right(self.expected[number], self.exercise.tolerance)

    def alike(self, one: Outcome, other: Outcome) -> bool:
        """Whether two outcomes look the same from outside."""
        return one.alike(other, self.exercise.tolerance)

    def theirs(self, misconception: Misconception, number: int) -> Outcome:
        """What a misconception makes of a case."""
        return _outcome_of(self.exercise, self.seed, self.hidden, misconception, number)

    def is_degenerate(self, number: int) -> bool:
        """Whether so little happens in a case that many mistakes look alike there."""
        given = self.cases[number].arguments.values()
        main = next((value for value in given if not isinstance(value, int | float)), None)
        return _is_empty(main) or _says_little(self.expected[number].value)

    def in_time(self) -> None:
        """Raise `TooLate` if it is too late to ask more."""
        if time.thread_time() > self.until:
            raise TooLate

    def ask(self, number: int, arguments: Mapping[str, Any]) -> Outcome:
        """Try the solution on a case with other arguments."""
        self.in_time()
        case = Case("", arguments, self.cases[number].observe)
        return attempt(case, self.solution, self.exercise.forbids, 2.0)

    def answer(self, number: int, arguments: Mapping[str, Any]) -> Any:
        """What the reference gives for a case with other arguments; `NO_ANSWER` for an error. Asked
        very often, so without what `attempt` puts around a stranger's code."""
        self.in_time()
        given = [copied(value) for value in arguments.values()]
        try:
            return self.cases[number].observe(self.exercise.reference, *given)
        except Exception:  # noqa: BLE001 - arguments that make no sense together
            return NO_ANSWER


def try_out(exercise: Exercise, solution: Callable[..., Any], seed: int, hidden: bool) -> Trial:
    """Try a solution on all cases that follow from a seed; after one that does not end, the rest
    are not tried."""
    cases, expected = _right_outcomes(exercise, seed, hidden)
    got: list[Outcome] = []
    for case, right in zip(cases, expected, strict=True):
        if got and (got[-1].overrun or not got[-1].tried):
            got.append(UNTRIED)
        else:
            got.append(attempt(case, solution, exercise.forbids, time_for(exercise, right)))
    return Trial(exercise, seed, hidden, solution, cases, expected, tuple(got))


def time_for(exercise: Exercise, right: Outcome) -> float:
    """Seconds of processor time that a solution may take for a case, by what the reference took on
    this machine."""
    return max(exercise.seconds, min(_SLOWER * right.seconds, _LONGEST))


@lru_cache(maxsize=24)
def _right_outcomes(
    exercise: Exercise, seed: int, hidden: bool
) -> tuple[tuple[Case, ...], tuple[Outcome, ...]]:
    """The cases that follow from a seed, and what the reference makes of them. Kept: many
    solutions meet the same cases, and every attempt works on copies."""
    if exercise.make_cases is None:
        raise ValueError(f"{exercise.id} has no cases")
    cases = tuple(exercise.make_cases(Draw(seed, hidden)))
    return cases, tuple(attempt(case, exercise.reference, seconds=None) for case in cases)


@lru_cache(maxsize=4096)
def _outcome_of(
    exercise: Exercise, seed: int, hidden: bool, misconception: Misconception, number: int
) -> Outcome:
    """Kept, as many solutions are compared with it."""
    cases, _ = _right_outcomes(exercise, seed, hidden)
    return attempt(cases[number], misconception.solution, seconds=None)


def _is_empty(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 0
    return isinstance(value, str | bytes | list | tuple | dict) and len(value) == 0


def _says_little(value: Any) -> bool:
    """Nothing, zero or NaN throughout."""
    if isinstance(value, Tensor):
        return not bool((value.nan_to_num() if value.is_floating_point() else value).any())
    if isinstance(value, Mapping):
        return all(map(_says_little, value.values()))
    if isinstance(value, tuple | list):
        return all(map(_says_little, value))
    return value is None or (isinstance(value, int | float | str | bytes) and not value)


def in_usual_precision(case: Case) -> bool:
    """Whether a case has only numbers of the usual precision."""
    tensors = [value for value in case.arguments.values() if isinstance(value, Tensor)]
    return all(t.dtype not in (torch.float64, torch.float16, torch.bfloat16) for t in tensors)
