"""A submission that is ready to be judged, as plain data, and the judgement that comes of it.

A job has everything a judge needs, so any process on any machine can do it. Judgements are kept
under the job's content: whoever grades again meets only what has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from course_lib.grading.believed import SKIPPED_TAG, believed
from course_lib.grading.judge import judge
from course_lib.grading.provenance import digest
from course_lib.grading.sandbox.launcher import Sandbox, SandboxUnavailable, shared_sandbox
from course_lib.grading.sandbox.policy import Level
from course_lib.syllabus import chapter_called

Judgement = dict[str, Any]  # "cells": outputs and marks of each code cell; "log": a line a check


@dataclass(frozen=True)
class Job:
    """A rebuilt submission with its hidden tests, and how it is to be judged."""

    cells: str  # the code cells, as JSON
    believed: tuple[str, ...]  # what check cells rely on, of the instructor's notebook
    module: str | None
    level: Level
    custom: str = ""  # the text that describes custom exercises

    @classmethod
    def of(
        cls,
        notebook: NotebookNode,
        source: NotebookNode,
        name: str,
        level: Level,
        custom: str = "",
    ) -> Job:
        """The job of judging a rebuilt submission; `source` is the instructor's notebook called
        `name`, `custom` describes custom exercises."""
        chapter = chapter_called(name)
        module = chapter.idea if chapter else None
        cells = [_essence(cell) for cell in _code(notebook)]
        text = json.dumps(cells, sort_keys=True)
        return cls(text, believed(source), module, level, custom)

    @cached_property
    def key(self) -> str:
        """The same for the same content, judged by the same code."""
        run = [
            c["source"] for c in json.loads(self.cells) if SKIPPED_TAG not in c["metadata"]["tags"]
        ]
        code = digest([*run, *self.believed, self.custom])
        content = json.dumps([asdict(self), code], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _essence(cell: NotebookNode) -> dict[str, Any]:
    """What a judge looks at in a code cell."""
    marks = cell.metadata.get("nbgrader", {})
    kept = {name: marks[name] for name in ("grade_id", "grade", "solution") if name in marks}
    tags = list(cell.metadata.get("tags", []))
    return {"source": cell.source, "metadata": {"nbgrader": kept, "tags": tags}}


def run(job: Job) -> Judgement:
    """Judge in this process's warm sandbox; if that ends meanwhile, in another one.

    Raises:
        SandboxUnavailable: no sandbox works here.
        RuntimeError: the sandbox ended once more.
    """
    for _ in range(2):
        sandbox = shared_sandbox(job.level)
        try:
            return _judged(job, sandbox)
        except SandboxUnavailable:  # it is for this submission to explain, not the end of all
            continue
    raise RuntimeError("the process that sessions are forked from ended, and so did another one")


def _judged(job: Job, sandbox: Sandbox) -> Judgement:
    cells = [nbformat.v4.new_code_cell(**cell) for cell in json.loads(job.cells)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    verdicts = judge(notebook, job.believed, sandbox, job.module, custom=job.custom)
    return {
        "cells": [{"outputs": c.outputs, "course": c.metadata.get("course")} for c in cells],
        "log": [[v.grade_id, v.headline, v.seeds] for v in verdicts],
    }


def write_down(judgement: Judgement, notebook: NotebookNode, key: str) -> None:
    """Put a judgement into the rebuilt submission's cells, in place."""
    for cell, found in zip(_code(notebook), judgement["cells"], strict=True):
        cell.execution_count = None
        cell.outputs = [nbformat.from_dict(output) for output in found["outputs"]]
        if found["course"] is not None:
            cell.metadata["course"] = found["course"]
    notebook.metadata["course"] = {"key": key}


class Judgements:
    """Judgements in a folder, each in a file named by its job's key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    def get(self, key: str) -> Judgement | None:
        """The judgement, or None."""
        try:
            return json.loads(self._path(key).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def put(self, key: str, judgement: Judgement) -> None:
        """Keep a judgement. It is there as a whole or not at all, whenever the machine stops."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(judgement), encoding="utf-8")
        part.replace(path)
