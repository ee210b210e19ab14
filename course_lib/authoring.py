"""For authors: a notebook as text and back, executed, without noise (see CONTRIBUTING.md)."""

from __future__ import annotations

import time
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_lib.notebooks import NOTEBOOKS, execute, notebook_path

_CELL_METADATA = ("nbgrader", "tags", "jupyter")
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def edit(name: str) -> Path:
    """Write a notebook as a py:percent text beside it; return the text's path."""
    import jupytext

    path = notebook_path(name)
    text = path.with_suffix(".py")
    jupytext.write(jupytext.read(path), text, fmt="py:percent")
    return text


def build(name: str) -> float:
    """Turn the text beside a notebook (where there is one) back into it, execute, save.

    Returns:
        The seconds the execution took.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the text is kept.
    """
    text = NOTEBOOKS / name / f"{name}.py"
    path = text.with_suffix(".ipynb")
    if text.exists():
        import jupytext

        notebook = jupytext.read(text, fmt="py:percent")
        _number_cells(notebook)
    else:
        path = notebook_path(name)
        notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    execute(notebook, path.parent)
    seconds = time.perf_counter() - start
    _without_noise(notebook)
    nbformat.write(notebook, path)
    text.unlink(missing_ok=True)
    return seconds


def _number_cells(notebook: NotebookNode) -> None:
    """Ids that stay the same from build to build."""
    for number, cell in enumerate(notebook.cells):
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell["id"] = grade_id or f"cell-{number:03d}"


def _without_noise(notebook: NotebookNode) -> None:
    """Drop what differs from run to run or machine to machine without meaning anything."""
    notebook.metadata = nbformat.from_dict(_METADATA)
    for cell in notebook.cells:
        kept = {key: cell.metadata[key] for key in _CELL_METADATA if key in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
            output.get("metadata", {}).clear()
