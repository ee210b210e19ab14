"""To and from a learning management system: archives of submissions in, marks out.

`PATTERNS` are what Canvas and Moodle call the files in "download all submissions"; they are regular
expressions that `nbgrader zip_collect` takes as well (`c.FileNameCollectorPlugin.named_regexp`).
"""

from __future__ import annotations

import csv
import re
import shutil
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from nbgrader.api import Gradebook, MissingEntry, Student

from course_lib.grading.folder import CourseFolder
from course_lib.grading.intake import Refused, sane_name
from course_lib.grading.sandbox.policy import MAX_FILE, MIB

System = Literal["canvas", "moodle"]
PATTERNS: dict[System, str] = {
    # lovelaceada_LATE_4711_90210_small.ipynb
    "canvas": r"(?:.*/)?(?P<first_name>[^_/]+)_(?:LATE_)?(?P<student_id>\d+)_\d+_(?P<file_id>.+)",
    # Ada Lovelace_4711_assignsubmission_file_/small.ipynb, or without the folder
    "moodle": r"(?:.*/)?(?P<first_name>[^_/]+)_(?P<student_id>\d+)_assignsubmission_file_?/?"
    r"(?P<file_id>.+)",
}
State = Literal["graded", "not graded", "not handed in"]


def collect(
    folder: CourseFolder, assignment: str, archive: Path, system: System
) -> Iterator[tuple[str, str]]:
    """Put what is in an archive where `nbgrader collect` would, and the students' names into the
    gradebook. What a student had handed in before is kept in `.grading/replaced`.

    Yields:
        (student or file, what became of it).

    Raises:
        ValueError: the archive is no ZIP archive of that system.
    """
    if not zipfile.is_zipfile(archive):
        raise ValueError(f"archive: {archive} is no ZIP archive")
    with zipfile.ZipFile(archive) as opened:
        members = [one for one in opened.infolist() if not one.is_dir()]
        found: dict[str, list[tuple[str, zipfile.ZipInfo]]] = defaultdict(list)
        names: dict[str, str] = {}
        for member in members:
            match = re.fullmatch(PATTERNS[system], member.filename)
            if match is None:
                yield member.filename, "left out: its name says nobody's"
                continue
            found[match["student_id"]].append((match["file_id"], member))
            names[match["student_id"]] = match["first_name"].strip()
        if members and not found:
            raise ValueError(f"archive: no file in {archive.name} is called as {system} does")
        for student, files in sorted(found.items()):
            try:
                yield student, _put(folder, assignment, student, files, opened)
            except Refused as refused:
                yield student, f"left out: {refused}"
    with Gradebook(folder.directory.db_url) as gradebook:
        for student, name in names.items():
            _know(gradebook, student, name)


def _put(
    folder: CourseFolder,
    assignment: str,
    student: str,
    files: list[tuple[str, zipfile.ZipInfo]],
    archive: zipfile.ZipFile,
) -> str:
    """Write a student's files; "new", "as before" or "handed in anew"."""
    if sum(member.file_size for _, member in files) > 2 * MAX_FILE:
        raise Refused(f"more than {2 * MAX_FILE // MIB} MiB")
    there = folder.path("submitted", sane_name(student), assignment)
    there.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=there.parent) as scratch:
        made = Path(scratch) / assignment
        for name, member in files:
            path = PurePosixPath(name.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts or len(name) > 500:
                raise Refused(f"{name[:80]!r} is no name for a file")
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, (made / path).open("wb") as target:
                shutil.copyfileobj(source, target)
        if not there.exists():
            made.rename(there)
            return "new"
        if _files(made) == _files(there):
            return "as before"
        time = f"{datetime.now():%Y-%m-%dT%H-%M-%S}"
        kept = Path(folder.directory.root) / ".grading" / "replaced" / time / student / assignment
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(there, kept)
        made.rename(there)
        return "handed in anew"


def _files(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _know(gradebook: Gradebook, student: str, name: str) -> None:
    """Keep a student's name, unless the gradebook has one."""
    try:
        known = gradebook.find_student(student)
    except MissingEntry:
        gradebook.add_student(student, first_name=name, lms_user_id=student)
    else:
        if not (known.first_name or known.last_name):
            known.first_name = name
            gradebook.db.commit()


@dataclass(frozen=True)
class Result:
    """A student's mark in an assignment; `score` is None unless it is graded."""

    student: str
    name: str
    email: str
    state: State
    score: float | None
    max_score: float


def results(folder: CourseFolder, assignment: str) -> list[Result]:
    """Every student's mark, penalties for lateness taken off.

    Raises:
        ValueError: the assignment has not been released.
    """
    with Gradebook(folder.directory.db_url) as gradebook:
        try:
            most = gradebook.find_assignment(assignment).max_score
        except MissingEntry:
            raise ValueError(f"assignment: {assignment!r} has not been released") from None
        students = {student.id: student for student in gradebook.students}
        handed_in = {path.parent.name for path in folder.submitted(assignment)}
        return [
            _result(gradebook, assignment, name, students.get(name), name in handed_in, most)
            for name in sorted(students.keys() | handed_in)
        ]


def _result(
    gradebook: Gradebook,
    assignment: str,
    name: str,
    student: Student | None,
    handed_in: bool,
    most: float,
) -> Result:
    known = [student.first_name, student.last_name] if student else []
    full = " ".join(filter(None, known)) or name
    email = (student and student.email) or ""
    try:
        found = gradebook.find_submission(assignment, name)
    except MissingEntry:
        state: State = "not graded" if handed_in else "not handed in"
        return Result(name, full, email, state, None, most)
    grades = [grade for notebook in found.notebooks for grade in notebook.grades]
    if any(
        g.needs_manual_grade or (g.auto_score is None and g.manual_score is None) for g in grades
    ):
        return Result(name, full, email, "not graded", None, most)
    penalty = sum(notebook.late_submission_penalty or 0.0 for notebook in found.notebooks)
    return Result(name, full, email, "graded", max(0.0, found.score - penalty), most)


def export(found: list[Result], assignment: str, system: System, path: Path) -> None:
    """Write marks as a file that the system imports. Whoever has none gets an empty cell, not 0."""
    rows = _canvas(found, assignment) if system == "canvas" else _moodle(found)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _canvas(found: list[Result], assignment: str) -> Iterator[list[str]]:
    """A Canvas gradebook: two rows of headings, and a row a student."""
    yield ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment]
    yield ["    Points Possible", "", "", "", "", f"{found[0].max_score:g}" if found else ""]
    for one in found:
        login = "" if one.student.isdigit() else one.student
        number = one.student if one.student.isdigit() else ""
        yield [_cell(one.name), number, "", login, "", _score(one)]


def _moodle(found: list[Result]) -> Iterator[list[str]]:
    """A Moodle grading worksheet."""
    yield [
        "Identifier", "Full name", "Email address", "Status", "Grade", "Maximum grade",
        "Grade can be changed", "Last modified (submission)", "Last modified (grade)",
        "Feedback comments",
    ]  # fmt: skip
    for one in found:
        status = "No submission" if one.state == "not handed in" else "Submitted for grading"
        said = "" if one.state == "graded" else one.state
        identifier = f"Participant {one.student}" if one.student.isdigit() else one.student
        row = [identifier, _cell(one.name), one.email, status, _score(one), f"{one.max_score:g}"]
        yield [*row, "Yes", "", "", said]


def _score(one: Result) -> str:
    return "" if one.score is None else f"{one.score:g}"


def _cell(text: str) -> str:
    """A text that no table takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text
