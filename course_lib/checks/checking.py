"""The check a learner runs below an exercise."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any

from course_lib.checks import progress
from course_lib.checks.evaluation import evaluate
from course_lib.checks.report import Report

UNTRUSTED = (
    "Not judged: nbgrader_config.py of the course was not loaded, so this ran in the submission's "
    "own kernel, where a submission could say of itself that it is right. Run nbgrader in the "
    "course's folder, with TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR=1, or `course grade`."
)


class CheckFailed(Exception):
    """An exercise is not right yet. The report above it says why, so it shows as one line."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints instead of a traceback."""
        return [str(self)]


def check(exercise_id: str, solution: Any, *, hidden: bool = False) -> None:
    """Evaluate a solution and show the report.

    With `hidden`, other seeds and larger cases are tried, and a right solution is told nothing
    more: this is what grading runs.

    Raises:
        CheckFailed: the solution is not right; nbgrader counts this. Or nbgrader is grading in the
            submission's own kernel, because its configuration did not load.
        ValueError: no exercise has this id.
    """
    if os.environ.get("NBGRADER_EXECUTION") == "autograde":
        raise CheckFailed(UNTRUSTED)
    report = _counted(evaluate(exercise_id, solution, hidden=hidden))
    progress.record(report)
    if not (hidden and report.passed):
        _show(report)
    if not report.passed:
        raise CheckFailed(f"{exercise_id} is not right yet: {report.headline}.")


def _counted(report: Report) -> Report:
    """The report, worth nothing if the learner has seen the reference."""
    path = progress.progress_file()
    if path is None or report.exercise not in progress.references_seen(path):
        return report
    headline = f"{report.headline}; {progress.REFERENCE_SEEN}"
    return replace(report, points=0.0, headline=headline)


def _show(report: Report) -> None:
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        from IPython.display import display

        display(report)
    else:
        print(report.message)
