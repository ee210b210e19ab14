"""Custom exercises, an instructor's: described in `exercises.py` beside the notebook.

In a notebook, a check finds the file in the folder it runs in. While a submission is judged nothing
is looked for: the judge names the text of the instructor's own file, and nothing else counts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from course_lib.checks.catalogue import course_exercise
from course_lib.checks.exercise import Exercise
from course_lib.notebooks import CUSTOM_EXERCISES
from course_lib.syllabus import exercise_ids

_judged: list[str] = []  # while something is judged: the instructor's text, last one first


@lru_cache(maxsize=64)
def described(text: str, name: str = CUSTOM_EXERCISES) -> Mapping[str, Exercise]:
    """The exercises that a text describes, by id. The text is executed: it must be trusted.

    Args:
        text: Python code, as in docs/instructors.md.
        name: what tracebacks call it; the path of the file, where there is one.

    Raises:
        ValueError: the text does not run, an exercise has no cases, or an id is taken.
    """
    module = ModuleType("custom_exercises")
    module.__file__ = name
    sys.modules[module.__name__] = module  # dataclasses look their module up
    found: dict[str, Exercise] = {}
    try:
        exec(compile(text, name, "exec"), vars(module))  # noqa: S102 - the instructor's own
        for exercise in dict.fromkeys(e for e in vars(module).values() if isinstance(e, Exercise)):
            _add(exercise, found)
    except Exception as error:
        raise ValueError(f"{name} does not run: {type(error).__name__}: {error}") from error
    return found


def _add(exercise: Exercise, found: dict[str, Exercise]) -> None:
    taken = exercise.id in found
    if exercise.id in exercise_ids():
        if exercise is course_exercise(exercise.id):
            return  # imported, to borrow its cases: it stays the course's
        taken = True
    if taken:
        raise ValueError(f"id: an exercise {exercise.id!r} exists already")
    if exercise.make_cases is None:
        raise ValueError(f"{exercise.id} has no cases")
    found[exercise.id] = exercise


def text_beside(notebook: Path) -> str:
    """The description that stands beside an instructor's notebook; "" if there is none."""
    path = notebook.parent / CUSTOM_EXERCISES
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def custom_exercises(folder: Path | None = None) -> Mapping[str, Exercise]:
    """The exercises described in a folder (default: the current one), or, while a submission is
    judged, those that the judge was given."""
    if _judged:
        return described(_judged[-1])
    path = (folder or Path.cwd()) / CUSTOM_EXERCISES
    return described(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else {}


@contextmanager
def only(text: str) -> Iterator[None]:
    """While a submission is judged: the instructor's description, and no file of anybody's.

    Raises:
        ValueError: it does not run.
    """
    described(text)
    _judged.append(text)
    try:
        yield
    finally:
        _judged.pop()
