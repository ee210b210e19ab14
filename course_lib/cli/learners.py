"""For learners: start, lab, check, submit, and how far one is."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer
from rich.table import Table

from course_lib.cli.base import Name, Workspace, app, console, copies_in, ending
from course_lib.notebooks import WORKSPACE, Unreadable, notebook_path

# `course start` keeps a file that is there, so it is no help with one that cannot be read.
_HELP = (
    ". Copies of your notebook may lie in .backups of your workspace and in .ipynb_checkpoints "
    "beside it; else rename it, and `course start` makes a fresh one"
)


@app.command()
def start(workspace: Workspace = WORKSPACE) -> None:
    """Make your copies of the notebooks; what is there already stays as it is."""
    from course_lib.workspace.start import start as make_workspace

    for path, written in make_workspace(workspace):
        console.print(f"{'made' if written else 'kept'}  {workspace.name}/{path.stem}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(context: typer.Context, workspace: Workspace = WORKSPACE) -> None:
    """Open the course in JupyterLab: your copies, and a page that says what comes next.

    What follows `--` goes to JupyterLab: course lab -- --no-browser --port 9999
    """
    from jupyterlab.labapp import LabApp

    from course_lib.server import lab_arguments

    start(workspace)
    LabApp.launch_instance([*lab_arguments(workspace), *context.args])


@app.command()
def reset(
    name: Annotated[str, typer.Argument(help="a notebook (03_attention) or an exercise's id")],
    exercise: Annotated[str | None, typer.Argument(help="such as softmax")] = None,
    workspace: Workspace = WORKSPACE,
) -> None:
    """Begin an exercise anew: its answer cell as it was released. Your notebook is copied first."""
    from course_lib.workspace.reset import reset as put_back

    with ending(ValueError, hint=copies_in(workspace)):
        exercise, copy = put_back(name, exercise, workspace)
    console.print(f"{exercise} is as it was released. Your notebook as it was: {copy}")
    console.print("If the notebook is open in JupyterLab: File > Reload Notebook from Disk.")


@app.command()
def update(name: Name, workspace: Workspace = WORKSPACE) -> None:
    """Put the course's corrected text around your answers. Your notebook is copied first."""
    from course_lib.workspace.update import update as put_around

    with ending(ValueError, hint=copies_in(workspace)):
        done, copy = put_around(name, workspace)
    console.print(
        f"{done.corrected} cells corrected, {done.added} added; your answers and {done.kept} other "
        f"cells stay. {done.lines} lines of corrected cells are kept at the end of the notebook."
    )
    console.print(f"Your notebook as it was: {copy}", markup=False)
    console.print("If the notebook is open in JupyterLab: File > Reload Notebook from Disk.")


@app.command()
def check(name: Name, workspace: Workspace = WORKSPACE) -> None:
    """Run the checks of your notebook, without its experiments, and show the verdicts."""
    from course_lib.workspace.check import check_notebook

    with ending(Unreadable, hint=_HELP), ending(ValueError, hint=copies_in(workspace)):
        found, ended = check_notebook(name, workspace)
    table = Table("exercise", "verdict", "points", box=None)
    for one in found:
        points = f"{one.points:g} of {one.max_points:g}"
        said = one.headline if one.attempts else "its check did not run"
        table.add_row(one.exercise, said, points)
    console.print(table)
    for begins in ended:
        console.print(f"A cell ended its kernel, and was left out: {begins}", markup=False)


@app.command()
def submit(
    name: Name,
    workspace: Workspace = WORKSPACE,
    show: Annotated[bool, typer.Option(help="open the feedback page in the browser")] = True,
) -> None:
    """Grade your notebook as an instructor would, hidden checks included, and show the feedback."""
    from course_lib.checks.progress import progress_of, references_seen
    from course_lib.grading.single import GradingFailed, counted, grade_one

    console.print(f"Grading {name} with fresh cases; this takes some seconds ...")
    with ending(ValueError, hint=copies_in(workspace)):
        path = notebook_path(name, workspace)
    page = workspace / "feedback" / f"{path.stem}.html"
    with ending(GradingFailed):
        marks = counted(grade_one(path, page), references_seen(progress_of(workspace)))
    table = Table("exercise", "points", box=None)
    for mark in marks:
        got = "left to a person" if mark.score is None else f"{mark.score:g} of {mark.max_score:g}"
        table.add_row(mark.exercise, f"{got}  {mark.note}")
    console.print(table)
    judged = [mark for mark in marks if mark.score is not None]
    total, most = sum(m.score or 0 for m in judged), sum(m.max_score for m in judged)
    console.print(f"{total:g} of {most:g} points. Feedback: {page}")
    if show:
        webbrowser.open(page.as_uri())


@app.command()
def progress(workspace: Workspace = WORKSPACE) -> None:
    """Show how far you are, notebook by notebook and exercise by exercise."""
    from course_lib.workspace.standing import standing

    table = Table("notebook", "exercise", "state", "points", "attempts", "last word", box=None)
    lines = list(standing(workspace))
    for line in lines:
        points = f"{line.points:g} of {line.max_points:g}"
        attempts = str(line.attempts or "")
        table.add_row(line.notebook, line.exercise, line.state, points, attempts, line.headline)
    console.print(table)
    total, most = sum(line.points for line in lines), sum(line.max_points for line in lines)
    done = sum(line.passed for line in lines)
    console.print(f"{done} of {len(lines)} exercises are right: {total:g} of {most:g} points.")


@app.command()
def exercises() -> None:
    """List every exercise with its points, misconceptions and alternatives."""
    from course_lib.checks import exercises as every_exercise

    table = Table("exercise", "points", "misconceptions", "alternatives", box=None)
    found = every_exercise().values()
    for one in found:
        table.add_row(
            one.id, str(one.points), str(len(one.misconceptions)), str(len(one.alternatives))
        )
    table.add_row(
        f"{len(found)} exercises",
        str(sum(one.points for one in found)),
        str(sum(len(one.misconceptions) for one in found)),
        str(sum(len(one.alternatives) for one in found)),
    )
    console.print(table)
