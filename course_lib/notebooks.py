"""Where the notebooks are, and how one is executed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode

_CLONE = Path(__file__).parent.parent
_IS_CLONE = (_CLONE / "notebooks").is_dir()  # or the package was installed from a wheel
ROOT = _CLONE if _IS_CLONE else Path(sys.prefix) / "share" / "transformers-by-hand"
NOTEBOOKS = ROOT / "notebooks"
WORKSPACE = (ROOT if _IS_CLONE else Path.cwd()) / "workspace"
OWN_EXERCISES = "exercises.py"  # beside a notebook: an instructor's own (`checks/own.py`)


def notebook_names(folder: Path = NOTEBOOKS) -> list[str]:
    """The notebooks in a folder, in order: "00_start_here", "01_tokenization", ..."""
    return sorted(path.stem for path in folder.glob("*/*.ipynb") if path.stem == path.parent.name)


def notebook_path(name: str, folder: Path = NOTEBOOKS) -> Path:
    """The notebook called `name` ("03_attention", or "03" for short).

    Raises:
        ValueError: there is no such notebook, or several.
    """
    names = notebook_names(folder)
    found = [one for one in names if one == name] or [one for one in names if one.startswith(name)]
    if len(found) != 1:
        raise ValueError(f"name: expected one of {', '.join(names) or 'none'}; got {name!r}")
    return folder / found[0] / f"{found[0]}.ipynb"


def execute(notebook: NotebookNode, folder: Path, **options: object) -> NotebookNode:
    """Execute a notebook in place, in a fresh kernel whose working folder is `folder`.

    `options` go to `nbclient.NotebookClient`, such as `allow_errors=True`.
    """
    from nbclient import NotebookClient  # here, as most of the `course` command does without

    options = {"timeout": 600, "kernel_name": "python3", "record_timing": False} | options
    client = NotebookClient(notebook, resources={"metadata": {"path": str(folder)}}, **options)
    return client.execute()
