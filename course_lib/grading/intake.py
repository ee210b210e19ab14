"""What is let in as a submission, and why something else is not.

There is one intake: `course grade`, `course submit`, `nbgrader autograde` and formgrader's button
read what was handed in by `take` alone.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from course_lib.grading.sandbox.policy import (
    MAX_FILE,
    MAX_FILES,
    MAX_FOLDER,
    MAX_NOTEBOOK,
    MAX_VALUES,
    MIB,
)
from course_lib.notebooks import Unreadable, read_notebook

MAX_NAME = 128  # characters
# Letters of any script, their marks and digits, and what stands between them in people's names.
_BETWEEN = " _.@+-,'()\u2019\u00b7\u2010\u2011\u200c\u200d"
_LEFT_BY_PROGRAMS = ("__MACOSX", "__pycache__", "node_modules")


class Refused(Exception):
    """This cannot be graded; the message says why, to an instructor."""


@dataclass(frozen=True)
class Taken:
    """A notebook that was let in, and a line for all that is unusual about its file."""

    notebook: NotebookNode
    lines: tuple[str, ...] = ()


def sane_name(name: str) -> str:
    """A student's or an assignment's name, in any script, if it can be a folder and nothing else.

    Raises:
        Refused: it holds characters that mean something to a path, a pattern or a page.
    """
    fits = (
        0 < len(name) <= MAX_NAME
        and len(name.encode(errors="replace")) <= 255  # bytes of a file's name
        and (name[0].isalnum() or name[0] == "_")
        and not name[-1].isspace()
        and all(unicodedata.category(c)[0] in "LMN" or c in _BETWEEN for c in name)
    )
    if not fits:
        raise Refused(f"{name!r} is no name for a folder of submissions")
    return name


def only_plain_files(folder: Path) -> None:
    """Links could lead to what its author must not see: nothing is followed, all is refused. So is
    what would take long to copy.

    Raises:
        Refused: something in the folder, or the folder itself, is neither a file nor a folder; or
            it is too much.
    """
    n_files = size = 0
    for parent, folders, files in os.walk(folder, followlinks=False):
        for path in [Path(parent), *(Path(parent) / name for name in folders + files)]:
            found = path.lstat()
            mode, n_files, size = found.st_mode, n_files + 1, size + found.st_size
            if n_files > MAX_FILES or size > MAX_FOLDER:
                raise Refused(
                    f"what was handed in is more than {MAX_FILES} files, or {MAX_FOLDER // MIB} MiB"
                )
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                kind = "a link" if stat.S_ISLNK(mode) else "not a plain file"
                raise Refused(f"{path.name!r} is {kind}")


def take(folder: Path, name: str, names: Collection[str] = ()) -> Taken:
    """The notebook called `name` that was handed in, also where it has another name or lies in a
    folder of its own and can be nothing else.

    Args:
        folder: the submission.
        name: the notebook's name, without `.ipynb`.
        names: all notebooks of the assignment.

    Raises:
        Refused: there is none, several may be meant, it is too large, or it is no notebook.
    """
    only_plain_files(folder)
    found = _notebooks_in(folder)
    path = folder / f"{name}.ipynb"
    others = [one for one in found if one.stem not in {name, *names} or one.parent != folder]
    if path in found:
        lines = [f"{_said(one, folder)} is there as well; it is not graded." for one in others]
        return Taken(read_submission(path), tuple(lines))
    meant = [one for one in others if _normal(one.stem) == _normal(name)]
    meant = meant or [one for one in others if _normal(one.stem).startswith(_normal(name))]
    missing = [one for one in {name, *names} if folder / f"{one}.ipynb" not in found]
    if not meant and len(missing) == 1:
        meant = others
    if not meant:
        raise Refused(f"there is no {path.name}")
    if len(meant) > 1:
        some = ", ".join(_said(one, folder) for one in meant[:5])
        raise Refused(f"there is no {path.name}, but several that may be meant: {some}")
    line = f"{_said(meant[0], folder)} was taken as {path.name}."
    return Taken(read_submission(meant[0]), (line,))


def read_submission(path: Path) -> NotebookNode:
    """The notebook in a file, as format 4.

    Raises:
        Refused: there is none, it is too large, or it is no notebook; the message says what it is.
    """
    if not path.is_file():
        raise Refused(f"there is no {path.name}")
    if path.stat().st_size > MAX_FILE:
        raise Refused(f"{path.name} has more than {MAX_FILE // MIB} MiB")
    content = path.read_bytes()
    if sum(content.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise Refused(f"{path.name} has more than {MAX_VALUES} values")
    try:
        return read_notebook(path, MAX_NOTEBOOK)
    except Unreadable as error:
        raise Refused(str(error)) from None


def _notebooks_in(folder: Path) -> list[Path]:
    """All notebooks in a submission, those left aside that programs leave there."""
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") or part in _LEFT_BY_PROGRAMS for part in parts):
            continue
        if path.suffix.lower() == ".ipynb" and path.is_file():
            found.append(path)
    return found


def _normal(stem: str) -> str:
    """What is the same about two names for one notebook: no case, no accents' way of writing."""
    return re.sub(r"[\s_-]+", "_", unicodedata.normalize("NFKC", stem).casefold())


def _said(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder))[:200]
