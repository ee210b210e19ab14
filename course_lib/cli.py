"""The `course` command."""

from __future__ import annotations

import sys
import webbrowser
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from course_lib.notebooks import WORKSPACE
from course_lib.review.commands import add_to as add_review_commands

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The course, from a terminal.")
console = Console(highlight=False, soft_wrap=True)

Workspace = Annotated[Path, typer.Option(help="the folder with your copies", resolve_path=True)]
Name = Annotated[str, typer.Argument(help="a notebook, such as 03_attention, or 03 for short")]


def main() -> None:
    """The command; says what to install where only the library is."""
    try:
        app()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("course_lib"):
            raise
        needed = "pip install 'transformers-by-hand[course]'"
        sys.exit(f"{error.name} is not installed; the notebooks and checks need it: {needed}")


def _stop(message: object) -> typer.Exit:
    console.print(str(message), style="red", markup=False)
    return typer.Exit(1)


def _no_copy(error: ValueError, workspace: Path) -> typer.Exit:
    return _stop(f"{error} (in {workspace}; `course start` makes your copies)")


# --- for learners --------------------------------------------------------------------------


@app.command()
def doctor(
    attacks: Annotated[bool, typer.Option(help="also try every attack of the corpus")] = False,
) -> None:
    """Say what is missing on this machine and what that costs; try to get out of the sandbox."""
    from course_lib.doctor import examine

    table = Table("", "what", "found", box=None)
    findings = list(examine())
    for finding in findings:
        mark = "[green]ok[/green]" if finding.fine else "[red]missing[/red]"
        if not finding.fine and not finding.needed:
            mark = "[yellow]note[/yellow]"
        table.add_row(mark, finding.what, finding.found)
    console.print(table)
    _print_probe()
    if attacks:
        _print_attacks()
    lacks = [finding for finding in findings if not finding.fine]
    for finding in lacks:  # outside the table, where commands are never cut
        console.print(f"{finding.what}: {finding.costs}", markup=False)
    if any(finding.needed for finding in lacks):
        raise _stop("Something the course needs is missing; the lines above say what to do.")
    console.print("Everything the course needs is here.")


def _print_probe() -> None:
    """What the sandbox for submissions keeps from them here."""
    from course_lib.grading.probe import probe
    from course_lib.grading.sandbox import strongest_level

    level = strongest_level()
    console.print(
        f"\nSubmissions run at level {level}. What they tried there, and whether it held:"
    )
    for attempt, held in probe(level).items():
        console.print(f"  {'[green]held[/green]' if held else '[yellow]open[/yellow]'}  {attempt}")
    if level != "bwrap":
        console.print(
            "Enough for your own work. Before grading others': apt install bubblewrap (Linux)."
        )
    console.print()


def _print_attacks() -> None:
    """The attack corpus, judged here."""
    from tqdm import tqdm

    from course_lib.grading.attacks import Court, corpus
    from course_lib.grading.sandbox import strongest_level

    table = Table("submission", "kind", "must get", "got", "", box=None)
    with Court(strongest_level()) as court:
        for one in tqdm(corpus(), desc="attacks"):
            got = court.marks(one)
            right = got == one.marks and court.bystander_is_untouched()
            table.add_row(
                one.name,
                "hostile" if one.hostile else "unlucky",
                str(sum(one.marks.values())),
                str(sum(got.values())),
                "[green]as it must[/green]" if right else "[red]WRONG[/red]",
            )
    console.print(table)


@app.command()
def start(workspace: Workspace = WORKSPACE) -> None:
    """Make your copies of the notebooks; what is there already stays as it is."""
    from course_lib.grading.release import start as make_workspace

    for path, written in make_workspace(workspace):
        console.print(f"{'made' if written else 'kept'}  {workspace.name}/{path.stem}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(context: typer.Context, workspace: Workspace = WORKSPACE) -> None:
    """Open the course in JupyterLab: your copies, and a page that says what comes next.

    What follows `--` goes to JupyterLab: course lab -- --no-browser --port 9999
    """
    from course_lib.server import lab_arguments

    start(workspace)
    from jupyterlab.labapp import (
        LabApp,
    )  # not before `course_lib.grading`, which spares it a second

    LabApp.launch_instance([*lab_arguments(workspace), *context.args])


@app.command()
def reset(
    name: Annotated[str, typer.Argument(help="a notebook (03_attention) or an exercise's id")],
    exercise: Annotated[str | None, typer.Argument(help="such as softmax")] = None,
    workspace: Workspace = WORKSPACE,
) -> None:
    """Begin an exercise anew: its answer cell as it was released. Your notebook is copied first."""
    from course_lib.grading.reset import reset as put_back

    try:
        exercise, copy = put_back(name, exercise, workspace)
    except ValueError as error:
        raise _no_copy(error, workspace) from None
    console.print(f"{exercise} is as it was released. Your notebook as it was: {copy}")
    console.print("If the notebook is open in JupyterLab: File > Reload Notebook from Disk.")


@app.command()
def check(name: Name, workspace: Workspace = WORKSPACE) -> None:
    """Run the checks of your notebook, without its experiments, and show the verdicts."""
    from course_lib.grading.check import check_notebook

    try:
        verdicts = check_notebook(name, workspace)
    except ValueError as error:
        raise _no_copy(error, workspace) from None
    table = Table("exercise", "verdict", "points", box=None)
    for verdict in verdicts:
        points = f"{verdict.points:g} of {verdict.max_points:g}"
        table.add_row(verdict.exercise, verdict.headline, points)
    console.print(table)


@app.command()
def submit(
    name: Name,
    workspace: Workspace = WORKSPACE,
    show: Annotated[bool, typer.Option(help="open the feedback page in the browser")] = True,
) -> None:
    """Grade your notebook as an instructor would, hidden checks included, and show the feedback."""
    from course_lib.grading.submit import GradingFailed
    from course_lib.grading.submit import submit as grade

    console.print(f"Grading {name} with fresh cases; this takes some seconds ...")
    try:
        marks, page = grade(name, workspace)
    except ValueError as error:
        raise _no_copy(error, workspace) from None
    except GradingFailed as error:
        raise _stop(f"This notebook could not be graded. nbgrader said:\n{error}") from None
    table = Table("exercise", "points", box=None)
    for mark in marks:
        got = "left to a person" if mark.score is None else f"{mark.score:g} of {mark.max_score:g}"
        table.add_row(mark.exercise, f"{got}  {mark.note}")
    console.print(table)
    judged = [mark for mark in marks if mark.score is not None]
    total, most = sum(m.score for m in judged), sum(m.max_score for m in judged)
    console.print(f"{total:g} of {most:g} points. Feedback: {page}")
    if show:
        webbrowser.open(page.as_uri())


@app.command()
def progress(workspace: Workspace = WORKSPACE) -> None:
    """Show how far you are, notebook by notebook and exercise by exercise."""
    from course_lib.grading.learner import standing

    table = Table("notebook", "exercise", "state", "points", "attempts", "last word", box=None)
    lines = list(standing(workspace))
    for line in lines:
        points = f"{line.points:g} of {line.max_points:g}"
        attempts = str(line.attempts or "")
        table.add_row(line.notebook, line.exercise, line.state, points, attempts, line.headline)
    console.print(table)
    points, most = sum(line.points for line in lines), sum(line.max_points for line in lines)
    done = sum(line.passed for line in lines)
    console.print(f"{done} of {len(lines)} exercises are right: {points:g} of {most:g} points.")


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


@app.command("fit-scaling")
def fit_scaling(
    file: Annotated[Path, typer.Argument(help="CSV with params, tokens or flops, and loss")],
    budget: Annotated[float | None, typer.Option(help="training FLOPs to spend")] = None,
    bootstrap: Annotated[int, typer.Option(help="refits for the intervals", min=0)] = 1000,
    quick: Annotated[bool, typer.Option(help="only the most promising starts")] = False,
    figure: Annotated[Path | None, typer.Option(help="where the figure goes")] = None,
) -> None:
    """Fit a scaling law to your own trainings: constants, intervals, the best use of a budget."""
    from course_lib.plots.scaling import fit_chart
    from course_lib.scaling import (
        CONSTANTS,
        compute_optimal,
        fit_parametric,
        middle,
        parametric_loss,
        read_runs,
        screened_grid,
    )

    if budget is not None and not budget > 0:
        raise _stop(f"budget must be above 0, got {budget}")
    try:
        runs = read_runs(file)
        starts = screened_grid(*runs) if quick else None
        console.print(f"Fitting {len(runs.n)} runs ...")
        law = fit_parametric(*runs, bootstrap=bootstrap, starts=starts)
    except (OSError, ValueError) as error:
        raise _stop(error) from None
    budget = 10 * (6 * runs.n * runs.d).max().item() if budget is None else budget
    choices = []
    for one in (law, *law.refits):
        try:
            choices.append(compute_optimal(budget, one))
        except (ValueError, ArithmeticError) as error:  # more of something makes this law worse
            choices.append(error)

    table = Table("", "fit", "95 % from", "to", box=None)
    rows = {name: (getattr(law, name), law.intervals.get(name)) for name in CONSTANTS}
    best, *others = choices
    others = [choice for choice in others if isinstance(choice, tuple)]
    if isinstance(best, tuple):
        for i, name in enumerate(("best parameters", "best tokens")):
            rows[name] = (best[i], middle([choice[i] for choice in others]) if others else None)
    for name, (value, interval) in rows.items():
        table.add_row(name, f"{value:.4g}", *(f"{end:.4g}" for end in interval or ()))
    console.print(table)
    if not isinstance(best, tuple):
        raise _stop(f"No best choice by this law: {best}")
    if len(others) < len(law.refits):
        without = len(law.refits) - len(others)
        console.print(f"{without} of {len(law.refits)} refits have no best choice; left out.")
    loss = parametric_loss(*best, law)
    console.print(f"With {budget:.3g} FLOPs (6 N D) the law expects a loss of {loss:.4g}.")
    figure = figure or file.with_suffix(".png")
    fit_chart(runs, law).savefig(figure)
    console.print(f"Figure: {figure}")


add_review_commands(app)  # review, quiz, practice, match, cards


# --- for instructors -----------------------------------------------------------------------


@app.command()
def release(
    folder: Annotated[Path, typer.Argument(help="where the learner's copies go")],
    colab: Annotated[
        str | None, typer.Option(help="OWNER/REPOSITORY to install from on Google Colab")
    ] = None,
) -> None:
    """Write the notebooks without solutions, hidden checks and outputs into FOLDER."""
    from course_lib.grading.release import release as write_copies

    try:
        for path, written in write_copies(folder, colab=colab):
            console.print(f"{'written' if written else 'left as it is'}  {path}")
    except ValueError as error:
        raise _stop(error) from None


@app.command()
def grade(
    assignment: Annotated[
        str | None, typer.Argument(help="all that were handed in, if none")
    ] = None,
    jobs: Annotated[int, typer.Option(help="processes on this machine", min=1)] = 1,
    scheduler: Annotated[str | None, typer.Option(help="of Dask: tcp://host:8786")] = None,
    level: Annotated[str | None, typer.Option(help="bwrap, container or unsafe")] = None,
    folder: Annotated[Path, typer.Option(help="your course folder", resolve_path=True)] = Path(),
) -> None:
    """Grade all submissions into nbgrader's gradebook; run it again to go on or to regrade."""
    from course_lib.grading.sandbox import SandboxUnavailable
    from course_lib.grading.whole_class import Course

    try:
        course = Course(folder, level)
        for name in [assignment] if assignment else course.assignments():
            _print_class(name, list(_graded(course, name, jobs, scheduler)))
    except (ValueError, ImportError, OSError, SandboxUnavailable) as error:
        raise _stop(error) from None
    except KeyboardInterrupt:
        raise _stop("Stopped. What is graded stays; the same command goes on from here.") from None


@app.command()
def overview(
    assignment: Annotated[str, typer.Argument(help="such as 03_attention")],
    to: Annotated[Path | None, typer.Option(help="write a page for the browser")] = None,
    folder: Annotated[Path, typer.Option(help="your course folder", resolve_path=True)] = Path(),
) -> None:
    """Show how the class did: marks, what was right, the mistakes met, who needs a person."""
    from course_lib.grading.overview import ClassFolder

    try:
        found = ClassFolder(folder).overview(assignment)
    except ValueError as error:
        raise _stop(error) from None
    if to:
        from course_lib.server.pages import overview_page

        to.write_text(overview_page(found), encoding="utf-8")
        console.print(f"Written: {to}", markup=False)
        return
    table = Table("exercise", "right", "of", "mistakes, and how many made them", box=None)
    for one in found.exercises:
        named = "; ".join(f"{name} ({n})" for name, n in one.misconceptions)
        table.add_row(one.exercise, str(one.right), str(one.judged), named)
    console.print(table)
    console.print(f"{found.submitted} submissions, {len(found.scores)} graded.", end=" ")
    if found.scores:
        console.print(
            f"Mean {found.mean:.1f}, median {found.median:g} of {found.max_score:g} points."
        )
        for low, below, count in found.bins:
            console.print(f"  from {low:5.1f} to {below:5.1f}  {'#' * count} {count}")
    console.print()
    for one in found.for_a_person:
        console.print(f"  {one.student}: {one.why}", markup=False)


def _graded(course, assignment, jobs, scheduler):
    """Grade an assignment under a progress bar."""
    from functools import partial

    from tqdm import tqdm

    from course_lib.grading.pool import decide_here, decide_on_cluster

    decide_all = partial(decide_here, jobs=jobs)
    if scheduler:
        decide_all = partial(decide_on_cluster, scheduler=scheduler)
    total = len(course.submitted(assignment))
    yield from tqdm(course.grade(assignment, decide_all), desc=assignment, total=total)


def _print_class(assignment, results) -> None:
    """A line for each submission that a person should look at, and the counts."""
    counts = Counter(result.state for result in results)
    repaired = [result for result in results if result.repairs]
    for result in repaired:
        for line in result.repairs:
            console.print(f"  {result.student}: {line}", markup=False)
    for result in results:
        if result.state == "refused":
            console.print(f"  {result.student}: REFUSED, {result.reason}", markup=False)
    console.print(
        f"{assignment}: {len(results)} submissions; {counts['graded']} graded, "
        f"{counts['unchanged']} unchanged, {counts['refused']} refused; {len(repaired)} repaired."
    )
    console.print(f"How the class did: course overview {assignment}", markup=False)


# --- for authors ---------------------------------------------------------------------------


@app.command()
def edit(name: Name) -> None:
    """Write a notebook as text (py:percent) beside it."""
    from course_lib import authoring

    console.print(f"Edit {authoring.edit(name)}, then run: course build {name}")


@app.command()
def build(name: Name) -> None:
    """Turn the text back into the notebook, execute it, save it."""
    from course_lib import authoring

    console.print(f"Executing {name} ...")
    console.print(f"{name}: {authoring.build(name):.1f} s")
