"""How far a learner is.

All of it is read from files, without torch: it also serves the course's page in JupyterLab.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from course_lib.checks import progress
from course_lib.notebooks import NOTEBOOKS, notebook_names

CHECK = re.compile(r"""^check\(\s*["']([^"']+)["']""", re.MULTILINE)


@dataclass(frozen=True)
class Task:
    """An exercise as its notebook has it: its id, and the points of its check cell."""

    exercise: str
    points: float


@dataclass(frozen=True)
class Chapter:
    """A notebook of the course: what it asks, how long it takes to work through, its exercises."""

    name: str
    title: str
    question: str
    minutes: int | None
    tasks: tuple[Task, ...]


def chapters(source: Path = NOTEBOOKS) -> list[Chapter]:
    """The notebooks of the course, in order, as the instructor's folder has them."""
    paths = [source / name / f"{name}.ipynb" for name in notebook_names(source)]
    return [_chapter(path, path.stat().st_mtime_ns) for path in paths]


@lru_cache(maxsize=64)
def _chapter(path: Path, changed: int) -> Chapter:
    """A notebook, as of its last change."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    opening = "".join(cells[0]["source"]) if cells else ""
    title = re.search(r"^# (.+)$", opening, re.MULTILINE)
    question = re.search(r"^\*\*(.+\?)\*\*$", opening, re.MULTILINE)
    minutes = re.search(r"takes\*\* about (\d+) minutes", opening)
    return Chapter(
        path.stem,
        title[1] if title else path.stem,
        question[1] if question else "",
        int(minutes[1]) if minutes else None,
        tuple(_tasks(cells)),
    )


def _tasks(cells: list[dict]) -> Iterator[Task]:
    """The exercises that are judged by `check`, from the check cells."""
    for cell in cells:
        marks = cell["metadata"].get("nbgrader", {})
        found = CHECK.search("".join(cell["source"]))
        if marks.get("grade") and not marks.get("solution") and found:
            yield Task(found[1], marks["points"])


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


def progress_of(workspace: Path) -> Path:
    """The progress file of a workspace."""
    return workspace / ".course" / "progress.jsonl"


def standing(workspace: Path, source: Path = NOTEBOOKS) -> Iterator[Standing]:
    """Where the learner stands with every exercise of the course."""
    path = progress_of(workspace)
    checks = list(progress.read(path))
    seen = progress.references_seen(path)
    for chapter in chapters(source):
        for task in chapter.tasks:
            mine = [line for line in checks if line["exercise"] == task.exercise]
            met = [line["misconception"] for line in mine if line.get("misconception")]
            yield Standing(
                chapter.name,
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
    exercises = [line["exercise"] for line in progress.read(progress_of(workspace))]
    home = {task.exercise: c.name for c in chapters(source) for task in c.tasks}
    return next((home[one] for one in reversed(exercises) if one in home), None)


def next_step(workspace: Path, source: Path = NOTEBOOKS) -> Standing | None:
    """The first exercise that is not right, from the notebook worked in last on, then from the
    start; None when all are right."""
    standings = list(standing(workspace, source))
    last = last_notebook(workspace, source) or ""
    open_ones = [one for one in standings if not one.passed]
    return next((one for one in open_ones if one.notebook >= last), next(iter(open_ones), None))
