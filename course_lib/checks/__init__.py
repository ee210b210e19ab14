"""Checks: is a solution right, and if not, what was the mistake? Told at once.

from course_lib.checks import check, evaluate, exercises
"""

from course_lib.checks.checking import CheckFailed, check
from course_lib.checks.evaluation import evaluate, exercises
from course_lib.checks.report import Report

__all__ = ["CheckFailed", "Report", "check", "evaluate", "exercises"]
