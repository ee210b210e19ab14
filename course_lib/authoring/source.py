"""For authors: a notebook's text, and the executed notebook that is built from it.

`notebooks/NN_name/NN_name.py` (py:percent) is the source; people edit and review it. The `.ipynb`
beside it is made from it and executed. It carries a mark of the text it was made from: so an
edit made in Jupyter is seen, and goes into the text before anything is built over it.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from course_lib.notebooks import execute, grade_id

_CELL_METADATA = ("nbgrader", "tags", "jupyter")
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_FORMAT = {"extension": ".py", "format_name": "percent"}
_NAME = re.compile(r"\d\d_\w+")  # nbgrader_config.py keeps NN_*.py from learners


def sources(folder: Path) -> list[Path]:
    """The texts of the notebooks in a folder, in order."""
    return sorted(path for path in folder.glob("*/*.py") if _NAME.fullmatch(path.stem))


def source_path(name: str, folder: Path) -> Path:
    """The text of the notebook called `name` ("03_attention", or "03" for short).

    Raises:
        ValueError: there is no such text, or several.
    """
    paths = {path.stem: path for path in sources(folder)}
    found = [name] if name in paths else [one for one in paths if one.startswith(name)]
    if len(found) != 1:
        raise ValueError(f"name: expected one of {', '.join(paths) or 'none'}; got {name!r}")
    return paths[found[0]]


def read_source(path: Path) -> NotebookNode:
    """The notebook, not executed, that a text describes."""
    import jupytext

    notebook = jupytext.read(path, fmt=_FORMAT)
    notebook.metadata = nbformat.from_dict(_METADATA)
    for number, cell in enumerate(notebook.cells):  # ids that stay the same from build to build
        cell["id"] = grade_id(cell) or f"cell-{number:03d}"
    return notebook


def write_source(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook's text.

    Raises:
        ValueError: the notebook holds something that the text would not bring back.
    """
    import jupytext

    plain = nbformat.v4.new_notebook(cells=[_plain(cell) for cell in notebook.cells])
    plain.metadata = nbformat.from_dict({"jupytext": {"notebook_metadata_filter": "-all"}})
    text = jupytext.writes(plain, fmt=_FORMAT)
    if content(jupytext.reads(text, fmt=_FORMAT)) != content(notebook):
        raise ValueError(f"{path.stem}.ipynb holds a cell that cannot be told as text")
    path.write_text(text, encoding="utf-8")


def content(notebook: NotebookNode) -> list[tuple[str, str, dict[str, Any]]]:
    """What an author writes of each cell: its type, its text, its metadata that mean something."""
    return list(map(_plain_content, notebook.cells))


def _plain_content(cell: NotebookNode) -> tuple[str, str, dict[str, Any]]:
    return cell.cell_type, cell.source, dict(_plain(cell).metadata)


def _plain(cell: NotebookNode) -> NotebookNode:
    kept = {key: cell.metadata[key] for key in _CELL_METADATA if key in cell.metadata}
    return getattr(nbformat.v4, f"new_{cell.cell_type}_cell")(cell.source, metadata=kept)


def mark(notebook: NotebookNode) -> str:
    """A short name for a notebook's content: another content has another."""
    told = json.dumps(content(notebook), sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _built(path: Path) -> NotebookNode | None:
    built = path.with_suffix(".ipynb")
    return nbformat.read(built, as_version=4) if built.exists() else None


def is_stale(path: Path) -> bool:
    """Whether a text and the notebook beside it differ."""
    built = _built(path)
    return built is None or content(built) != content(read_source(path))


def build(path: Path) -> float:
    """Make the notebook of a text: execute it, drop noise, save it beside the text.

    What was edited in the notebook since it was built goes into the text first. Where nothing but
    prose differs from the notebook, its outputs are kept and nothing is executed.

    Returns:
        The seconds the execution took.

    Raises:
        ValueError: text and notebook were both edited, or the notebook cannot be told as text;
            nothing is written.
        nbclient.exceptions.CellExecutionError: a cell failed; the notebook is left as it was.
    """
    take_in_edits(path)
    notebook = read_source(path)
    start = time.perf_counter()
    if not _keep_outputs(notebook, _built(path)):
        execute(notebook, path.parent)
    seconds = time.perf_counter() - start
    _drop_noise(notebook)
    take_in_edits(path)  # made in Jupyter while this executed
    nbformat.write(notebook, path.with_suffix(".ipynb"))
    return seconds


def _keep_outputs(notebook: NotebookNode, built: NotebookNode | None) -> bool:
    """Take over the outputs of a notebook that differs, but in prose alone; whether it does."""
    if built is None or content(built) == content(notebook):
        return False
    new, old = ([c for c in one.cells if c.cell_type == "code"] for one in (notebook, built))
    if list(map(_plain_content, new)) != list(map(_plain_content, old)):
        return False
    for cell, executed in zip(new, old, strict=True):
        cell.outputs, cell.execution_count = executed.outputs, executed.execution_count
    return True


def take_in_edits(path: Path) -> None:
    """Bring what was edited in the notebook of a text into the text.

    Raises:
        ValueError: both were edited, or the notebook cannot be told as text; nothing is written.
    """
    built = _built(path)
    if built is None:
        return
    built_from = built.metadata.get("course", {}).get("built_from")
    in_notebook, in_text = mark(built), mark(read_source(path))
    if in_notebook in (built_from, in_text):
        return
    if in_text != built_from:
        raise ValueError(
            f"{path.name} and {path.stem}.ipynb were both edited since the notebook was built. "
            f"Put what you want of both into {path.name}, delete the notebook, and build again."
        )
    write_source(built, path)


def _drop_noise(notebook: NotebookNode) -> None:
    """Drop what differs from run to run or machine to machine without meaning anything."""
    notebook.metadata = nbformat.from_dict(_METADATA | {"course": {"built_from": mark(notebook)}})
    for cell in notebook.cells:
        cell.metadata = _plain(cell).metadata
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
            output.get("metadata", {}).clear()
