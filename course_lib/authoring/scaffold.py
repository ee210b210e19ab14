"""The beginnings of a new exercise and a new notebook, in all the places that they need."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from textwrap import dedent
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from course_lib.authoring import templates
from course_lib.authoring.source import read_source, take_in_edits, write_source
from course_lib.notebooks import ROOT, answer_id, check_id
from course_lib.syllabus import CHAPTERS, Chapter

# --- an exercise -------------------------------------------------------------------------------


def new_exercise(exercise_id: str, points: int = 2, root: Path = ROOT) -> list[Path]:
    """Write the cells, the file and the line of a new exercise, the last one of its notebook.

    Args:
        exercise_id: idea and name, "attention.softmax"; `course_lib.attention` has the reference
            already, of which the cells are made.
        points: what it counts.
        root: the clone of the course.

    Returns:
        The files that were written.

    Raises:
        ValueError: there is no such idea or reference, or there is such an exercise already.
    """
    idea, _, name = exercise_id.partition(".")
    chapters = {chapter.idea: chapter for chapter in CHAPTERS}
    if idea not in chapters or not name.isidentifier():
        known = ", ".join(chapters)
        raise ValueError(f"exercise_id: expected IDEA.NAME, IDEA of {known}; got {exercise_id!r}")
    chapter = chapters[idea]
    path = root / "course_lib" / "exercises" / idea / f"{name}.py"
    if name in chapter.exercises or path.exists():
        raise ValueError(f"exercise_id: there is an exercise {exercise_id!r} already")
    reference = getattr(importlib.import_module(f"course_lib.{idea}"), name, None)
    if reference is None:
        raise ValueError(f"exercise_id: write the reference first, {name} in course_lib/{idea}.py")

    text = root / "notebooks" / chapter.notebook / f"{chapter.notebook}.py"
    take_in_edits(text)
    notebook = read_source(text)
    at = _place(notebook, chapter)
    notebook.cells[at:at] = _cells(exercise_id, points, reference)
    write_source(notebook, text)
    path.parent.mkdir(exist_ok=True)
    (path.parent / "__init__.py").touch()
    path.write_text(_description(exercise_id, points, reference), encoding="utf-8")
    more = replace(chapter, exercises=(*chapter.exercises, name))
    return [text, path, write_syllabus([more if c is chapter else c for c in CHAPTERS], root)]


def _place(notebook: NotebookNode, chapter: Chapter) -> int:
    """Where a notebook's next exercise goes: below its last one, or where its sections end."""
    for index, cell in reversed(list(enumerate(notebook.cells))):
        if chapter.exercises and cell.source.startswith(f'check("{chapter.exercise_ids[-1]}"'):
            return index + 1
        if not chapter.exercises and cell.source.startswith("## Check what you remember"):
            return index
    raise ValueError(f"{chapter.notebook}.py: no cell to put an exercise after")


def _cells(exercise_id: str, points: int, reference: Callable[..., Any]) -> list[NotebookNode]:
    """The task, the solution and the check."""
    name = reference.__name__
    task = templates.TASK.format(
        name=name,
        points="1 point" if points == 1 else f"{points} points",
        says=(inspect.getdoc(reference) or "...").partition("\n\n")[0],
    )
    marks = {"grade": False, "locked": False, "schema_version": 3, "solution": True, "task": False}
    solution = {"grade_id": answer_id(exercise_id), **marks}
    check = {"grade_id": check_id(exercise_id), **marks, "points": points}
    check |= {"grade": True, "locked": True, "solution": False}
    code = templates.CHECK.format(id=exercise_id, name=name)
    return [
        new_markdown_cell(task),
        new_code_cell(_with_markers(reference), metadata={"nbgrader": _sorted(solution)}),
        new_code_cell(code, metadata={"nbgrader": _sorted(check)}),
    ]


def _sorted(marks: dict[str, object]) -> dict[str, object]:
    return dict(sorted(marks.items()))  # as a saved notebook has them


def _with_markers(reference: Callable[..., Any]) -> str:
    """The source of a function or class, each body between solution markers; what refuses bad
    arguments stands above them, so that the learner writes the idea alone."""
    source = dedent(inspect.getsource(inspect.unwrap(reference)))
    lines = source.splitlines()
    (definition,) = ast.parse(source).body
    functions = definition.body if isinstance(definition, ast.ClassDef) else [definition]
    for function in reversed([one for one in functions if isinstance(one, ast.FunctionDef)]):
        documented = ast.get_docstring(function) is not None
        body = function.body[documented:]
        body = body[sum(1 for _ in takewhile(_refuses, body)) :]
        if not body:
            continue
        first, last, indent = body[0].lineno - 1, body[-1].end_lineno, " " * body[0].col_offset
        assert last is not None  # the parser always knows
        while lines[first - 1].lstrip().startswith("#"):
            first -= 1
        lines.insert(last, f"{indent}### END SOLUTION")
        lines.insert(first, f"{indent}### BEGIN SOLUTION")
    return "\n".join(lines)


def _refuses(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and isinstance(statement.body[-1], ast.Raise)


def _description(exercise_id: str, points: int, reference: Callable[..., Any]) -> str:
    signature = inspect.signature(reference)
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    return templates.EXERCISE.format(
        id=exercise_id,
        idea=exercise_id.partition(".")[0],
        name=reference.__name__,
        points=points,
        arguments=", ".join(f'"{parameter.name}": ...' for parameter in plain),
        parameters=inspect.Signature(plain),
    )


# --- a notebook --------------------------------------------------------------------------------


def new_notebook(
    notebook: str, question: str, title: str = "", minutes: int = 60, root: Path = ROOT
) -> list[Path]:
    """Write the text, the idea, the cards and the lines of a new notebook.

    Args:
        notebook: number and name, "12_mine"; the name is the idea's, `course_lib.mine`.
        question: what a learner really asks; ends with a question mark.
        title: "Mine" if empty.
        minutes: to work through.
        root: the clone of the course.

    Returns:
        The files that were written.

    Raises:
        ValueError: the name or the question is not of this form, or number or idea are taken.
    """
    number, _, idea = notebook.partition("_")
    if not (re.fullmatch(r"\d\d", number) and idea.isidentifier()):
        raise ValueError(f"notebook: expected a number and an idea, 12_mine; got {notebook!r}")
    if any(chapter.notebook[:2] == number or chapter.idea == idea for chapter in CHAPTERS):
        raise ValueError(f"notebook: number or idea are taken; got {notebook!r}")
    if not question.endswith("?"):
        raise ValueError(f"question: expected a question; got {question!r}")
    title = title or idea.replace("_", " ").capitalize()
    facts: dict[str, object] = {"notebook": notebook, "idea": idea, "number": number}
    facts |= {"title": title, "question": question, "minutes": minutes}

    package = root / "course_lib"
    new = {
        root / "notebooks" / notebook / f"{notebook}.py": templates.NOTEBOOK,
        package / f"{idea}.py": templates.IDEA,
        package / "exercises" / idea / "__init__.py": "",
        package / "review" / "material" / f"{notebook}.toml": templates.MATERIAL,
    }
    new = {path: text for path, text in new.items() if not path.exists()}
    for path, text in new.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(**facts), encoding="utf-8")
    chapter = Chapter(notebook, idea, title, question, minutes, ())
    chapters = sorted([*CHAPTERS, chapter], key=lambda one: one.notebook)
    before = chapters[chapters.index(chapter) - 1]
    link = f"[{number} {title}](notebooks/{notebook}/{notebook}.ipynb)"
    row = f"| {link} | {question} | {minutes} |"
    written = [
        write_syllabus(chapters, root),
        _below(root / "README.md", f"| [{before.notebook[:2]}", row),
        _below(root / "docs" / "api.rst", f"   course_lib.{before.idea}", f"   course_lib.{idea}"),
    ]
    return [*new, *written]


def _below(path: Path, beginning: str, line: str) -> Path:
    """Put a line below the first line of a file that begins so."""
    lines = path.read_text(encoding="utf-8").splitlines()
    at = [f"{one} ".startswith(f"{beginning} ") for one in lines].index(True)
    lines.insert(at + 1, line)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# --- the syllabus ------------------------------------------------------------------------------


def write_syllabus(chapters: Iterable[Chapter], root: Path = ROOT) -> Path:
    """Put chapters in the place of those in `course_lib/syllabus.py`."""
    path = root / "course_lib" / "syllabus.py"
    above, found, rest = path.read_text(encoding="utf-8").partition("CHAPTERS = (\n")
    _, _, below = rest.partition("\n)\n")
    told = "".join(map(_told, chapters))
    path.write_text(f"{above}{found}{told})\n{below}", encoding="utf-8")
    return path


def _told(chapter: Chapter) -> str:
    """A chapter as the syllabus writes it."""
    names = "".join(f'            "{name}",\n' for name in chapter.exercises)
    fields = [chapter.notebook, chapter.idea, chapter.title, chapter.question, chapter.minutes]
    lines = "".join(f"        {json.dumps(one, ensure_ascii=False)},\n" for one in fields)
    exercises = f"(\n{names}        )" if names else "()"
    return f"    Chapter(\n{lines}        {exercises},\n    ),\n"
