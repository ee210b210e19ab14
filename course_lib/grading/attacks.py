"""Try the attack corpus (`tests/attacks/corpus.py`) on the sandbox of this machine."""

from __future__ import annotations

import runpy
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from course_lib.grading.judge import Clock, imports_of, judge
from course_lib.grading.rebuild import put_hidden_tests, rebuild
from course_lib.grading.release import released_from
from course_lib.grading.sandbox import Level, Sandbox
from course_lib.notebooks import ROOT

_CLOCK = Clock(cell=4.0, call=2.0)  # what is endless is not waited for longer than needed
_CORPUS = ROOT / "tests" / "attacks" / "corpus.py"


@cache
def _module() -> dict[str, Any]:
    return runpy.run_path(str(_CORPUS))


def corpus() -> list[Any]:
    """All submissions of the corpus, the hostile ones first.

    Raises:
        FileNotFoundError: this is not a clone of the course.
    """
    return _module()["CORPUS"]


def assignment() -> NotebookNode:
    """The instructor's notebook that all of them are submissions of."""
    return _module()["assignment"]()


def bystander() -> Any:
    """An honest submission."""
    return _module()["BYSTANDER"]


def submission(*described: Any) -> Any:
    """A submission that is not in the corpus; see `Submission` there."""
    return _module()["Submission"](*described)


class Court:
    """A small assignment, and a sandbox to judge its submissions in. Use as a context manager."""

    def __init__(self, level: Level) -> None:
        self.assignment = assignment()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "small.ipynb"
            nbformat.write(self.assignment, path)
            self._released = nbformat.writes(released_from(path))
        self.sandbox = Sandbox(level)

    def __enter__(self) -> Court:
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.close()

    def marks(self, submission: Any) -> dict[str, int]:
        """What a submission gets: 1 or 0 for each check cell."""
        handed_in = submission.write(nbformat.reads(self._released, as_version=4))
        released = nbformat.reads(self._released, as_version=4)
        notebook, _ = rebuild(handed_in, released)
        put_hidden_tests(notebook, self.assignment)  # as nbgrader does from its gradebook
        verdicts = judge(notebook, imports_of(self.assignment), self.sandbox, "probability", _CLOCK)
        return {verdict.grade_id: int(verdict.passed) for verdict in verdicts}

    def bystander_is_untouched(self) -> bool:
        """Does an honest submission, judged after all others, get its marks?"""
        return self.marks(bystander()) == bystander().marks
