"""For authors: notebooks made of their texts, new exercises and notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from course_lib.cli.base import app, console, ending, stop
from course_lib.notebooks import ROOT

new = typer.Typer(no_args_is_help=True, help="Begin a new exercise or a new notebook.")
app.add_typer(new, name="new")


@app.command()
def build(
    names: Annotated[
        list[str] | None, typer.Argument(help="notebooks, such as 03_attention, or 03 for short")
    ] = None,
    stale: Annotated[bool, typer.Option(help="those that differ from their text")] = False,
) -> None:
    """Make notebooks of their texts (notebooks/NAME/NAME.py): execute and save them.

    Where nothing but prose has changed, the outputs are kept and nothing is executed.
    """
    from course_lib.authoring import source
    from course_lib.notebooks import NOTEBOOKS

    if bool(names) == stale:
        raise stop("Say which notebooks to build, or --stale.")
    with ending(ValueError):
        paths = [source.source_path(name, NOTEBOOKS) for name in names or ()]
        if stale:
            paths = [path for path in source.sources(NOTEBOOKS) if source.is_stale(path)]
        for path in paths:
            console.print(f"Building {path.stem} ...")
            console.print(f"{path.stem}: {source.build(path):.1f} s")


@new.command("exercise")
def new_exercise(
    exercise: Annotated[str, typer.Argument(help="idea and name, such as attention.softmax")],
    points: Annotated[int, typer.Option(help="what it counts", min=1)] = 2,
) -> None:
    """Write an exercise's cells, file and line in the syllabus, from its reference."""
    from course_lib.authoring import scaffold

    with ending(ValueError):
        _print_places(scaffold.new_exercise(exercise, points))


@new.command("notebook")
def new_notebook(
    name: Annotated[str, typer.Argument(help="number and idea, such as 12_mine")],
    question: Annotated[str, typer.Option(help="what a learner really asks")],
    title: Annotated[str, typer.Option(help="the idea's name if not given")] = "",
    minutes: Annotated[int, typer.Option(help="to work through", min=1)] = 60,
) -> None:
    """Write a notebook's text, idea, cards, and its lines in the syllabus, README and reference."""
    from course_lib.authoring import scaffold

    with ending(ValueError):
        _print_places(scaffold.new_notebook(name, question, title, minutes))


def _print_places(paths: list[Path]) -> None:
    for path in paths:
        console.print(f"written  {path.relative_to(ROOT)}", markup=False)
    console.print("Fill in what says `...`, then: course build --stale", markup=False)
