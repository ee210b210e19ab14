"""An assignment whose notebook was changed after its release: what differs, and how the gradebook
follows it without losing a mark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbgrader import preprocessors
from nbgrader.api import Comment, Grade, Gradebook, Notebook
from traitlets.config import Config

# What nbgrader does to a notebook before it writes its cells into the gradebook.
_STEPS = ("LockCells", "ClearSolutions", "ClearOutput", "CheckCellMetadata", "ComputeChecksums")
_KINDS = ("grade", "solution", "task")


@dataclass(frozen=True)
class Changes:
    """What differs between an assignment's notebooks and the gradebook, in words: `cells` (there or
    not, of another kind, with other points), which have to be accepted before anything is graded,
    and `texts`, where what was released goes on to count."""

    assignment: str
    cells: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What has to be decided, and the command that does it."""
        return (
            f"{self.assignment} has changed since its release ({'; '.join(self.cells)}): "
            f"`course grade {self.assignment} --accept-changes` takes it as it is now, with all "
            "marks kept; or put the notebook back as it was"
        )


def changes(gradebook: Gradebook, assignment: str, source: Path, config: Config) -> Changes:
    """Compare an assignment's notebooks, in the folder `source`, with the gradebook.

    Raises:
        ValueError: a notebook of the assignment is not there.
    """
    cells: list[str] = []
    texts: list[str] = []
    for notebook in gradebook.find_assignment(assignment).notebooks:
        now = _now(source / f"{notebook.name}.ipynb", config)
        cells += _differences(now, _released(notebook))
        for cell in notebook.source_cells:
            mine = now.get(cell.name)
            if mine and mine["locked"] and mine["source"] != cell.source:
                texts.append(f"the text of {cell.name}")
    return Changes(assignment, tuple(cells), tuple(texts))


def accept(gradebook: Gradebook, assignment: str, source: Path, config: Config) -> None:
    """Give the gradebook the cells that the notebooks have now: those that are gone are taken out
    of every submission, new ones put in; what else nbgrader keeps of them, its own
    `generate_assignment` can then write."""
    database = gradebook.db
    for notebook in gradebook.find_assignment(assignment).notebooks:
        now = _now(source / f"{notebook.name}.ipynb", config)
        for kind in _KINDS:
            wanted = {name for name, cell in now.items() if cell[kind]}
            there = {cell.name: cell for cell in getattr(notebook, f"{kind}_cells")}
            for name in there.keys() - wanted:
                for row in [*there[name].grades, *there[name].comments, there[name]]:
                    database.delete(row)
            for name in sorted(wanted - there.keys()):
                _add(gradebook, notebook, kind, name, now[name])
        for cell in list(notebook.source_cells):
            if cell.name not in now:
                database.delete(cell)
        known = {cell.name for cell in notebook.source_cells}
        for name in now.keys() - known:
            of_it = {key: now[name][key] for key in ("cell_type", "locked", "source", "checksum")}
            gradebook.add_source_cell(name, notebook.name, assignment, **of_it)
    database.commit()


def _add(
    gradebook: Gradebook, notebook: Notebook, kind: str, name: str, cell: dict[str, Any]
) -> None:
    """A new cell, and its place in every submission there is."""
    graded = kind != "solution"
    of_it = {"max_score": cell["points"], "cell_type": cell["cell_type"]} if graded else {}
    add = getattr(gradebook, f"add_{kind}_cell")
    row = add(name, notebook.name, notebook.assignment.name, **of_it)
    for submission in notebook.submissions:
        if graded:
            gradebook.db.add(Grade(cell=row, notebook=submission))
        if kind != "grade":
            gradebook.db.add(Comment(cell=row, notebook=submission))


def _now(path: Path, config: Config) -> dict[str, dict[str, Any]]:
    """What the gradebook would keep of a notebook's cells, by their ids."""
    if not path.is_file():
        raise ValueError(f"assignment: its notebook {path.name} is not in {path.parent}")
    notebook = nbformat.read(path, as_version=4)
    resources: dict[str, Any] = {"unique_key": path.stem, "metadata": {"name": path.stem}}
    for name in _STEPS:
        step = getattr(preprocessors, name)(config=config)
        notebook, resources = step.preprocess(notebook, resources)
    found = {}
    for cell in notebook.cells:
        if marks := cell.metadata.get("nbgrader"):
            found[marks["grade_id"]] = {
                "source": cell.source,
                "cell_type": cell.cell_type,
                "points": float(marks.get("points", 0)),
                "locked": bool(marks.get("locked")),
                "checksum": marks.get("checksum"),
                **{kind: bool(marks.get(kind)) for kind in _KINDS},
            }
    return found


def _released(notebook: Notebook) -> dict[str, dict[str, Any]]:
    """What the gradebook has of a notebook's cells, by their ids."""
    found: dict[str, dict[str, Any]] = {
        cell.name: {"cell_type": cell.cell_type, **dict.fromkeys(_KINDS, False)}
        for cell in notebook.source_cells
    }
    for kind in _KINDS:
        for cell in getattr(notebook, f"{kind}_cells"):
            found.setdefault(cell.name, dict.fromkeys(_KINDS, False))[kind] = True
            if kind != "solution":
                found[cell.name]["points"] = cell.max_score
    return found


def _differences(now: dict[str, Any], released: dict[str, Any]) -> Iterator[str]:
    yield from (f"{name} is new" for name in now if name not in released)
    yield from (f"{name} is gone" for name in released if name not in now)
    for name in now.keys() & released.keys():
        mine, theirs = now[name], released[name]
        if any(mine[key] != theirs.get(key) for key in ("cell_type", *_KINDS)):
            yield f"{name} is of another kind"
        elif "points" in theirs and mine["points"] != theirs["points"]:
            yield f"{name} has {mine['points']:g} points, not {theirs['points']:g}"
