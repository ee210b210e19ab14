"""A whole class: every submission of an assignment judged, and nbgrader's gradebook filled.

Judging is spread over processes (`pool.py`); the gradebook has one writer, this process, and what
it writes goes through nbgrader's own `autograde`, which finds each judgement and judges
nothing. Stop it at any moment: the next run goes on where this one was.
"""

from __future__ import annotations

import json
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import nbformat
from nbformat import NotebookNode
from nbgrader.api import MissingEntry
from nbgrader.apps import NbGraderAPI
from nbgrader.utils import rmtree
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SAWarning

from course_lib.checks.custom import described, text_beside
from course_lib.grading.changes import Changes, accept, changes
from course_lib.grading.folder import CourseFolder
from course_lib.grading.intake import Refused, sane_name, take
from course_lib.grading.jobs import Job, Judgements
from course_lib.grading.pool import Judged
from course_lib.grading.rebuild import put_hidden_tests, rebuild
from course_lib.grading.refusals import take_grades_back
from course_lib.grading.sandbox.policy import LEVELS, Level
from course_lib.grading.written import Written, content_of, files_in, outcome_of, rules_of
from course_lib.release import released_from

JUDGEMENTS = ".grading"  # the folder beside the gradebook
JUDGE = "course_lib.grading.preprocessors.Judge"
REBUILD = "course_lib.grading.preprocessors.Rebuild"
SUBMISSION = "course_lib.grading.nbgrader.autograde.Submission"
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
    jobs: list[Job]
    repairs: tuple[str, ...]
    content: str = ""  # a number for all its cells
    files: list[list[str]] = field(default_factory=list)  # those beside its notebooks
    missing: set[str] = field(default_factory=set)  # keys of jobs that nobody has judged before
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
        self.written = Written(folder / JUDGEMENTS / "written")
        self.rules: dict[str, object] = {}  # by assignment, while it is graded
        self.judgements = Judgements(folder / JUDGEMENTS)
        config.Autograde.exporter_class = SUBMISSION  # also where an older configuration lacks it
        config.Judge.judgements = str(self.judgements.folder)
        for steps in ("sanitize_preprocessors", "autograde_preprocessors"):
            config.Autograde[steps] = [s for s in config.Autograde[steps] if s not in IDLE]
        self.api = NbGraderAPI(self.directory, config=config)

    def assignments(self) -> list[str]:
        """Those that somebody has handed in."""
        return sorted({path.name for path in self.submitted("*") if path.is_dir()})

    def source_path(self, assignment: str, name: str) -> Path:
        """The instructor's notebook called `name`."""
        return self.path("source", ".", assignment) / f"{name}.ipynb"

    def locked(self, assignment: str) -> dict[str, dict[str, str]]:
        """The texts of the cells that learners cannot change, hidden tests included, by notebook
        and the cells' ids: as they were when the assignment was released.

        Raises:
            ValueError: it has not been released.
        """
        with self.api.gradebook as gradebook:
            try:
                notebooks = gradebook.find_assignment(assignment).notebooks
            except MissingEntry:
                hint = f"nbgrader generate_assignment {assignment}"
                told = f"assignment: {assignment!r} has not been released; run: {hint}"
                raise ValueError(told) from None
            return {
                n.name: {c.name: c.source for c in n.source_cells if c.locked} for n in notebooks
            }

    def changes(self, assignment: str) -> Changes:
        """What has changed in the assignment's notebooks since its release."""
        with self.api.gradebook as gradebook:
            source = self.path("source", ".", assignment)
            return changes(gradebook, assignment, source, self.config)

    def accept_changes(self, assignment: str) -> Path | None:
        """Let the gradebook follow the notebooks as they are now.

        Returns:
            A copy of the gradebook as it was, where it is a file.

        Raises:
            ValueError: the assignment has not been released, or nbgrader cannot release it again.
        """
        self.locked(assignment)
        copy = None
        url = make_url(self.directory.db_url)
        if url.drivername == "sqlite" and url.database:
            copy = self.judgements.folder / f"gradebook-{datetime.now():%Y-%m-%dT%H-%M-%S}.db"
            copy.parent.mkdir(parents=True, exist_ok=True)
            with (
                closing(sqlite3.connect(url.database)) as old,
                closing(sqlite3.connect(copy)) as new,
            ):
                old.backup(new)
        with self.api.gradebook as gradebook:
            accept(gradebook, assignment, self.path("source", ".", assignment), self.config)
        result = self.api.generate_assignment(assignment, force=True)
        if not result["success"]:
            raise ValueError(f"assignment: {_cause(result)}")
        return copy

    def grade(
        self,
        assignment: str,
        judge_all: Callable[[Iterable[Job]], Iterator[Judged]],
        student: str | None = None,
    ) -> Iterator[Graded]:
        """Grade every submission of an assignment, in the order of the students' names.

        Args:
            assignment: its name.
            judge_all: judges the jobs that are new; see `pool.py`.
            student: the only one to be graded, if it is not the class.

        Raises:
            ValueError: the student has not handed in; the assignment has not been released, or its
                notebooks have other cells since; or the description of the instructor's own
                exercises does not run.
        """
        locked = self.locked(assignment)
        if (found := self.changes(assignment)).cells:
            raise ValueError(found.sentence)
        with self.api.gradebook as gradebook:
            self.rules[assignment] = rules_of(gradebook, assignment, self.config)
        sources = {name: nbformat.read(self.source_path(assignment, name), 4) for name in locked}
        custom = {name: text_beside(self.source_path(assignment, name)) for name in sources}
        for text in custom.values():
            described(text)
        released = {name: released_from(self.source_path(assignment, name)) for name in sources}
        submissions = [
            self._prepared(path.parent.name, assignment, sources, released, locked, custom)
            for path in self.submitted(assignment)
            if student in (None, path.parent.name)
        ]
        if student is not None and not submissions:
            raise ValueError(f"student: {student!r} has not handed in {assignment}")
        with self.api.gradebook as gradebook:
            known = {s.student.id for s in gradebook.assignment_submissions(assignment)}
        new = {job.key: job for s in submissions for job in s.jobs if job.key in s.missing}
        judged = judge_all(list(new.values()))
        refused: dict[str, Refused] = {}  # by the key of a job
        for submission in submissions:
            while not new.keys().isdisjoint(submission.missing):
                job, judgement = next(judged)
                del new[job.key]
                if isinstance(judgement, Refused):
                    refused[job.key] = judgement
                else:
                    self.judgements.put(job.key, judgement)
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
        locked: dict[str, dict[str, str]],
        custom: dict[str, str],
    ) -> _Submission:
        folder = self.path("submitted", student, assignment)
        jobs: list[Job] = []
        repairs: list[str] = []
        notebooks: list[NotebookNode] = []
        try:
            sane_name(student)
            for name, source in sources.items():
                taken = take(folder, name, sources)
                notebook, lines = rebuild(taken.notebook, released[name], taken.lines)
                repairs += lines
                put_hidden_tests(notebook, locked[name])
                notebooks.append(notebook)
                jobs.append(Job.of(notebook, source, name, self.level, custom[name]))
            files = files_in(folder)
        except Refused as refused:
            return _Submission(student, [], tuple(repairs), refused=refused)
        except Exception as error:  # noqa: BLE001 - what makes no sense is its own affair
            reason = Refused(f"it cannot be read: {type(error).__name__}: {error}")
            return _Submission(student, [], tuple(repairs), refused=reason)
        missing = {job.key for job in jobs if self.judgements.get(job.key) is None}
        return _Submission(student, jobs, tuple(repairs), content_of(notebooks), files, missing)

    def _committed(self, submission: _Submission, assignment: str, known: bool) -> Graded:
        """Write what was found into the gradebook; `known`: an earlier run may have done so."""
        student, repairs = submission.student, submission.repairs
        if submission.refused:
            return self._refused(student, assignment, str(submission.refused))
        keys = {job.key for job in submission.jobs}
        files = [submission.files, files_in(self.path("source", ".", assignment))]
        made_of = [sorted(keys), submission.content, files, self.rules[assignment]]
        if known and self._is_written(student, assignment, keys, made_of):
            return Graded(student, "unchanged", repairs=repairs)
        result = self.api.autograde(assignment, student, force=True)
        if not result["success"]:
            return self._refused(student, assignment, _cause(result))
        with self.api.gradebook as gradebook:
            outcome = outcome_of(gradebook, assignment, student)
        self.written.put(assignment, student, made_of, outcome)
        return Graded(student, "graded", repairs=repairs)

    def _is_written(
        self, student: str, assignment: str, keys: set[str], made_of: list[object]
    ) -> bool:
        """Is what stands in the gradebook what would be written now?"""
        written = set()
        for path in self.path("autograded", student, assignment).glob("*.ipynb"):
            try:
                notebook = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:  # whoever wrote it was stopped
                return False
            written.add(notebook["metadata"].get("course", {}).get("key"))
        if written != keys:
            return False
        with self.api.gradebook as gradebook:
            outcome = outcome_of(gradebook, assignment, student)
        return self.written.is_as_it_was(assignment, student, made_of, outcome)

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
            take_grades_back(gradebook, assignment, student)
        return Graded(student, "refused", reason)


def _cause(result: dict[str, str | bool]) -> str:
    """The last line of nbgrader's log that says what was wrong."""
    said = str(result.get("log") or "") + str(result.get("error") or "")
    lines = [line for line in said.splitlines() if "Error" in line or "Refused" in line]
    return lines[-1].strip() if lines else "nbgrader could not grade it"
