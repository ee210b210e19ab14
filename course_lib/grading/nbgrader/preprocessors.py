"""Plugged into nbgrader by `nbgrader_config.py`: rebuild before, judge instead of execute."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Enum, Unicode
from traitlets.config import Config

from course_lib.checks.custom import text_beside
from course_lib.grading.jobs import Job, Judgement, Judgements, run, write_down
from course_lib.grading.nbgrader.autograde import LINES
from course_lib.grading.rebuild import rebuild
from course_lib.grading.sandbox.policy import LEVELS
from course_lib.release import released_from


def _source_path(config: Config, resources: dict[str, Any]) -> Path:
    """The instructor's notebook that a submission belongs to."""
    names = resources["nbgrader"]
    directory = CourseDirectory(config=config)
    folder = directory.format_path(directory.source_directory, ".", names["assignment"])
    return Path(folder) / f"{names['notebook']}.ipynb"


@lru_cache(maxsize=8)
def _both(path: Path, changed: int) -> tuple[NotebookNode, NotebookNode]:
    """The instructor's notebook and the learner's copy, as of the last change; never altered."""
    return nbformat.read(path, as_version=4), released_from(path)


def _of(config: Config, resources: dict[str, Any]) -> tuple[NotebookNode, NotebookNode]:
    path = _source_path(config, resources)
    return _both(path, path.stat().st_mtime_ns)


class Rebuild(NbGraderPreprocessor):
    """Put a submission back onto the notebook that was released."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        names = resources["nbgrader"]
        lines = resources.get(LINES, ())
        result, repairs = rebuild(nb, _of(self.config, resources)[1], lines)
        for line in repairs:
            self.log.info("%s: %s", names["notebook"], line)
        return result, resources


class Judge(NbGraderPreprocessor):
    """Run a submission in the sandbox, and its check cells outside."""

    level = Enum(
        LEVELS, default_value="bwrap", help="how submissions are shut in; see the instructor's page"
    ).tag(config=True)
    judgements = Unicode(
        "", help="a folder with judgements made before, to judge nothing here; empty: judge"
    ).tag(config=True)

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        source, _ = _of(self.config, resources)
        name = resources["nbgrader"]["notebook"]
        custom = text_beside(_source_path(self.config, resources))
        job = Job.of(nb, source, name, self.level, custom)
        judgement = self._kept(job) if self.judgements else run(job)
        write_down(judgement, nb, job.key)
        for grade_id, headline, seeds in judgement["log"]:
            self.log.info(
                "%s: %s (%s; seeds of hidden cases: %s)", grade_id, headline, self.level, seeds
            )
        return nb, resources

    def _kept(self, job: Job) -> Judgement:
        """The judgement that `course grade` has made of it.

        Raises:
            RuntimeError: there is none: nbgrader hands over something else than was judged.
        """
        judgement = Judgements(Path(self.judgements)).get(job.key)
        if judgement is None:
            raise RuntimeError(
                "what nbgrader grades is not what was judged: did the notebook, its release or the "
                "configuration change meanwhile? Grade again"
            )
        return judgement
