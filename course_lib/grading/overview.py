"""How a class did in an assignment: marks, what was right, which mistakes were met, who needs a
person. Read from nbgrader's gradebook, which is opened for reading only, and from the notebooks
that were graded."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, median
from typing import Any

from nbgrader.api import (
    Assignment,
    Grade,
    GradeCell,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)
from sqlalchemy import create_engine, select
from sqlalchemy.engine import Connection, make_url

from course_lib.grading.folder import CourseFolder
from course_lib.grading.intake import Refused, sane_name, take
from course_lib.grading.rebuild import rebuild
from course_lib.outline import CHECK
from course_lib.release import released_from

_BINS = 10


@dataclass(frozen=True)
class ExerciseOverview:
    """One exercise: how many submissions were judged on it and were right, which named mistakes
    were met, most often first, and how many submissions have each."""

    exercise: str
    points: float
    judged: int
    right: int
    misconceptions: tuple[tuple[str, int], ...]

    @property
    def share(self) -> float | None:
        """Right of judged, between 0 and 1; None where nothing was judged."""
        return self.right / self.judged if self.judged else None


@dataclass(frozen=True)
class ForAPerson:
    """A submission that somebody should look at, and why; the student's name where it is known."""

    student: str
    why: str
    name: str = ""

    @property
    def who(self) -> str:
        """The student, as an instructor knows them."""
        return f"{self.student} ({self.name})" if self.name else self.student


@dataclass(frozen=True)
class Overview:
    """An assignment. `scores` are the marks of the submissions that were graded, before any
    penalty for lateness, lowest first."""

    assignment: str
    submitted: int
    max_score: float
    scores: tuple[float, ...]
    exercises: tuple[ExerciseOverview, ...]
    for_a_person: tuple[ForAPerson, ...]

    @property
    def mean(self) -> float | None:
        return fmean(self.scores) if self.scores else None

    @property
    def median(self) -> float | None:
        return median(self.scores) if self.scores else None

    @property
    def bins(self) -> list[tuple[float, float, int]]:
        """(from, below, submissions) for ten equal ranges of marks; the last holds full marks."""
        width = self.max_score / _BINS
        place = [min(int(score / width), _BINS - 1) if width else 0 for score in self.scores]
        counts = Counter(max(i, 0) for i in place)
        return [(i * width, (i + 1) * width, counts[i]) for i in range(_BINS)]

    @property
    def misconceptions(self) -> list[tuple[str, str, int]]:
        """(exercise, mistake, submissions), the most frequent first."""
        named = [(e.exercise, name, n) for e in self.exercises for name, n in e.misconceptions]
        return sorted(named, key=lambda row: -row[2])


class ClassFolder(CourseFolder):
    """An instructor's course folder, to be read.

    Raises:
        ValueError: it has no `nbgrader_config.py`, or no gradebook.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url = make_url(self.directory.db_url)
        if self.url.drivername == "sqlite" and not Path(self.url.database or "").is_file():
            raise ValueError(f"folder: {folder} has no gradebook yet; `course grade` makes it")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to the gradebook that cannot write."""
        options: dict[str, Any] = {}
        if self.url.drivername == "sqlite":
            path = Path(self.url.database or "").resolve()
            connect = sqlite3.connect
            options["creator"] = lambda: connect(
                f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False
            )
        engine = create_engine(self.url, **options)
        try:
            with engine.connect() as connection:
                if self.url.drivername.startswith("postgresql"):
                    connection = connection.execution_options(postgresql_readonly=True)
                yield connection
        finally:
            engine.dispose()

    def assignments(self) -> list[str]:
        """Those that have been released, in order of their names."""
        with self.reading() as connection:
            return sorted(connection.scalars(select(Assignment.name)))

    def overview(self, assignment: str) -> Overview:
        """How the class did.

        Raises:
            ValueError: the assignment has not been released.
        """
        with self.reading() as connection:
            found = connection.execute(
                select(Assignment.id, Assignment.duedate).where(Assignment.name == assignment)
            ).first()
            if found is None:
                known = ", ".join(sorted(connection.scalars(select(Assignment.name)))) or "none"
                raise ValueError(f"assignment: expected one of {known}; got {assignment!r}")
            handed_in = connection.execute(
                select(
                    SubmittedAssignment.student_id,
                    SubmittedAssignment.timestamp,
                    SubmittedAssignment.extension,
                ).where(SubmittedAssignment.assignment_id == found.id)
            ).all()
            names = {
                row.id: " ".join(filter(None, (row.first_name, row.last_name)))
                for row in connection.execute(
                    select(Student.id, Student.first_name, Student.last_name)
                )
            }
            grades = connection.execute(
                select(
                    SubmittedAssignment.student_id,
                    GradeCell.name,
                    GradeCell.max_score,
                    Grade.score.label("score"),
                    Grade.auto_score,
                    Grade.manual_score,
                    Grade.needs_manual_grade,
                )
                .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
                .join(Grade, Grade.notebook_id == SubmittedNotebook.id)
                .join(GradeCell, Grade.cell_id == GradeCell.id)
                .where(SubmittedAssignment.assignment_id == found.id)
            ).all()
        submitted = [path.parent.name for path in self.submitted(assignment)]
        notebooks = {s: self._judged(s, assignment) for s in submitted if _is_sane(s)}
        graded = {student for student, cells in notebooks.items() if cells is not None}
        due = {
            row.student_id: found.duedate and found.duedate + row.extension
            if row.extension
            else found.duedate
            for row in handed_in
        }
        late = {
            row.student_id: f"late: at {local(row.timestamp)}, due {local(due[row.student_id])}"
            for row in handed_in
            if row.timestamp and due[row.student_id] and row.timestamp > due[row.student_id]
        }
        by_hand = {g.student_id for g in grades if g.needs_manual_grade}
        scores = dict.fromkeys(graded, 0.0)
        for grade in grades:
            if grade.student_id in graded:
                scores[grade.student_id] += grade.score
        checks = self._checks(assignment)
        return Overview(
            assignment,
            len(submitted),
            sum(points for _, points, _ in checks.values()),
            tuple(sorted(scores.values())),
            tuple(_exercises(checks, [g for g in grades if g.student_id in graded], notebooks)),
            tuple(self._for_a_person(assignment, submitted, graded, by_hand, late, names)),
        )

    def _checks(self, assignment: str) -> dict[str, tuple[str, float, bool]]:
        """(exercise, points, is it judged by machine?) of every graded cell, by its mark, in the
        order of the instructor's notebook."""
        found = {}
        for path in sorted(self.path("source", ".", assignment).glob("*.ipynb")):
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
                marks = cell["metadata"].get("nbgrader", {})
                if not marks.get("grade"):
                    continue
                called = CHECK.search("".join(cell["source"]))
                name = called[1] if called else marks["grade_id"].removeprefix("check-")
                found[marks["grade_id"]] = name, marks["points"], not marks["solution"]
        return found

    def _judged(self, student: str, assignment: str) -> dict[str, list[str]] | None:
        """The named mistakes in each judged cell of a submission; None if it is not graded."""
        folder = self.path("autograded", student, assignment)
        if not folder.is_dir():
            return None
        cells = {}
        for path in folder.glob("*.ipynb"):
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
                if course := cell["metadata"].get("course"):
                    name = cell["metadata"]["nbgrader"]["grade_id"]
                    cells[name] = course.get("misconceptions", [])
        return cells

    def _for_a_person(
        self,
        assignment: str,
        submitted: list[str],
        graded: set[str],
        by_hand: set[str],
        late: dict[str, str],
        names: dict[str, str],
    ) -> Iterator[ForAPerson]:
        for student in submitted:
            reasons = []
            if student not in graded:
                refusal = self._refusal(student, assignment)
                if refusal or student in by_hand:
                    reasons.append(f"refused: {refusal or '`course grade` says why'}")
                else:
                    reasons.append("not graded yet")
            elif student in by_hand:
                reasons.append("has answers that a person marks")
            if student in late:
                reasons.append(late[student])
            if reasons:
                yield ForAPerson(student, "; ".join(reasons), names.get(student, ""))

    def _refusal(self, student: str, assignment: str) -> str | None:
        """Why a submission does not get through the door, if it does not."""
        folder = self.path("submitted", student, assignment)
        try:
            sane_name(student)
            sources = sorted(self.path("source", ".", assignment).glob("*.ipynb"))
            names = [source.stem for source in sources]
            for source in sources:
                taken = take(folder, source.stem, names)
                rebuild(taken.notebook, released_from(source), taken.lines)
        except Refused as refused:
            return str(refused)
        return None


def local(time: datetime) -> str:
    """A time of the gradebook's (UTC, without saying so), as the clock here shows it."""
    return f"{time.replace(tzinfo=UTC).astimezone():%Y-%m-%d %H:%M %Z}"


def _is_sane(student: str) -> bool:
    try:
        return bool(sane_name(student))
    except Refused:
        return False


def _exercises(
    checks: Mapping[str, tuple[str, float, bool]],
    grades: Sequence[Any],
    notebooks: Mapping[str, Mapping[str, list[str]] | None],
) -> Iterator[ExerciseOverview]:
    """The exercises that are judged by machine; where a person corrected a mark, it counts."""
    mistakes: dict[str, Counter[str]] = defaultdict(Counter)
    for cells in notebooks.values():
        for name, met in (cells or {}).items():
            mistakes[name].update(met)
    for name, (exercise, points, by_machine) in checks.items():
        if not by_machine:
            continue
        mine = [g for g in grades if g.name == name and _is_marked(g)]
        right = sum(grade.score >= grade.max_score for grade in mine)
        named = tuple(mistakes[name].most_common())
        yield ExerciseOverview(exercise, points, len(mine), right, named)


def _is_marked(grade: Any) -> bool:
    return grade.auto_score is not None or grade.manual_score is not None
