"""For instructors: release, grade, and how the class did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer
from rich.table import Table

from course_lib.cli.base import CourseFolder, app, console, ending, stop

if TYPE_CHECKING:
    from course_lib.grading.grades import Course, Graded
    from course_lib.grading.sandbox.policy import Level


@app.command()
def release(
    folder: Annotated[Path, typer.Argument(help="where the learner's copies go")],
    colab: Annotated[
        str | None, typer.Option(help="OWNER/REPOSITORY to install from on Google Colab")
    ] = None,
) -> None:
    """Write the notebooks without solutions, hidden checks and outputs into FOLDER."""
    from course_lib.release import release as write_copies

    with ending(ValueError):
        for path, written in write_copies(folder, colab=colab):
            console.print(f"{'written' if written else 'left as it is'}  {path}")


@app.command()
def grade(
    assignment: Annotated[
        str | None, typer.Argument(help="all that were handed in, if none")
    ] = None,
    student: Annotated[str | None, typer.Option(help="grade this one only")] = None,
    jobs: Annotated[int, typer.Option(help="processes on this machine", min=1)] = 1,
    scheduler: Annotated[str | None, typer.Option(help="of Dask: tcp://host:8786")] = None,
    level: Annotated[str | None, typer.Option(help="bwrap, container or unsafe")] = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="take a notebook changed since its release")
    ] = False,
    folder: CourseFolder = Path(),
) -> None:
    """Grade all submissions into nbgrader's gradebook; run it again to go on or to regrade."""
    from course_lib.grading.grades import Course
    from course_lib.grading.sandbox.launcher import SandboxUnavailable

    try:
        with ending(ValueError, ImportError, OSError, SandboxUnavailable):
            course = Course(folder, cast("Level | None", level))  # it refuses any other
            for name in [assignment] if assignment else course.assignments():
                if accept_changes and (copy := course.accept_changes(name)):
                    console.print(f"The gradebook as it was: {copy}", markup=False)
                _print_class(name, list(_graded(course, name, student, jobs, scheduler)))
    except KeyboardInterrupt:
        raise stop("Stopped. What is graded stays; the same command goes on from here.") from None


@app.command()
def overview(
    assignment: Annotated[str, typer.Argument(help="such as 03_attention")],
    to: Annotated[Path | None, typer.Option(help="write a page for the browser")] = None,
    folder: CourseFolder = Path(),
) -> None:
    """Show how the class did: marks, what was right, the mistakes met, who needs a person."""
    from course_lib.grading.overview import ClassFolder

    with ending(ValueError):
        found = ClassFolder(folder).overview(assignment)
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
    for who in found.for_a_person:
        console.print(f"  {who.who}: {who.why}", markup=False)


@app.command()
def collect(
    assignment: Annotated[str, typer.Argument(help="such as 03_attention")],
    archive: Annotated[Path, typer.Argument(help="the ZIP archive of all submissions")],
    system: Annotated[str, typer.Option("--from", help="canvas or moodle")],
    folder: CourseFolder = Path(),
) -> None:
    """Take in an archive of submissions as Canvas or Moodle hands it out."""
    from course_lib.grading.folder import CourseFolder as Folder
    from course_lib.grading.lms import collect as take_in

    counts: Counter[str] = Counter()
    with ending(ValueError, OSError):
        for name, became in take_in(Folder(folder), assignment, archive, _system(system)):
            counts[became.partition(":")[0]] += 1
            if became.startswith("left out"):
                console.print(f"  {name}: {became}", markup=False)
    said = ", ".join(f"{n} {became}" for became, n in sorted(counts.items()))
    console.print(f"{assignment}: {said or 'nothing in it'}.", markup=False)


@app.command()
def export(
    assignment: Annotated[str, typer.Argument(help="such as 03_attention")],
    file: Annotated[Path, typer.Argument(help="the table to write")],
    system: Annotated[str, typer.Option("--to", help="canvas or moodle")],
    folder: CourseFolder = Path(),
) -> None:
    """Write the marks as a table that Canvas or Moodle imports."""
    from course_lib.grading.folder import CourseFolder as Folder
    from course_lib.grading.lms import export as write_table
    from course_lib.grading.lms import results

    with ending(ValueError, OSError):
        found = results(Folder(folder), assignment)
        write_table(found, assignment, _system(system), file)
    for state in ("not handed in", "not graded"):
        if those := [one.student for one in found if one.state == state]:
            console.print(f"  {state} (empty, not 0): {', '.join(those)}", markup=False)
    graded = sum(one.state == "graded" for one in found)
    console.print(f"Written: {file}; {graded} of {len(found)} students have a mark.", markup=False)


def _system(name: str) -> Literal["canvas", "moodle"]:
    if name == "canvas":
        return "canvas"
    if name == "moodle":
        return "moodle"
    raise ValueError(f"system: expected canvas or moodle, got {name!r}")


def _graded(
    course: Course, assignment: str, student: str | None, jobs: int, scheduler: str | None
) -> Iterator[Graded]:
    """Grade an assignment under a progress bar."""
    from functools import partial

    from tqdm import tqdm

    from course_lib.grading.pool import judge_here, judge_on_cluster

    judge_all = partial(judge_here, processes=jobs)
    if scheduler:
        judge_all = partial(judge_on_cluster, scheduler=scheduler)
    total = 1 if student else len(course.submitted(assignment))
    course.locked(assignment)
    for text in course.changes(assignment).texts:
        told = f"{text} has changed since the release; what was released counts"
        console.print(f"  {told} (--accept-changes takes the new text).", markup=False)
    yield from tqdm(course.grade(assignment, judge_all, student), desc=assignment, total=total)


def _print_class(assignment: str, results: list[Graded]) -> None:
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
