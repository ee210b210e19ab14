"""The notebooks of the course, as they say themselves: titles, questions, minutes, exercises.

Read without nbformat and torch: this also serves the course's page in JupyterLab.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from course_lib.notebooks import NOTEBOOKS, notebook_names

CHECK = re.compile(r"""^check\(\s*["']([^"']+)["']""", re.MULTILINE)


@dataclass(frozen=True)
class Task:
    """An exercise as its notebook has it: its id, and the points of its check cell."""

    exercise: str
    points: float


@dataclass(frozen=True)
class Outline:
    """A notebook: what it asks, how long it takes to work through, its exercises."""

    name: str
    title: str
    question: str
    minutes: int | None
    tasks: tuple[Task, ...]


def outlines(source: Path = NOTEBOOKS) -> list[Outline]:
    """The notebooks of the course, in order, as the instructor's folder has them."""
    paths = [source / name / f"{name}.ipynb" for name in notebook_names(source)]
    return [_outline(path, path.stat().st_mtime_ns) for path in paths]


@lru_cache(maxsize=64)
def _outline(path: Path, changed: int) -> Outline:
    """A notebook, as of its last change."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    opening = "".join(cells[0]["source"]) if cells else ""
    title = re.search(r"^# (.+)$", opening, re.MULTILINE)
    question = re.search(r"^\*\*(.+\?)\*\*$", opening, re.MULTILINE)
    minutes = re.search(r"takes\*\* about (\d+) minutes", opening)
    return Outline(
        path.stem,
        title[1] if title else path.stem,
        question[1] if question else "",
        int(minutes[1]) if minutes else None,
        tuple(_tasks(cells)),
    )


def _tasks(cells: list[dict[str, Any]]) -> Iterator[Task]:
    """The exercises that are judged by `check`, from the check cells."""
    for cell in cells:
        marks = cell["metadata"].get("nbgrader", {})
        found = CHECK.search("".join(cell["source"]))
        if marks.get("grade") and not marks.get("solution") and found:
            yield Task(found[1], marks["points"])
