"""`course doctor`: what this machine has and lacks, and what its sandbox keeps from submissions."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from course_lib.cli.base import app, console, stop


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
    _print_self_test()
    if attacks:
        _print_attacks()
    lacks = [finding for finding in findings if not finding.fine]
    for finding in lacks:  # outside the table, where commands are never cut
        console.print(f"{finding.what}: {finding.costs}", markup=False)
    if any(finding.needed for finding in lacks):
        raise stop("Something the course needs is missing; the lines above say what to do.")
    console.print("Everything the course needs is here.")


def _print_self_test() -> None:
    """What the sandbox for submissions keeps from them here."""
    from course_lib.grading.sandbox.launcher import strongest_level
    from course_lib.grading.sandbox.self_test import self_test

    level = strongest_level()
    console.print(
        f"\nSubmissions run at level {level}. What they tried there, and whether it held:"
    )
    for attempt, held in self_test(level).items():
        console.print(f"  {'[green]held[/green]' if held else '[yellow]open[/yellow]'}  {attempt}")
    if level != "bwrap":
        console.print(
            "Enough for your own work. Before grading others': apt install bubblewrap (Linux)."
        )
    console.print()


def _print_attacks() -> None:
    """The attack corpus, judged here."""
    from tqdm import tqdm

    from course_lib.grading.attacks.corpus import CORPUS
    from course_lib.grading.attacks.harness import Harness
    from course_lib.grading.sandbox.launcher import strongest_level

    if strongest_level() != "bwrap":
        raise stop("The attacks would reach this machine: without bubblewrap they are not tried.")
    table = Table("submission", "kind", "must get", "got", "", box=None)
    unearned = lost = missing = 0
    with Harness("bwrap") as harness:
        for one in tqdm(CORPUS, desc="attacks"):
            got = harness.marks(one)
            missing += len(one.marks.keys() - got.keys())
            differences = [got[key] - one.marks[key] for key in one.marks.keys() & got.keys()]
            unearned += sum(difference > 0 for difference in differences)
            lost += sum(difference < 0 for difference in differences)
            table.add_row(
                one.name,
                "hostile" if one.hostile else "unlucky",
                str(sum(one.marks.values())),
                str(sum(got.values())),
                "[green]as it must[/green]" if got == one.marks else "[red]WRONG[/red]",
            )
        console.print(table)
        touched = harness.who_touched_a_bystander()
    console.print(
        f"{len(CORPUS)} submissions, {sum(one.hostile for one in CORPUS)} of them hostile: "
        f"{unearned} marks unearned, {lost} lost, {missing} missing; bystanders touched: "
        f"{f'by {touched!r}' if touched else 'none'}."
    )
