"""Make a learner's copies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from course_lib.release import release


def start(workspace: Path) -> Iterator[tuple[Path, bool]]:
    """Make the learner's workspace, or complete it; what is there already is left alone.

    Yields:
        (path, written) for each notebook.
    """
    (workspace / ".course").mkdir(parents=True, exist_ok=True)
    yield from release(workspace)
