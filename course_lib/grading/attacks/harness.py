"""Try the attack corpus on the sandbox of this machine."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import nbformat

from course_lib.grading.attacks.corpus import BYSTANDER, Submission, assignment
from course_lib.grading.believed import believed
from course_lib.grading.judge import Clock, judge
from course_lib.grading.rebuild import put_hidden_tests, rebuild
from course_lib.grading.sandbox.client import SessionLost
from course_lib.grading.sandbox.launcher import Sandbox
from course_lib.grading.sandbox.policy import Level
from course_lib.release import released_from

# What is endless is not waited for longer than needed.
CLOCK = Clock(cell=2.0, call=1.0, check=6.0, submission=10.0)


class Harness:
    """A small assignment, and a sandbox to judge its submissions in. Use as a context manager."""

    def __init__(self, level: Level) -> None:
        self.assignment = assignment()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "small.ipynb"
            nbformat.write(self.assignment, path)
            self._released = nbformat.writes(released_from(path))
        self._locked = {  # as nbgrader keeps it in its gradebook
            cell.metadata.nbgrader.grade_id: cell.source
            for cell in self.assignment.cells
            if cell.metadata.get("nbgrader", {}).get("locked")
        }
        self._open = contextlib.ExitStack()
        self.sandbox = self._open.enter_context(Sandbox(level))
        self._neighbour = self._open.enter_context(self.sandbox.session())
        for source in BYSTANDER.answers.values():
            self._neighbour.ask("run", source=source)
        self._since: list[Submission] = []  # judged since the bystander was looked at

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def marks(self, submission: Submission) -> dict[str, int]:
        """What a submission gets: 1 or 0 for each check cell."""
        self._since.append(submission)
        handed_in = submission.write(nbformat.reads(self._released, as_version=4))
        released = nbformat.reads(self._released, as_version=4)
        notebook, _ = rebuild(handed_in, released)
        put_hidden_tests(notebook, self._locked)
        verdicts = judge(notebook, believed(self.assignment), self.sandbox, "probability", CLOCK)
        return {verdict.grade_id: int(verdict.passed) for verdict in verdicts}

    def who_touched_a_bystander(self) -> str | None:
        """The name of a submission, among those judged since the last call, that spoils a session
        beside it, or an honest submission judged after it; None if there is none."""
        suspects, self._since = self._since, []
        if self._bystanders_are_untouched():
            return None
        for suspect in suspects:
            with Harness(self.sandbox.level) as alone:
                alone.marks(suspect)
                if not alone._bystanders_are_untouched():
                    return suspect.name
        return f"all of {', '.join(one.name for one in suspects)} together"

    def _bystanders_are_untouched(self) -> bool:
        try:
            beside = self._neighbour.ask("lookup", name="double")(21) == 42
        except SessionLost:
            beside = False
        return beside and self.marks(BYSTANDER) == BYSTANDER.marks
