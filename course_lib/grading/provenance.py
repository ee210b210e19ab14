"""Which of our own files a judgement rests on: it counts for as long as they stay as they are.

Found by reading import statements, not by importing: the same in every process that grades.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from course_lib.grading.rebuild import statements
from course_lib.grading.sandbox.policy import PACKAGE
from course_lib.syllabus import CHAPTERS

_OURS = PACKAGE.name
ROOTS = (  # the two processes of a judgement, and what they import by name
    f"{_OURS}.grading.judge",
    f"{_OURS}.grading.sandbox.server",
    f"{_OURS}.pretrained",
    *(f"{_OURS}.{chapter.idea}" for chapter in CHAPTERS),
)


def digest(texts: Iterable[str]) -> str:
    """Changes whenever a file does that judging imports, or that one of these texts imports."""
    content = hashlib.sha256()
    for path in sorted(files(texts)):
        content.update(path.read_bytes())
    return content.hexdigest()


def files(texts: Iterable[str]) -> set[Path]:
    """The files of `course_lib` that judging and these Python texts import, directly or not."""
    found: set[Path] = set()
    names = {*ROOTS, *(name for text in texts for name in _imported(statements(text)))}
    new = {path for name in names for path in _files_of(name)}
    new |= set((PACKAGE / "exercises").rglob("*.py"))  # a check finds its own by the exercise's id
    while new:
        found |= new
        new = {path for one in new for path in _imported_by(one)} - found
    return found


@cache
def _imported_by(path: Path) -> frozenset[Path]:
    names = _imported(ast.parse(path.read_bytes()).body)
    return frozenset(file for name in names for file in _files_of(name))


def _imported(body: list[ast.stmt]) -> Iterator[str]:
    """The names of ours in import statements, wherever they stand."""
    for node in ast.walk(ast.Module(body, [])):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(_OURS))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_OURS):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def _files_of(name: str) -> frozenset[Path]:
    """The files that "course_lib.checks.check" may come from: those of the packages on the way,
    and the module's. What a package hands out itself may come from any file beside it."""
    place, found = PACKAGE, {PACKAGE / "__init__.py"}
    for part in name.split(".")[1:]:
        if (module := place / f"{part}.py").is_file():
            return frozenset(found | {module})
        if not (place / part / "__init__.py").is_file():
            break
        place /= part
        found.add(place / "__init__.py")
    else:
        return frozenset(found)
    if place != PACKAGE:
        found |= set(place.glob("*.py"))
    return frozenset(found)
