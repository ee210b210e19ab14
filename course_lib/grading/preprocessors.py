"""Plugged into nbgrader by `nbgrader_config.py`: rebuild before, judge instead of execute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Enum
from traitlets.config import Config

from course_lib.checks.evaluation import NOTEBOOK_OF_MODULE
from course_lib.grading.judge import imports_of, judge
from course_lib.grading.rebuild import rebuild
from course_lib.grading.release import released_from
from course_lib.grading.sandbox import LEVELS, shared_sandbox


def _source_path(config: Config, resources: dict[str, Any]) -> Path:
    """The instructor's notebook that a submission belongs to."""
    names = resources["nbgrader"]
    directory = CourseDirectory(config=config)
    folder = directory.format_path(directory.source_directory, ".", names["assignment"])
    return Path(folder) / f"{names['notebook']}.ipynb"


class Rebuild(NbGraderPreprocessor):
    """Put a submission back onto the notebook that was released."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        result, repairs = rebuild(nb, released_from(_source_path(self.config, resources)))
        for line in repairs:
            self.log.info("%s: %s", resources["nbgrader"]["notebook"], line)
        return result, resources


class Judge(NbGraderPreprocessor):
    """Run a submission in the sandbox, and its check cells outside."""

    level = Enum(
        LEVELS, default_value="bwrap", help="how submissions are shut in; see the instructor's page"
    ).tag(config=True)

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        source = nbformat.read(_source_path(self.config, resources), as_version=4)
        name = resources["nbgrader"]["notebook"]
        module = next((m for m, n in NOTEBOOK_OF_MODULE.items() if n == name), None)
        sandbox = shared_sandbox(self.level)
        for verdict in judge(nb, imports_of(source), sandbox, module):
            self.log.info(
                "%s: %s (%s; seeds of hidden cases: %s)",
                verdict.grade_id, verdict.headline, self.level, verdict.seeds,
            )  # fmt: skip
        return nb, resources
