"""What a grade in the gradebook was made of, and what was written: while both are as they were,
there is nothing to write again.

Made of: all cells of the rebuilt submission, its judgement, the files beside it, the points, the
due date, an extension, the configuration. A judgement (`jobs.py`) rests on less and is kept longer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from traitlets.config import Config

_OF_A_CELL = ("cell_type", "source", "attachments")


def content_of(notebooks: Iterable[NotebookNode]) -> str:
    """A number for all cells of a submission, in their order."""
    cells = [[cell.get(key) for key in _OF_A_CELL] for one in notebooks for cell in one.cells]
    return _hash(cells)


def files_in(folder: Path) -> list[list[str]]:
    """[name, number] for each file beside the notebooks, the time of handing in among them."""
    return [
        [str(path.relative_to(folder)), _digest(path)]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".ipynb" and "__pycache__" not in path.parts
    ]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rules_of(gradebook: Gradebook, assignment: str, config: Config) -> dict[str, Any]:
    """What holds for the whole class."""
    found = gradebook.find_assignment(assignment)
    points = [
        [notebook.name, cell.name, cell.max_score]
        for notebook in found.notebooks
        for cell in (*notebook.grade_cells, *notebook.task_cells)
    ]
    texts = [[cell.name, cell.checksum] for one in found.notebooks for cell in one.source_cells]
    settings = sorted(f"{name}: {values!r}" for name, values in config.items())
    due = str(found.duedate)
    return {"due": due, "points": sorted(points), "texts": sorted(texts), "settings": settings}


def outcome_of(gradebook: Gradebook, assignment: str, student: str) -> list[Any] | None:
    """What machines have written of a submission: marks and penalties; None if nothing."""
    try:
        found = gradebook.find_submission(assignment, student)
    except MissingEntry:
        return None
    marks = [[n.name, g.name, g.auto_score] for n in found.notebooks for g in n.grades]
    penalties = [[n.name, n.late_submission_penalty] for n in found.notebooks]
    return [sorted(marks, key=str), sorted(penalties), str(found.timestamp), str(found.extension)]


class Written:
    """What was written for each submission, each in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, assignment: str, student: str) -> Path:
        return self.folder / f"{_hash([assignment, student])}.json"

    def is_as_it_was(self, assignment: str, student: str, made_of: object, outcome: object) -> bool:
        """Would the same be written as last time, and does it still stand?"""
        try:
            kept = self._path(assignment, student).read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        return kept == _hash([made_of, outcome])

    def put(self, assignment: str, student: str, made_of: object, outcome: object) -> None:
        """Remember what was written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._path(assignment, student).write_text(_hash([made_of, outcome]), encoding="utf-8")


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
