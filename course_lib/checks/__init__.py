"""Checks: is a solution right, and if not, what was the mistake? Told at once.

from course_lib.checks import check, evaluate, exercises, show_reference
from course_lib.checks import Case, Exercise  # to describe an exercise of one's own

A name is loaded when it is first used: what a learner has done (`progress`) can be read without
torch.
"""

import importlib
from typing import Any

_FOUND_IN = {
    "Case": "exercise",
    "CheckFailed": "checking",
    "Exercise": "exercise",
    "Report": "report",
    "check": "checking",
    "evaluate": "evaluation",
    "exercises": "catalogue",
    "show_reference": "reference",
}
__all__ = list(_FOUND_IN)


def __getattr__(name: str) -> Any:
    if name in _FOUND_IN:
        return getattr(importlib.import_module(f"{__name__}.{_FOUND_IN[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_FOUND_IN])
