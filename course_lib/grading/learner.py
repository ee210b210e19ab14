"""How far a learner is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from course_lib.checks import exercises, progress
from course_lib.checks.evaluation import NOTEBOOK_OF_MODULE


@dataclass(frozen=True)
class Standing:
    """One exercise: is it right (at the last check), after how many checks, what was said last."""

    notebook: str
    exercise: str
    passed: bool
    attempts: int
    headline: str


def standing(workspace: Path) -> Iterator[Standing]:
    """Where the learner stands with every exercise of the course."""
    checks = list(progress.read(workspace / ".course" / "progress.jsonl"))
    for exercise in exercises().values():
        mine = [line for line in checks if line["exercise"] == exercise.id]
        yield Standing(
            NOTEBOOK_OF_MODULE[exercise.module],
            exercise.id,
            bool(mine) and mine[-1]["passed"],
            len(mine),
            mine[-1]["headline"] if mine else "",
        )
