"""The cases that are tried in one way, and how many of them are no coincidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from course_lib.checks.compare import difference
from course_lib.checks.exercise import call
from course_lib.checks.trial import Trial

ORDINALS = ("first", "second", "third", "fourth")
_ENOUGH_CASES, _ENOUGH_NUMBERS = 3, 12
_MOST = 0.7  # of the wrong cases, that one sentence has to explain


@dataclass(frozen=True)
class Group:
    """The cases of a trial that are tried in one way, inside the edges.

    `telling` are the wrong ones with a result, in which enough happens to tell.
    """

    trial: Trial
    numbers: tuple[int, ...]
    part: int | str | None = None  # of a pair or a dict, looked at by itself

    @cached_property
    def subject(self) -> str:
        """What is looked at, in words."""
        if self.trial.cases[self.numbers[0]].gradients:
            return "The gradient"
        if self.part is None:
            return "Your result"
        if isinstance(self.part, str):
            return f"`{self.part}`"
        return f"The {ORDINALS[self.part]} part of your result"

    def pick(self, value: Any) -> Any:
        """The part of a result that is looked at."""
        return value if self.part is None else value[self.part]

    def has_part(self, value: Any) -> bool:
        """Whether a result has the part that is looked at."""
        return self.part is None or self.part in parts(value)

    @cached_property
    def telling(self) -> list[int]:
        """The wrong cases with a result, in which enough happens to tell."""
        wrong = [i for i in self.numbers if i in self.trial.wrong and self._tells(i)]
        return [i for i in wrong if self.part is None or not self.near(*self.pair(i))]

    def _tells(self, i: int) -> bool:
        got, expected = self.trial.got[i], self.trial.expected[i]
        facts = isinstance(expected.value, str) and self.trial.cases[i].observe is not call
        return not (got.error or got.changed or facts or self.trial.is_degenerate(i))

    @cached_property
    def right(self) -> list[int]:
        """The right cases in which enough happens to contradict."""
        return [i for i in self.numbers if i in self.trial.right and self._tells(i)]

    @cached_property
    def names(self) -> list[str]:
        """The arguments that these cases have."""
        given = (self.trial.cases[i].arguments for i in self.numbers)
        return list(dict.fromkeys(name for arguments in given for name in arguments))

    def pair(self, i: int) -> tuple[Any, Any]:
        """(expected, got) of a case."""
        return self.pick(self.trial.expected[i].value), self.pick(self.trial.got[i].value)

    def pairs(self) -> list[tuple[Any, Any]]:
        """(expected, got) of the telling cases."""
        return [self.pair(i) for i in self.telling]

    def given(self, i: int, name: str) -> Any:
        """An argument of a case, None if it has none of this name."""
        return self.trial.cases[i].arguments.get(name)

    def near(self, one: Any, other: Any) -> bool:
        """Whether two results are equal within the exercise's tolerance."""
        return difference(one, other, self.trial.exercise.tolerance) is None

    def explained(self, predict: Callable[[int], Any]) -> str | None:
        """In how many wrong cases a prediction of the solution's result holds, in words; None if
        they are too few, or a right case contradicts it.

        `predict(i)` returns the result that is predicted, or None where nothing is.
        """
        return self.in_words(self.held(predict, hopeless=True), predict)

    def held(self, predict: Callable[[int], Any], *, hopeless: bool = False) -> list[int]:
        """The telling cases in which a prediction holds; with `hopeless`, none as soon as they
        can be too few only."""
        held: list[int] = []
        for n, i in enumerate(self.telling, 1):
            if self._holds(i, predict):
                held.append(i)
            elif hopeless and n - len(held) > (1 - _MOST) * len(self.telling):
                return []
        return held

    def in_words(self, held: list[int], predict: Callable[[int], Any]) -> str | None:
        """What `explained` says of the cases in which a prediction holds."""
        if len(held) < _MOST * len(self.telling) or not self.is_enough(held):
            return None
        for i in self.right:
            predicted = predict(i)
            if predicted is not None and not self.near(predicted, self.pair(i)[1]):
                return None
        return self.counted(len(held))

    def _holds(self, i: int, predict: Callable[[int], Any]) -> bool:
        predicted = predict(i)
        return predicted is not None and self.near(predicted, self.pair(i)[1])

    def counted(self, n: int) -> str:
        """In how many of the wrong cases something was seen."""
        whole = n == len(self.telling) == len(self.trial.wrong)
        return "in every wrong case" if whole else f"in {n} of {len(self.trial.wrong)} wrong cases"

    def is_enough(self, numbers: list[int]) -> bool:
        """Whether these cases together are no coincidence."""
        if len(numbers) >= _ENOUGH_CASES:
            return True
        counted = sum(count(self.pair(i)[0]) for i in numbers)
        return len(numbers) >= 2 and counted >= _ENOUGH_NUMBERS


def groups(trial: Trial) -> Iterator[Group]:
    """The ways in which a trial's cases are tried: values before gradients, large before small."""
    ways: dict[Callable[..., Any], list[int]] = {}
    for i, case in enumerate(trial.cases):
        if not case.edge and trial.got[i].tried:
            ways.setdefault(case.observe, []).append(i)
    for numbers in sorted(ways.values(), key=lambda n: (trial.cases[n[0]].gradients, -len(n))):
        yield Group(trial, tuple(numbers))
        for part in _common_parts(trial, numbers):
            yield Group(trial, tuple(numbers), part)


def parts(value: Any) -> dict[Any, Any]:
    """The parts of a pair by their places, or of a dict by its names; none of anything else."""
    if isinstance(value, tuple) and len(value) <= 4:
        return dict(enumerate(value))
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return value
    return {}


def _common_parts(trial: Trial, numbers: list[int]) -> list[Any]:
    """The parts that all results have; none where one has others, or they are many."""
    results = [o.value for i in numbers for o in (trial.expected[i], trial.got[i])]
    first = parts(results[0])
    alike = all(
        type(value) is type(results[0]) and set(parts(value)) == set(first) for value in results
    )
    return list(first) if alike and len(first) <= 8 else []


def count(value: Any) -> int:
    """How many numbers there are in a result."""
    if isinstance(value, Tensor):
        return value.numel() if value.is_floating_point() else value.numel() // 4
    if isinstance(value, str):
        return len(value) // 4
    if isinstance(value, Mapping):
        return sum(map(count, value.values()))
    return sum(map(count, value)) if isinstance(value, list | tuple) else 1


def as_tensors(expected: Any, got: Any) -> tuple[Tensor, Tensor] | None:
    """Two results of numbers as tensors in double precision; None if they are something else."""
    kinds = (Tensor, float, int)
    if not isinstance(expected, kinds) or not isinstance(got, kinds):
        return None
    one, other = torch.as_tensor(expected), torch.as_tensor(got)
    if one.shape != other.shape or one.dtype == torch.bool or one.numel() == 0:
        return None
    return one.detach().double(), other.detach().double()
