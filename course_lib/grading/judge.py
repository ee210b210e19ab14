"""The judge: check cells run here, in a process that no submission can touch.

A submission's own cells run in the sandbox. The check cells, whose text is the instructor's, run
here, with stand-ins (`sandbox/client.py`) for what the submission defines. So an exercise's
`check(...)` and an instructor's plain `assert` are judged alike, and nobody has to be asked whether
they passed.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import secrets
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_output

import course_lib.fast  # noqa: F401 - tags its twins
from course_lib.checks import CheckFailed, Report, evaluate, exercises
from course_lib.checks.clock import OutOfTime, ending_after
from course_lib.checks.custom import only
from course_lib.checks.finding import find_exercise
from course_lib.grading.believed import is_skipped, names_in
from course_lib.grading.sandbox import policy
from course_lib.grading.sandbox.client import Allowance, Session, SessionLost
from course_lib.grading.sandbox.launcher import Sandbox, SandboxUnavailable
from course_lib.twins import with_twins

# What a learner's code printed is not for MathJax to interpret.
_NO_FORMULAS = '<div class="tex2jax_ignore mathjax_ignore">%s</div>'


@dataclass
class Verdict:
    """What the judge found for one check cell. `seeds` are those of the hidden cases."""

    grade_id: str
    passed: bool
    headline: str
    reports: list[Report] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Clock:
    """Seconds of the processor's time that things may take: a submission's cell; a call of its
    functions by a plain assert; a check cell as a whole; all cells of a submission, and once more
    all its checks. What sleeps is ended after a few times as long on the wall (`policy.py`)."""

    cell: float = policy.SECONDS_PER_CELL
    call: float = policy.SECONDS_PER_CALL
    check: float = policy.SECONDS_PER_CHECK
    submission: float = policy.SECONDS_PER_SUBMISSION


def judge(
    notebook: NotebookNode,
    believed: Sequence[str],
    sandbox: Sandbox,
    module: str | None = None,
    clock: Clock = Clock(),  # frozen
    custom: str = "",
) -> list[Verdict]:
    """Run a rebuilt submission and judge its check cells; outputs are written into its cells.

    Args:
        notebook: the submission on the released notebook, check cells with their hidden tests.
        believed: the instructor's own statements that check cells rely on (`believed.py`).
        sandbox: where the submission's cells run.
        module: the checks' module of this notebook, whose references refuse to help in the
            sandbox; None for a notebook with none.
        clock: how long things may take; an exercise's check has a clock of its own.
        custom: the text that describes custom exercises (`checks/custom.py`).

    Raises:
        SandboxUnavailable: the process that sessions are forked from has ended.
    """
    with only(custom):
        return _Judge(notebook, believed, sandbox, module, clock).run()


class _Judge:
    def __init__(
        self,
        notebook: NotebookNode,
        believed: Sequence[str],
        sandbox: Sandbox,
        module: str | None,
        clock: Clock,
    ) -> None:
        self.notebook = notebook
        self.clock = clock
        self.sandbox = sandbox
        self.believed = believed
        references = [
            (exercise.reference.__module__, exercise.reference.__name__)
            for exercise in exercises().values()
            if exercise.module == module
        ]
        self.references = with_twins(references)
        self.history: list[str] = []  # cells that have run, for a session that takes over
        self.sessions = contextlib.ExitStack()
        self.session: Session | None = None
        self.for_cells = Allowance(clock.submission)
        self.for_checks = Allowance(clock.submission)
        self.room = policy.MAX_PRINTED_IN_ALL  # characters of output that are still kept

    def run(self) -> list[Verdict]:
        verdicts = []
        with self.sessions:
            for cell in self.notebook.cells:
                if cell.cell_type != "code":
                    continue
                cell.outputs, cell.execution_count = [], None
                marks = cell.metadata.get("nbgrader", {})
                if marks.get("grade") and not marks.get("solution"):
                    verdicts.append(self.judged(cell))
                elif not is_skipped(cell):
                    cell.outputs = list(self.executed(cell.source, bool(marks.get("solution"))))
        return verdicts

    # --- the submission's own cells

    def live_session(self) -> Session:
        """The session, or a new one in which all cells so far have run again."""
        if self.session is not None and not self.session.lost:
            return self.session
        self.sessions.close()
        self.session = session = self.sessions.enter_context(self.sandbox.session())
        session.ask("begin", references=self.references)
        session.allowances = (self.for_cells,)
        for source in self.history:
            with contextlib.suppress(Exception, OutOfTime):  # what it says was kept already
                session.ask("run", source=source, seconds=self.clock.cell)
        return session

    def executed(self, source: str, is_answer: bool) -> Iterator[NotebookNode]:
        """Run one of the submission's cells; what it printed, as plain text, and its error."""
        if is_answer:  # slow cells before it must not cost it its definitions
            self.for_cells.leave(policy.SECONDS_LEFT)
        elif self.for_cells.is_used_up:
            yield _error("TimeoutError", "the cells before this one have used up all the time")
            return
        too_slow = _error("TimeoutError", f"this cell took more than {self.clock.cell:g} seconds")
        try:
            session = self.live_session()
            session.allowances = (self.for_cells,)
            answer = session.ask("run", source=source, seconds=self.clock.cell)
            printed, failure = answer["printed"], answer["error"]
            self.history.append(source)
        except OutOfTime:
            yield too_slow
            return
        except SessionLost as lost:
            yield _error("SessionLost", f"this cell ended its process: {lost}")
            return
        except SandboxUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a submission may have taken its shell apart
            yield _error(type(error).__name__, str(error))
            return
        printed = _plain(printed, min(policy.MAX_PRINTED, self.room))
        self.room -= len(printed)
        if printed:
            yield new_output("stream", name="stdout", text=printed)
        if isinstance(failure, dict):
            names = failure.get("classes")
            name = names[0] if isinstance(names, list) and names else "Error"
            said = too_slow
            if name != OutOfTime.__name__:
                said = _error(name, failure.get("text"), failure.get("trace", ""))
            self.room -= len(str(said))
            yield said if self.room > 0 else _error("Error", "one more, after too much output")

    # --- the check cells

    def judged(self, cell: NotebookNode) -> Verdict:
        """Run a check cell here, and write what it says into it."""
        grade_id = cell.metadata.nbgrader.grade_id
        value = None
        while True:
            verdict = Verdict(grade_id, True, "passed")
            fresh = self.session is None or bool(self.session.lost)
            try:
                if self.for_checks.is_used_up:
                    raise CheckFailed("the checks before this one have used up all the time")
                value = self.check(cell.source, verdict, fresh)
            except SandboxUnavailable:
                raise
            except CheckFailed as failed:
                verdict.passed, verdict.headline = False, str(failed)
            except SessionLost as lost:
                if not fresh:  # a cell before may have ended it; a session for this check tells
                    continue
                verdict.passed, verdict.headline = False, str(lost)
            except OutOfTime:
                verdict.passed, verdict.headline = False, "it did not finish in time"
            except (Exception, SystemExit) as error:  # noqa: BLE001 - an assert, or worse
                verdict.passed, verdict.headline = False, self.told(error, cell.source)
            break
        cell.outputs = [_shown(report) for report in verdict.reports]
        if not verdict.passed:
            cell.outputs.append(_error("CheckFailed", verdict.headline))
        elif type(value) in (int, float):  # nbgrader counts it: partial credit
            verdict.headline = f"{value} points"
            cell.outputs.append(new_output("execute_result", {"text/plain": repr(value)}))
        named = sorted({r.misconception for r in verdict.reports if r.misconception})
        cell.metadata["course"] = {
            "judged": self.sandbox.level,
            "seeds": verdict.seeds,
            "misconceptions": named,
        }
        return verdict

    def check(self, source: str, verdict: Verdict, fresh: bool) -> Any:
        """Execute the instructor's cell with stand-ins for the submission's names; the value of
        its last line, if that is an expression."""
        session = self.live_session()
        session.seconds = self.clock.call
        session.allowances = (self.for_checks, Allowance(self.clock.check, policy.MAX_RECEIVED))
        scope: dict[str, Any] = {"__name__": "__judge__"}
        with ending_after(self.clock.check):
            for statement in self.believed:
                try:
                    exec(statement, scope)  # noqa: S102 - the instructor's own
                except ImportError:
                    raise
                except Exception:  # noqa: BLE001 - it needs, say, a file beside the notebook
                    continue
            evaluate_here = partial(self.evaluate, session)
            scope |= {"check": self.checker(session, verdict, fresh), "evaluate": evaluate_here}
            names = names_in("\n".join([source, *self.believed]))
            for name in names - scope.keys() - vars(builtins).keys():
                with contextlib.suppress(KeyError):  # Python will say that it is not defined
                    scope[name] = session.ask("lookup", name=name)
            body = ast.parse(source).body
            last = None
            if body and isinstance(end := body[-1], ast.Expr):
                last = compile(ast.Expression(end.value), "<check>", "eval")
                body.pop()
            exec(compile(ast.Module(body, []), "<check>", "exec"), scope)  # noqa: S102
            return last and eval(last, scope)

    def evaluate(self, session: Session, exercise_id: str, solution: Any, **options: Any) -> Report:
        """`evaluate` with the clock and the prohibitions of the exercise, and with what a call
        does to its arguments."""
        exercise = find_exercise(exercise_id)
        session.forbids, session.seconds = exercise.forbids, exercise.seconds
        session.changes_arguments = True
        try:
            return evaluate(exercise_id, solution, **options)
        finally:
            session.forbids, session.seconds = (), self.clock.call
            session.changes_arguments = False

    def checker(self, session: Session, verdict: Verdict, fresh: bool) -> Callable[..., None]:
        """The `check` that check cells call: as in the notebook, but its report is kept."""

        def check(exercise_id: str, solution: Any, *, hidden: bool = False) -> None:
            seed = secrets.randbits(48) if hidden else None
            if seed is not None:
                verdict.seeds.append(seed)
            report = self.evaluate(session, exercise_id, solution, seed=seed, hidden=hidden)
            if session.lost and not report.passed and not fresh:
                raise SessionLost(session.lost)
            if not (hidden and report.passed):
                verdict.reports.append(report)
            verdict.headline = report.headline
            if not report.passed:
                raise CheckFailed(f"{exercise_id} is not right yet: {report.headline}.")

        return check

    def told(self, error: BaseException, source: str) -> str:
        """What may be said of an error in a check cell: nothing of hidden tests."""
        line = next(
            (
                number
                for frame, number in traceback.walk_tb(error.__traceback__)
                if frame.f_code.co_filename == "<check>"
            ),
            0,
        )
        before = "\n".join(source.splitlines()[:line])
        hidden = before.count("BEGIN HIDDEN TESTS") > before.count("END HIDDEN TESTS")
        if hidden:
            return "not right on cases you have not seen"
        if isinstance(error, NameError):
            return f"{error}: no cell that ran to its end defines it"
        return f"{type(error).__name__}: {error}"[:500]


def _plain(text: Any, most: int) -> str:
    """A submission's word as text that can be written to a file, of bounded length."""
    return str(text)[: max(most, 0)].encode("utf-8", "replace").decode("utf-8")


def _shown(report: Report) -> NotebookNode:
    """A report as an output of its check cell."""
    text, html = report.message, report._repr_html_()
    if len(html) > policy.MAX_PRINTED:
        html = f"<pre>{escape(text[: policy.MAX_PRINTED])}</pre>"
    both = {"text/plain": text, "text/html": _NO_FORMULAS % html}
    return new_output(
        "display_data", {k: _plain(v, 2 * policy.MAX_PRINTED) for k, v in both.items()}
    )


def _error(name: Any, text: Any, trace: Any = "") -> NotebookNode:
    name, text, trace = _plain(name, 80), _plain(text, 500), _plain(trace, 5000)
    lines = [*trace.splitlines(), f"{name}: {text}"]
    return new_output("error", ename=name, evalue=text, traceback=lines)
