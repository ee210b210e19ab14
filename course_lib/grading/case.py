"""A submission that is ready to be judged, as plain data, and what was found about it.

A case has everything a judge needs, so any process on any machine can decide it. Findings are kept
under the case's content: whoever grades again meets only what has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

import course_lib
from course_lib.checks.evaluation import NOTEBOOK_OF_MODULE
from course_lib.grading.judge import imports_of, judge
from course_lib.grading.sandbox import Level, shared_sandbox

Finding = dict[str, Any]  # "cells": outputs and marks of each code cell; "log": a line a check


@dataclass(frozen=True)
class Case:
    """A rebuilt submission with its hidden tests, and how it is to be judged."""

    cells: str  # the code cells, as JSON
    imports: tuple[str, ...]
    module: str | None
    level: Level
    own: str = ""  # the text that describes the instructor's own exercises

    @classmethod
    def of(
        cls, notebook: NotebookNode, source: NotebookNode, name: str, level: Level, own: str = ""
    ) -> Case:
        """The case of a rebuilt submission; `source` is the instructor's notebook called `name`,
        `own` describes the exercises that are none of the course's."""
        module = next((m for m, n in NOTEBOOK_OF_MODULE.items() if n == name), None)
        cells = [_essence(cell) for cell in _code(notebook)]
        text = json.dumps(cells, sort_keys=True)
        return cls(text, tuple(imports_of(source)), module, level, own)

    @cached_property
    def key(self) -> str:
        """The same for the same content, judged by the same code."""
        content = json.dumps([asdict(self), _code_of_the_course()], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _essence(cell: NotebookNode) -> dict[str, Any]:
    """What a judge looks at in a code cell."""
    marks = cell.metadata.get("nbgrader", {})
    kept = {name: marks[name] for name in ("grade_id", "grade", "solution") if name in marks}
    tags = list(cell.metadata.get("tags", []))
    return {"source": cell.source, "metadata": {"nbgrader": kept, "tags": tags}}


@cache
def _code_of_the_course() -> str:
    """Changes whenever the code that judges, or that submissions build on, does."""
    content = hashlib.sha256()
    for path in sorted(Path(course_lib.__file__).parent.rglob("*.py")):
        content.update(path.read_bytes())
    return content.hexdigest()


def decide(case: Case) -> Finding:
    """Judge a case in this process's warm sandbox."""
    cells = [nbformat.v4.new_code_cell(**cell) for cell in json.loads(case.cells)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    sandbox = shared_sandbox(case.level)
    verdicts = judge(notebook, case.imports, sandbox, case.module, own=case.own)
    return {
        "cells": [{"outputs": c.outputs, "course": c.metadata.get("course")} for c in cells],
        "log": [[v.grade_id, v.headline, v.seeds] for v in verdicts],
    }


def write_down(finding: Finding, notebook: NotebookNode, key: str) -> None:
    """Put what was found into the rebuilt submission's cells, in place."""
    for cell, found in zip(_code(notebook), finding["cells"], strict=True):
        cell.execution_count = None
        cell.outputs = [nbformat.from_dict(output) for output in found["outputs"]]
        if found["course"] is not None:
            cell.metadata["course"] = found["course"]
    notebook.metadata["course"] = {"key": key}


class Findings:
    """Findings in a folder, each in a file named by its case's key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    def get(self, key: str) -> Finding | None:
        """What was found, or None."""
        try:
            return json.loads(self._path(key).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def put(self, key: str, finding: Finding) -> None:
        """Keep it. It is there as a whole or not at all, whenever the machine stops."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(finding), encoding="utf-8")
        part.replace(path)
