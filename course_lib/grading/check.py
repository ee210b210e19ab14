"""Run the checks of a learner's notebook in a fresh kernel."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import nbformat

from course_lib.checks import progress
from course_lib.grading.learner import chapters, progress_of
from course_lib.notebooks import execute, notebook_path


@dataclass(frozen=True)
class Verdict:
    """What the check of one exercise said."""

    exercise: str
    headline: str
    points: float
    max_points: float


def check_notebook(name: str, workspace: Path) -> list[Verdict]:
    """Execute a learner's notebook, experiments left out, and collect what its checks say.

    The notebook itself is not changed. An exercise whose check did not run is said so.

    Raises:
        ValueError: there is no such notebook in the workspace.
    """
    path = notebook_path(name, workspace)
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "checks.jsonl"
        for exercise in progress.references_seen(progress_of(workspace)):
            progress.record_reference(exercise, log)
        with mock.patch.dict(os.environ, COURSE_PROGRESS=str(log)):
            execute(notebook, path.parent, allow_errors=True, skip_cells_with_tag="experiment")
        said = {line["exercise"]: line for line in progress.read(log)}
    verdicts = []
    (chapter,) = (one for one in chapters() if one.name == path.stem)
    for task in chapter.tasks:
        line = said.get(task.exercise, {"headline": "its check did not run", "points": 0.0})
        verdicts.append(Verdict(task.exercise, line["headline"], line["points"], task.points))
    return verdicts
