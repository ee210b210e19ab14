"""A whole class: every submission of an assignment judged, and nbgrader's gradebook filled.

Judging is spread over processes (`pool.py`); the gradebook has one writer, this process, and what
it writes goes through nbgrader's own `autograde`, which finds each case already decided. Stop it at
any moment: the next run goes on where this one was.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import nbformat
from nbformat import NotebookNode
from nbgrader.api import MissingEntry
from nbgrader.apps import NbGraderAPI
from nbgrader.utils import rmtree
from sqlalchemy.exc import SAWarning

from course_lib.checks.own import described, text_beside
from course_lib.grading.case import Case, Findings
from course_lib.grading.door import Refused, only_plain_files, read_submission, sane_name
from course_lib.grading.folder import CourseFolder
from course_lib.grading.pool import Decided
from course_lib.grading.rebuild import put_hidden_tests, rebuild
from course_lib.grading.release import released_from
from course_lib.grading.sandbox import LEVELS, Level

FINDINGS = ".grading"  # the folder beside the gradebook
JUDGE = "course_lib.grading.preprocessors.Judge"
REBUILD = "course_lib.grading.preprocessors.Rebuild"
# Steps of nbgrader's that find nothing left to do in a notebook rebuilt on ours: they would cost
# as much as everything else.
IDLE = {
    f"nbgrader.preprocessors.{name}"
    for name in ("ClearOutput", "DeduplicateIds", "OverwriteKernelspec", "CheckCellMetadata")
}


@dataclass(frozen=True)
class Graded:
    """What became of one student's submission."""

    student: str
    state: Literal["graded", "unchanged", "refused"]
    reason: str = ""  # of a refusal
    repairs: tuple[str, ...] = ()


@dataclass
class _Submission:
    student: str
    cases: list[Case]
    repairs: tuple[str, ...]
    missing: set[str] = field(default_factory=set)  # keys of cases that nobody has decided before
    refused: Refused | None = None


class Course(CourseFolder):
    """An instructor's course folder, to be graded.

    Args:
        folder: where nbgrader's commands would be run.
        level: how submissions are shut in; the configuration's own (`c.Judge.level`) if not given.

    Raises:
        ValueError: the folder has no configuration, or one that would not use our judge.
    """

    def __init__(self, folder: Path, level: Level | None = None) -> None:
        super().__init__(folder)
        config = self.config
        steps = str(config.Autograde)
        if JUDGE not in steps or REBUILD not in steps:
            raise ValueError(f"nbgrader_config.py: expected {REBUILD} and {JUDGE} in its Autograde")
        if level not in (None, *LEVELS):
            raise ValueError(f"level must be one of {', '.join(LEVELS)}; got {level!r}")
        if level:
            config.Judge.level = level
        self.level: Level = config.Judge.get("level", "bwrap")
        self.findings = Findings(folder / FINDINGS)
        config.Judge.findings = str(self.findings.folder)
        for steps in ("sanitize_preprocessors", "autograde_preprocessors"):
            config.Autograde[steps] = [s for s in config.Autograde[steps] if s not in IDLE]
        self.api = NbGraderAPI(self.directory, config=config)

    def assignments(self) -> list[str]:
        """Those that somebody has handed in."""
        return sorted({path.name for path in self.submitted("*") if path.is_dir()})

    def source_path(self, assignment: str, name: str) -> Path:
        """The instructor's notebook called `name`."""
        return self.path("source", ".", assignment) / f"{name}.ipynb"

    def sources(self, assignment: str) -> dict[str, NotebookNode]:
        """The instructor's notebooks of an assignment, by name.

        Raises:
            ValueError: there is none, or it has not been released.
        """
        folder = self.path("source", ".", assignment)
        found = {path.stem: nbformat.read(path, as_version=4) for path in folder.glob("*.ipynb")}
        with self.api.gradebook as gradebook:
            try:
                gradebook.find_assignment(assignment)
            except MissingEntry:
                found = {}
        if not found:
            hint = f"nbgrader generate_assignment {assignment}"
            raise ValueError(f"assignment: {assignment!r} has not been released; run: {hint}")
        return found

    def grade(
        self, assignment: str, decide_all: Callable[[Iterable[Case]], Iterator[Decided]]
    ) -> Iterator[Graded]:
        """Grade every submission of an assignment, in the order of the students' names.

        Args:
            assignment: its name.
            decide_all: judges the cases that are new; see `pool.py`.

        Raises:
            ValueError: the assignment has not been released, or the description of the
                instructor's own exercises does not run.
        """
        sources = self.sources(assignment)
        own = {name: text_beside(self.source_path(assignment, name)) for name in sources}
        for text in own.values():
            described(text)
        released = {name: released_from(self.source_path(assignment, name)) for name in sources}
        submissions = [
            self._prepared(path.parent.name, assignment, sources, released, own)
            for path in self.submitted(assignment)
        ]
        with self.api.gradebook as gradebook:
            known = {s.student.id for s in gradebook.assignment_submissions(assignment)}
        new = {case.key: case for s in submissions for case in s.cases if case.key in s.missing}
        decided = decide_all(list(new.values()))
        refused: dict[str, Refused] = {}  # by the key of a case
        for submission in submissions:
            while not new.keys().isdisjoint(submission.missing):
                case, finding = next(decided)
                del new[case.key]
                if isinstance(finding, Refused):
                    refused[case.key] = finding
                else:
                    self.findings.put(case.key, finding)
            for key in submission.missing & refused.keys():
                submission.refused = refused[key]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SAWarning)  # nbgrader's own way with its database
                graded = self._committed(submission, assignment, submission.student in known)
            yield graded

    def _prepared(
        self,
        student: str,
        assignment: str,
        sources: dict[str, NotebookNode],
        released: dict[str, NotebookNode],
        own: dict[str, str],
    ) -> _Submission:
        folder = self.path("submitted", student, assignment)
        cases, repairs = [], []
        try:
            sane_name(student)
            only_plain_files(folder)
            for name, source in sources.items():
                submitted = read_submission(folder / f"{name}.ipynb")
                notebook, lines = rebuild(submitted, released[name])
                repairs += lines
                put_hidden_tests(notebook, source)
                cases.append(Case.of(notebook, source, name, self.level, own[name]))
        except Refused as refused:
            return _Submission(student, [], tuple(repairs), refused=refused)
        missing = {case.key for case in cases if self.findings.get(case.key) is None}
        return _Submission(student, cases, tuple(repairs), missing)

    def _committed(self, submission: _Submission, assignment: str, known: bool) -> Graded:
        """Write what was found into the gradebook; `known`: an earlier run may have done so."""
        student, repairs = submission.student, submission.repairs
        if submission.refused:
            return self._refused(student, assignment, str(submission.refused))
        keys = {case.key for case in submission.cases}
        if known and self._is_written(student, assignment, keys):
            return Graded(student, "unchanged", repairs=repairs)
        result = self.api.autograde(assignment, student, force=True)
        if not result["success"]:
            return self._refused(student, assignment, _cause(result))
        return Graded(student, "graded", repairs=repairs)

    def _is_written(self, student: str, assignment: str, keys: set[str]) -> bool:
        """Is what nbgrader wrote last made from the same cases, handed in at the same time?"""
        submitted = self.path("submitted", student, assignment)
        autograded = self.path("autograded", student, assignment)
        stamps = [folder / "timestamp.txt" for folder in (submitted, autograded)]
        mine, theirs = (path.read_text() if path.exists() else None for path in stamps)
        written = set()
        for path in autograded.glob("*.ipynb"):
            notebook = json.loads(path.read_text(encoding="utf-8"))
            written.add(notebook["metadata"].get("course", {}).get("key"))
        return mine == theirs and written == keys

    def _refused(self, student: str, assignment: str, reason: str) -> Graded:
        """No grade of an earlier time stays; formgrader shows that somebody has to look."""
        try:
            sane_name(student)
        except Refused:
            return Graded(student, "refused", reason)
        autograded = self.path("autograded", student, assignment)
        if autograded.exists():
            rmtree(autograded)
        with self.api.gradebook as gradebook:
            gradebook.update_or_create_student(student)
            found = gradebook.update_or_create_submission(assignment, student)
            for grade in [grade for notebook in found.notebooks for grade in notebook.grades]:
                grade.auto_score, grade.needs_manual_grade = None, True
            gradebook.db.commit()
        return Graded(student, "refused", reason)


def _cause(result: dict[str, str | bool]) -> str:
    """The last line of nbgrader's log that says what was wrong."""
    said = str(result.get("log") or "") + str(result.get("error") or "")
    lines = [line for line in said.splitlines() if "Error" in line or "Refused" in line]
    return lines[-1].strip() if lines else "nbgrader could not grade it"
