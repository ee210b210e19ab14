"""What a learner has done so far: one line of JSON for every check that was run.

The file is `.course/progress.jsonl` in the learner's workspace; `COURSE_PROGRESS` names another.
Elsewhere (the instructor's notebooks, tests) nothing is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from course_lib.checks.report import Report


def progress_file(start: Path | None = None) -> Path | None:
    """The progress file for work in `start` (default: the current folder), or None."""
    if named := os.environ.get("COURSE_PROGRESS"):
        return Path(named)
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / ".course").is_dir():
            return folder / ".course" / "progress.jsonl"
    return None


def record(report: Report) -> None:
    """Add a report to the progress file, where there is one."""
    path = progress_file()
    if path is None:
        return
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "exercise": report.exercise,
        "passed": report.passed,
        "points": report.points,
        "misconception": report.misconception,
        "headline": report.headline,
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read(path: Path) -> Iterator[dict]:
    """The recorded checks, oldest first. A line cut off by a crash is skipped."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue
