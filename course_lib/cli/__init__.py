"""The `course` command: one module for each kind of user; importing it adds its commands."""

from __future__ import annotations

import sys

# in the order in which `course --help` lists them
from course_lib.cli import authors, doctor, instructors, learners, review, scaling  # noqa: F401
from course_lib.cli.base import app
from course_lib.notebooks import skip_web_addresses

__all__ = ["app", "main"]


def main() -> None:
    """The command; says what to install where only the library is."""
    skip_web_addresses()
    try:
        app()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("course_lib"):
            raise
        needed = "pip install 'transformers-by-hand[course]'"
        sys.exit(f"{error.name} is not installed; the notebooks and checks need it: {needed}")
