"""The judge: check cells run here, in a process that no submission can touch.

A submission's own cells run in the sandbox. The check cells, whose text is the instructor's, run
here, with stand-ins (`remote.py`) for what the submission defines. So an exercise's `check(...)`
and an instructor's plain `assert` are judged alike, and nobody has to be asked whether they passed.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import secrets
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_output

from course_lib.checks import CheckFailed, Report, evaluate, exercises
from course_lib.checks.attempt import OutOfTime
from course_lib.checks.evaluation import find_exercise
from course_lib.checks.own import only
from course_lib.grading.rebuild import defines, statements
from course_lib.grading.remote import Session, SessionLost
from course_lib.grading.sandbox import Sandbox

SKIPPED_TAG = "experiment"
FAST_TWINS = [  # they do what an exercise asks for, by another name
    ("course_lib.tokenization", "bpe_encode_fast"),
    ("course_lib.fast_bpe", "train_bpe_fast"),
    ("course_lib.fast_decoding", "fast_beam_search"),
    ("course_lib.fast_decoding", "fast_top_p_filter"),
    ("course_lib.fast_decoder", "next_token_loss"),
]
# What a learner's code printed is not for MathJax to interpret.
_NO_FORMULAS = '<div class="tex2jax_ignore mathjax_ignore">%s</div>'
MAX_SESSIONS = 4  # the first one and three more


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
    """Seconds that a submission's cell may take, and a call of its functions by a plain assert."""

    cell: float = 60.0
    call: float = 10.0


def judge(
    notebook: NotebookNode,
    imports: Sequence[str],
    sandbox: Sandbox,
    module: str | None = None,
    clock: Clock = Clock(),  # noqa: B008 - frozen
    own: str = "",
) -> list[Verdict]:
    """Run a rebuilt submission and judge its check cells; outputs are written into its cells.

    Args:
        notebook: the submission on the released notebook, check cells with their hidden tests.
        imports: the instructor's import statements, which check cells may rely on.
        sandbox: where the submission's cells run.
        module: the checks' module of this notebook, whose references refuse to help in the
            sandbox; None for a notebook with none.
        clock: how long things may take; an exercise's check has a clock of its own.
        own: the instructor's own exercises (`course_lib.checks.own`).
    """
    with only(own):
        return _Judge(notebook, imports, sandbox, module, clock).run()


def imports_of(source: NotebookNode) -> list[str]:
    """The import statements outside the answers of an instructor's notebook."""
    statements = []
    for cell in source.cells:
        answer = cell.metadata.get("nbgrader", {}).get("solution", False)
        if cell.cell_type != "code" or answer:
            continue
        with contextlib.suppress(SyntaxError):
            nodes = ast.parse(cell.source).body
            statements += [
                ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)
            ]
    return statements


class _Judge:
    def __init__(
        self,
        notebook: NotebookNode,
        imports: Sequence[str],
        sandbox: Sandbox,
        module: str | None,
        clock: Clock,
    ) -> None:
        self.notebook = notebook
        self.clock = clock
        self.sandbox = sandbox
        self.references = [
            (exercise.reference.__module__, exercise.reference.__name__)
            for exercise in exercises().values()
            if exercise.module == module
        ] + FAST_TWINS
        self.trusted: dict[str, Any] = {"__name__": "__judge__"}
        for statement in imports:
            exec(statement, self.trusted)  # noqa: S102 - the instructor's own imports
        self.own = {  # what the answers define
            name
            for cell in self.notebook.cells
            if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution")
            for name in _top_level_names(cell.source)
        }
        self.history: list[str] = []  # cells that have run, for a session that takes over
        self.sessions = contextlib.ExitStack()
        self.n_sessions = 0
        self.second_chances: set[str] = set()  # exercises that ran out of time once
        self.session: Session | None = None

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
                elif SKIPPED_TAG not in cell.metadata.get("tags", []):
                    cell.outputs = list(self.executed(cell.source))
        return verdicts

    # --- the submission's own cells

    def live_session(self) -> Session:
        """The session, or a new one in which all cells so far have run again."""
        if self.session is not None and not self.session.lost:
            return self.session
        self.sessions.close()
        if self.n_sessions == MAX_SESSIONS:
            raise SessionLost("the submission's process ended again and again")
        self.n_sessions += 1
        self.session = self.sessions.enter_context(self.sandbox.session())
        self.session.ask("begin", references=self.references)
        for source in self.history:
            with contextlib.suppress(Exception):  # what it says was kept when it ran first
                self.session.ask("run", source=source, seconds=self.clock.cell)
        return self.session

    def executed(self, source: str) -> Iterator[NotebookNode]:
        """Run one of the submission's cells; what it printed, as plain text, and its error."""
        try:
            answer = self.live_session().ask("run", source=source, seconds=self.clock.cell)
            printed, error = str(answer["printed"]), answer["error"]
            self.history.append(source)
        except OutOfTime:
            yield _error("TimeoutError", f"this cell took more than {self.clock.cell:g} seconds")
            return
        except SessionLost as lost:
            yield _error("SessionLost", f"this cell ended its process: {lost}")
            return
        except Exception as error:  # noqa: BLE001 - a submission may have taken its shell apart
            yield _error(type(error).__name__, f"{error}")
            return
        if printed:
            yield new_output("stream", name="stdout", text=printed)
        if isinstance(error, dict):
            name = (error.get("classes") or ["Error"])[0]
            yield _error(str(name), str(error.get("text")), str(error.get("trace")))

    # --- the check cells

    def judged(self, cell: NotebookNode) -> Verdict:
        """Run a check cell here, and write what it says into it."""
        grade_id = cell.metadata.nbgrader.grade_id
        while True:
            verdict = Verdict(grade_id, True, "passed")
            try:
                self.check(cell.source, verdict)
            except CheckFailed as failed:
                verdict.passed, verdict.headline = False, str(failed)
            except SessionLost as lost:
                if self.n_sessions < MAX_SESSIONS:
                    continue
                verdict.passed, verdict.headline = False, str(lost)
            except OutOfTime:
                verdict.passed, verdict.headline = False, "it did not finish in time"
            except Exception as error:  # noqa: BLE001 - an assert of the instructor's, or worse
                verdict.passed, verdict.headline = False, self.told(error, cell.source)
            break
        cell.outputs = [
            new_output(
                "display_data",
                {"text/plain": report.message, "text/html": _NO_FORMULAS % report._repr_html_()},
            )
            for report in verdict.reports
        ]
        if not verdict.passed:
            cell.outputs.append(_error("CheckFailed", verdict.headline))
        named = sorted({r.misconception for r in verdict.reports if r.misconception})
        cell.metadata["course"] = {
            "judged": self.sandbox.level,
            "seeds": verdict.seeds,
            "misconceptions": named,
        }
        return verdict

    def check(self, source: str, verdict: Verdict) -> None:
        """Execute the instructor's cell with stand-ins for the submission's names."""
        session = self.live_session()
        session.seconds = self.clock.call
        tree = ast.parse(source)
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        scope = dict(self.trusted, check=self.checker(verdict), evaluate=evaluate)
        for name in names:
            ours = name in ("check", "evaluate") or hasattr(builtins, name)
            if ours or (name in self.trusted and name not in self.own):
                continue
            try:
                scope[name] = session.ask("lookup", name=name)
            except KeyError:
                scope.pop(name, None)  # Python will say that it is not defined
        exec(compile(tree, "<check>", "exec"), scope)  # noqa: S102 - the instructor's own cell

    def checker(self, verdict: Verdict) -> Callable[..., None]:
        """The `check` that check cells call: as in the notebook, but its report is kept."""

        def check(exercise_id: str, solution: Any, *, hidden: bool = False) -> None:
            exercise = find_exercise(exercise_id)
            seed = secrets.randbits(48) if hidden else None
            if hidden:
                verdict.seeds.append(seed)
            session = self.session
            session.forbids, session.seconds = exercise.forbids, max(exercise.seconds - 1.5, 1.0)
            try:
                report = evaluate(exercise_id, solution, seed=seed, hidden=hidden)
            finally:
                session.forbids, session.seconds = (), self.clock.call
            late = "finish" in report.headline
            if late and exercise_id not in self.second_chances:
                self.second_chances.add(exercise_id)  # a busy machine must not cost marks
                raise SessionLost("it did not finish in time")
            if session.lost and not report.passed and not late:
                raise SessionLost(session.lost)
            if not (hidden and report.passed):
                verdict.reports.append(report)
            verdict.headline = report.headline
            if not report.passed:
                raise CheckFailed(f"{exercise_id} is not right yet: {report.headline}.")

        return check

    def told(self, error: Exception, source: str) -> str:
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
            return f"{error}: the cell that defines it did not run to its end"
        return f"{type(error).__name__}: {error}"[:500]


def _top_level_names(source: str) -> set[str]:
    assigned = [
        t for node in statements(source) if isinstance(node, ast.Assign) for t in node.targets
    ]
    return {target.id for target in assigned if isinstance(target, ast.Name)} | defines(source)


def _error(name: str, text: str, trace: str = "") -> NotebookNode:
    lines = [*trace.splitlines(), f"{name}: {text}"]
    return new_output("error", ename=name, evalue=text, traceback=lines)
