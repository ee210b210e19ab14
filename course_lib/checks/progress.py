"""What a learner has done so far: one line of JSON for every check that was run, and for every
reference that was shown.

The file is `.course/progress.jsonl` in the learner's workspace; `COURSE_PROGRESS` names another.
Elsewhere (the instructor's notebooks, tests) nothing is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from course_lib.checks.report import Report

REFERENCE_SEEN = "counts 0, you have seen its reference"


def progress_of(workspace: Path) -> Path:
    """The progress file of a workspace."""
    return workspace / ".course" / "progress.jsonl"


def progress_file(start: Path | None = None) -> Path | None:
    """The progress file for work in `start` (default: the current folder), or None."""
    if named := os.environ.get("COURSE_PROGRESS"):
        return Path(named)
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / ".course").is_dir():
            return progress_of(folder)
    return None


def record(report: Report) -> None:
    """Add a report to the progress file, where there is one."""
    _add(
        {
            "exercise": report.exercise,
            "passed": report.passed,
            "points": report.points,
            "misconception": report.misconception,
            "headline": report.headline,
        }
    )


def record_reference(exercise_id: str, path: Path | None = None) -> None:
    """Note that the learner gave up an exercise's points to see its reference."""
    _add({"exercise": exercise_id, "reference": "shown"}, path)


def _add(event: dict[str, Any], path: Path | None = None) -> None:
    path = path or progress_file()
    if path is None:
        return
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds")} | event
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The recorded checks, oldest first. A line cut off by a crash is skipped."""
    return (line for line in _lines(path) if "passed" in line)


def references_seen(path: Path) -> set[str]:
    """The exercises whose reference was shown: they count 0 points."""
    return {line["exercise"] for line in _lines(path) if "reference" in line}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and "exercise" in line:
            yield line
