"""Put the course's corrected text around a learner's answers; no line of theirs is ever lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from course_lib.notebooks import NOTEBOOKS, grade_id, notebook_path
from course_lib.workspace.reset import back_up, read_own, save

if TYPE_CHECKING:
    from nbformat import NotebookNode

HEADING = "**Lines that stood here before the update**"


class Updated(NamedTuple):
    """What an update did, in numbers."""

    corrected: int  # cells of the course with another text than before
    added: int  # cells of the course that were not there
    kept: int  # cells that the course does not have (any more)
    lines: int  # lines of corrected cells that went to the end of the notebook


def merge(mine: NotebookNode, released: NotebookNode) -> tuple[NotebookNode, Updated]:
    """The released notebook with the learner's answers and own cells, each behind the cell of the
    course that it followed. What a learner added to a cell of the course cannot be told from its
    old text, so every line that the new one lacks is kept in a cell at the end.
    """
    import nbformat

    theirs: dict[str, list[NotebookNode]] = {}
    own: dict[str, list[NotebookNode]] = {}
    names, behind = {_name(cell) for cell in released.cells}, ""
    for cell in mine.cells:
        if _name(cell) in names:
            behind = _name(cell)
            theirs.setdefault(behind, []).append(cell)
        else:
            own.setdefault(behind, []).append(cell)
    cells, lost, corrected = list(own.get("", [])), [], 0
    for new in released.cells:
        old = theirs.get(_name(new), [])
        if new.metadata.get("nbgrader", {}).get("solution") and old:
            for cell in old:  # several where it was split
                cell.metadata.nbgrader = new.metadata.nbgrader
            cells += old
        else:
            same = next((cell for cell in old if cell.source == new.source), None)
            corrected += bool(old) and same is None
            had = set(new.source.splitlines())
            lost += [line for cell in old for line in cell.source.splitlines() if line not in had]
            cells.append(same if same is not None and same.cell_type == new.cell_type else new)
        cells += own.get(_name(new), [])
    if any(line.strip() for line in lost):
        text = "\n".join(f"    {line}" for line in lost)
        cells.append(nbformat.v4.new_markdown_cell(f"{HEADING}\n\n{text}"))
    seen: set[str] = set()
    for cell in cells:
        if cell.get("id") in seen or "id" not in cell:
            cell.id = nbformat.v4.new_raw_cell().id
        seen.add(cell.id)
    merged = nbformat.from_dict({**released, "cells": cells})
    added = len(names - theirs.keys())
    return merged, Updated(corrected, added, sum(map(len, own.values())), len(lost))


def update(name: str, workspace: Path, source: Path = NOTEBOOKS) -> tuple[Updated, Path]:
    """Update a learner's notebook to the course as it is installed; it is copied first.

    Returns:
        What was done, and the copy of the notebook as it was.

    Raises:
        ValueError: there is no such notebook, or it cannot be read.
    """
    from course_lib.release import released_from

    path = notebook_path(name, workspace)
    merged, done = merge(read_own(path), released_from(notebook_path(path.stem, source)))
    copy = back_up(path, workspace)
    save(merged, path)
    return done, copy


def _name(cell: NotebookNode) -> str:
    """What a cell is known by in both notebooks: its grade_id, or else its id."""
    return f"graded {grade_id(cell)}" if grade_id(cell) else f"id {cell.get('id')}"
