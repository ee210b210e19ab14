"""Run the checks of a learner's notebook in a fresh kernel."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest import mock

from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode

from course_lib.checks import progress
from course_lib.notebooks import execute, notebook_path, read_notebook
from course_lib.outline import outlines
from course_lib.workspace.standing import Standing, standing_by

KERNELS = 4  # one after the other: cells that end theirs are left out of the next


def check_notebook(name: str, workspace: Path) -> tuple[list[Standing], list[str]]:
    """Execute a learner's notebook, experiments left out, and collect what its checks say.

    Neither the notebook nor the learner's progress is changed. An exercise whose check did not run
    has no attempt.

    Returns:
        Where each exercise stands, and the cells that ended their kernel, by what they begin with.

    Raises:
        ValueError: there is no such notebook in the workspace.
        Unreadable: it is no notebook; what it is instead is said.
    """
    path = notebook_path(name, workspace)
    ended: list[str] = []
    for _ in range(KERNELS):
        notebook = read_notebook(path)
        for cell in notebook.cells:
            if cell.cell_type == "code" and cell.source in ended:
                cell.source = "raise SystemError('this cell ends its kernel')"
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "checks.jsonl"
            for exercise in progress.references_seen(progress.progress_of(workspace)):
                progress.record_reference(exercise, file)
            last = _executed(notebook, path.parent, file)
            mine = (one for one in outlines() if one.name == path.stem)
            found = list(standing_by(file, mine))
        if last is None:
            break
        ended.append(last)
    return found, [_beginning(source) for source in ended]


def _executed(notebook: NotebookNode, folder: Path, file: Path) -> str | None:
    """Execute a notebook whose checks write into `file`; the cell that ended its kernel, if one
    did."""
    started: list[str] = []
    options = {"allow_errors": True, "skip_cells_with_tag": "experiment"}
    with mock.patch.dict(os.environ, COURSE_PROGRESS=str(file)):
        try:
            execute(
                notebook,
                folder,
                on_cell_execute=lambda cell, cell_index: started.append(cell.source),
                **options,
            )
        except DeadKernelError:
            return started[-1]
    return None


def _beginning(source: str) -> str:
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith("#")]
    return (lines or [source])[0][:80]
