"""How far a learner is.

All of it is read from files, without torch: it also serves the course's page in JupyterLab.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from course_lib.checks import progress
from course_lib.notebooks import NOTEBOOKS
from course_lib.outline import Outline, outlines


@dataclass(frozen=True)
class Standing:
    """One exercise: is it right (at the last check), after how many checks, what was said last,
    and which mistakes were met on the way. With its reference seen it counts 0 points."""

    notebook: str
    exercise: str
    passed: bool
    attempts: int
    headline: str
    max_points: float
    misconceptions: tuple[str, ...] = ()
    reference_seen: bool = False

    @property
    def points(self) -> float:
        """What it counts at present."""
        return self.max_points if self.passed and not self.reference_seen else 0.0

    @property
    def state(self) -> str:
        """In a word or two."""
        right = "right" if self.passed else "open" if self.attempts else "new"
        return f"{right}, reference seen" if self.reference_seen else right


def standing(workspace: Path, source: Path = NOTEBOOKS) -> Iterator[Standing]:
    """Where the learner stands with every exercise of the course."""
    return standing_by(progress.progress_of(workspace), outlines(source))


def standing_by(file: Path, outlines: Iterable[Outline]) -> Iterator[Standing]:
    """What a progress file says of every exercise of some notebooks."""
    checks = list(progress.read(file))
    seen = progress.references_seen(file)
    for outline in outlines:
        for task in outline.tasks:
            mine = [line for line in checks if line["exercise"] == task.exercise]
            met = [line["misconception"] for line in mine if line.get("misconception")]
            yield Standing(
                outline.name,
                task.exercise,
                bool(mine) and bool(mine[-1]["passed"]),
                len(mine),
                str(mine[-1].get("headline", "")) if mine else "",
                task.points,
                tuple(dict.fromkeys(met)),
                task.exercise in seen,
            )


def last_notebook(workspace: Path, source: Path = NOTEBOOKS) -> str | None:
    """The notebook in which a check ran last."""
    exercises = [line["exercise"] for line in progress.read(progress.progress_of(workspace))]
    home = {task.exercise: c.name for c in outlines(source) for task in c.tasks}
    return next((home[one] for one in reversed(exercises) if one in home), None)


def next_step(workspace: Path, source: Path = NOTEBOOKS) -> Standing | None:
    """The first exercise that is not right, from the notebook worked in last on, then from the
    start; None when all are right."""
    standings = list(standing(workspace, source))
    last = last_notebook(workspace, source) or ""
    open_ones = [one for one in standings if not one.passed]
    return next((one for one in open_ones if one.notebook >= last), next(iter(open_ones), None))
