"""Put an exercise's answer cell back to what was released; the learner's notebook is kept first."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from course_lib.notebooks import (
    NOTEBOOKS,
    Unreadable,
    answer_id,
    grade_id,
    notebook_path,
    read_notebook,
)
from course_lib.outline import outlines

if TYPE_CHECKING:
    from nbformat import NotebookNode

KEPT = 20  # backups of a notebook


def back_up(path: Path, workspace: Path, keep: int = KEPT) -> Path:
    """Copy a learner's notebook to `.backups/NAME/TIME.ipynb`; the last `keep` copies stay.

    Returns:
        The path of the copy.
    """
    folder = workspace / ".backups" / path.stem
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now()
    time = now.strftime("%Y-%m-%dT%H-%M-%S")
    copy = folder / f"{time}.ipynb"
    if copy.exists():  # twice in a second
        copy = folder / f"{time}-{now.microsecond:06}.ipynb"
    shutil.copyfile(path, copy)
    copies = sorted(folder.glob("*.ipynb"), key=lambda one: one.stat().st_mtime_ns)
    for old in copies[:-keep]:
        old.unlink()
    return copy


def read_own(path: Path) -> NotebookNode:
    """A learner's notebook.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return read_notebook(path)
    except Unreadable as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from None


def save(notebook: NotebookNode, path: Path) -> None:
    """Write a learner's notebook; it is there as a whole at every moment."""
    import nbformat

    part = path.with_suffix(".part")
    nbformat.write(notebook, part)
    os.replace(part, path)


def find_task(name: str, exercise: str | None, source: Path = NOTEBOOKS) -> tuple[str, str]:
    """(notebook, exercise id) of "03_attention" and "softmax", or of "attention.softmax" alone.

    Raises:
        ValueError: there is no such notebook or exercise.
    """
    home = {task.exercise: outline.name for outline in outlines(source) for task in outline.tasks}
    if exercise is None:
        found = [one for one in home if one == name]
    else:
        notebook = notebook_path(name, source).stem
        wanted = (exercise, exercise.partition(".")[2] or exercise)
        found = [one for one in home if home[one] == notebook and one.partition(".")[2] in wanted]
        home = {one: where for one, where in home.items() if where == notebook}
    if len(found) != 1:
        raise ValueError(f"exercise: expected one of {', '.join(home)}; got {exercise or name!r}")
    return home[found[0]], found[0]


def reset(
    name: str, exercise: str | None, workspace: Path, source: Path = NOTEBOOKS
) -> tuple[str, Path]:
    """Put the released text of an exercise's answer cell back into the learner's notebook.

    Returns:
        The exercise's id, and the copy of the notebook as it was.

    Raises:
        ValueError: there is no such notebook or exercise, the notebook cannot be read, or its
            answer cell is gone.
    """
    from course_lib.release import released_from

    notebook, exercise = find_task(name, exercise, source)
    path = notebook_path(notebook, workspace)
    marked = answer_id(exercise)
    released = released_from(notebook_path(notebook, source))
    mine = read_own(path)
    stub = next(cell.source for cell in released.cells if grade_id(cell) == marked)
    answers = [cell for cell in mine.cells if grade_id(cell) == marked]
    if not answers:
        raise ValueError(
            f"{path.name} has no cell marked {marked} any more; rename the notebook, and "
            "`course start` makes a fresh copy beside it"
        )
    copy = back_up(path, workspace)
    for cell in answers:
        cell.source, cell.outputs, cell.execution_count = stub, [], None
    save(mine, path)
    return exercise, copy
