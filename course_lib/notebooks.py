"""Where the notebooks are, how their cells are marked, and how one is executed."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

SHARE = Path("share", "transformers-by-hand")  # where a wheel puts them, below a prefix
_CLONE = Path(__file__).parent.parent
_IS_CLONE = (_CLONE / "notebooks").is_dir()  # or the package was installed from a wheel
ROOT = _CLONE if _IS_CLONE else Path(sys.prefix) / SHARE
NOTEBOOKS = ROOT / "notebooks"
WORKSPACE = (ROOT if _IS_CLONE else Path.cwd()) / "workspace"
CUSTOM_EXERCISES = "exercises.py"  # beside a notebook, an instructor's (`checks/custom.py`)


def answer_id(exercise_id: str) -> str:
    """nbgrader's `grade_id` of an exercise's answer cell: "attention-softmax"."""
    return exercise_id.replace(".", "-")


def check_id(exercise_id: str) -> str:
    """nbgrader's `grade_id` of an exercise's check cell: "check-attention-softmax"."""
    return f"check-{answer_id(exercise_id)}"


def grade_id(cell: NotebookNode) -> str | None:
    """The `grade_id` of a cell, whoever wrote it; None if it has none."""
    marks = cell.get("metadata", {}).get("nbgrader", {})
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    return name if isinstance(name, str) else None


def skip_web_addresses() -> None:
    """Spare a process of ours a second, before it imports nbformat or Jupyter.

    jsonschema, behind them, makes a parser for international web addresses when it is imported. No
    schema of a notebook asks for one; it does without. Not for a process that is somebody else's.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # "not to be had"


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


class Unreadable(Exception):
    """A file that is no notebook; the message says what it is instead."""


_OTHER_KINDS = {  # how files begin that are handed in as notebooks by mistake
    b"PK\x03\x04": "a ZIP archive",
    b"%PDF": "a PDF",
    b"<": "a web page or XML",
    b"version https://git-lfs": "a pointer of Git LFS to a file that is not here",
    b"\x1f\x8b": "an archive",
}
_CONFLICT = re.compile(r"^(<{7}|={7}|>{7})( |\r?$)", re.MULTILINE)


def read_notebook(path: Path, max_size: int | None = None) -> NotebookNode:
    """The notebook in a file, as format 4, without its outputs' sizes counting.

    A byte order mark, UTF-16 (as some editors and shells write it) and any line ends are taken.

    Args:
        path: the file.
        max_size: bytes that it may have without its outputs; a file with more is read only to
            measure it.

    Raises:
        Unreadable: it is no notebook, or too large.
    """
    content = path.read_bytes()
    found = _parsed(path.name, content)
    if not isinstance(found, dict) or not isinstance(
        found.get("cells", found.get("worksheets")), list
    ):
        raise Unreadable(f"{path.name} is no notebook: it has no list of cells")
    if max_size is not None and len(content) > max_size:
        for cell in _cells(found):
            cell.pop("outputs", None)
        if len(json.dumps(found)) > max_size:
            raise Unreadable(f"{path.name} has more than {max_size >> 20} MiB without its outputs")
        for cell in _cells(found):
            if cell.get("cell_type") == "code":
                cell["outputs"] = []
    import nbformat  # here, as most of the `course` command does without

    try:
        notebook = nbformat.reads(json.dumps(found), as_version=4)
        if all(isinstance(cell, dict) and "cell_type" in cell for cell in notebook.cells):
            return notebook
    except Exception as error:  # noqa: BLE001 - whatever a broken file makes a reader raise
        raise Unreadable(f"{path.name} is no notebook: {type(error).__name__}") from None
    raise Unreadable(f"{path.name} is no notebook: some of its cells are none")


def _parsed(name: str, content: bytes) -> object:
    """The JSON in a file, or what the file is instead."""
    if not content.strip(b"\0 \t\r\n\xef\xbb\xbf"):
        raise Unreadable(f"{name} is empty")
    for start, kind in _OTHER_KINDS.items():
        if content.startswith(start) and not _CONFLICT.match(content[:20].decode("latin-1")):
            raise Unreadable(f"{name} is no notebook, but {kind}")
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable(f"{name} is no notebook: it is not UTF-8 text") from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if mark := _CONFLICT.search(text):
            line = text.count("\n", 0, mark.start()) + 1
            told = f"{name} holds the marks of a merge conflict ({mark[1]} in line {line})"
            raise Unreadable(told) from None
        end = len(text.rstrip("\0 \t\r\n"))
        if text.startswith("{") and (error.pos >= end or "Unterminated" in error.msg):
            raise Unreadable(
                f"{name} is cut off: it ends in the middle, after {end} characters"
            ) from None
        raise Unreadable(f"{name} is no notebook: it is not JSON (line {error.lineno})") from None
    except (RecursionError, MemoryError, ValueError) as error:
        raise Unreadable(f"{name} is no notebook: {type(error).__name__}") from None


def _cells(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of a notebook of any format, as read from JSON."""
    sheets = found.get("worksheets", [found])
    cells = [c for s in sheets if isinstance(s, dict) for c in s.get("cells", [])]
    return [cell for cell in cells if isinstance(cell, dict)]


def execute(notebook: NotebookNode, folder: Path, **options: Any) -> NotebookNode:
    """Execute a notebook in place, in a fresh kernel whose working folder is `folder`.

    `options` go to `nbclient.NotebookClient`, such as `allow_errors=True`.
    """
    from nbclient import NotebookClient  # here, as most of the `course` command does without

    from course_lib.kernels import ListeningManager

    settings = {"timeout": 600, "kernel_name": "python3", "record_timing": False, **options}
    client = NotebookClient(
        notebook,
        resources={"metadata": {"path": str(folder)}},
        kernel_manager_class=ListeningManager,
        **settings,
    )
    return client.execute()
