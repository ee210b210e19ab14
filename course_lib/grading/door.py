"""The door: what is let in as a submission, and why something else is not."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import nbformat
from nbformat import NotebookNode

MAX_BYTES = 20 * 2**20  # of a notebook file
_SANE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}")


class Refused(Exception):
    """This cannot be graded; the message says why, to an instructor."""


def sane_name(name: str) -> str:
    """A student's or an assignment's name, if it can be a folder and nothing else.

    Raises:
        Refused: it holds characters that mean something to a shell, a path or a pattern.
    """
    if not _SANE.fullmatch(name):
        raise Refused(f"{name!r} is no name for a folder of submissions")
    return name


def only_plain_files(folder: Path) -> None:
    """Links could lead to what its author must not see: nothing is followed, all is refused.

    Raises:
        Refused: something in the folder, or the folder itself, is neither a file nor a folder.
    """
    for parent, folders, files in os.walk(folder, followlinks=False):
        for path in [Path(parent), *(Path(parent) / name for name in folders + files)]:
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                kind = "a link" if stat.S_ISLNK(mode) else "not a plain file"
                raise Refused(f"{path.name!r} is {kind}")


def read_submission(path: Path) -> NotebookNode:
    """The notebook that was handed in, as format 4.

    Raises:
        Refused: there is none, it is too large, or it is no notebook.
    """
    if not path.is_file():
        raise Refused(f"there is no {path.name}")
    if path.stat().st_size > MAX_BYTES:
        raise Refused(f"{path.name} has more than {MAX_BYTES // 2**20} MiB")
    try:
        notebook = nbformat.read(path, as_version=4)
        if isinstance(notebook.cells, list):
            return notebook
    except Exception as error:  # noqa: BLE001 - whatever a broken file makes a reader raise
        raise Refused(f"{path.name} is no notebook: {type(error).__name__}") from None
    raise Refused(f"{path.name} is no notebook: it has no list of cells")
