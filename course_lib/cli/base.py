"""What all commands share: the console, their options, and the one way to end with an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from course_lib.notebooks import WORKSPACE

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The course, from a terminal.")
console = Console(highlight=False, soft_wrap=True)

Workspace = Annotated[Path, typer.Option(help="the folder with your copies", resolve_path=True)]
Name = Annotated[str, typer.Argument(help="a notebook, such as 03_attention, or 03 for short")]
CourseFolder = Annotated[Path, typer.Option(help="your course folder", resolve_path=True)]


def stop(message: object) -> typer.Exit:
    """Say why there is no going on; to be raised."""
    console.print(str(message), style="red", markup=False)
    return typer.Exit(1)


@contextmanager
def ending(*kinds: type[Exception], hint: str = "") -> Iterator[None]:
    """Errors of these kinds are the user's to know: each ends the command as one line."""
    try:
        yield
    except kinds as error:
        raise stop(f"{error}{hint}") from None


def copies_in(workspace: Path = WORKSPACE) -> str:
    """What to add to an error about a notebook that is not there."""
    return f" (in {workspace}; `course start` makes your copies)"
