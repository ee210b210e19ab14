"""To remember: `course review`, `quiz`, `practice`, `match`, and `course cards export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated

import typer

from course_lib.cli.base import Name, Workspace, app, console, ending
from course_lib.notebooks import WORKSPACE

if TYPE_CHECKING:
    from course_lib.review.material import Card
    from course_lib.review.schedule import Schedule

Only = Annotated[str | None, typer.Option("--notebook", help="only cards of this notebook")]
Language = Annotated[str | None, typer.Option(help="en or pt-BR; your choice is remembered")]
Seed = Annotated[int | None, typer.Option(help="the same number draws the same cards")]


class Target(StrEnum):
    """What the flashcards can be exported for."""

    anki = "anki"
    markdown = "markdown"


cards_app = typer.Typer(no_args_is_help=True, help="The flashcards of the course.")


app.add_typer(cards_app, name="cards")


def _begin(workspace: Path, language: str | None) -> tuple[Schedule, str]:
    """The learner's schedule, and the language to use."""
    from course_lib.review.language import chosen, say
    from course_lib.review.schedule import Schedule, review_file

    schedule = Schedule(review_file(workspace))
    speaks = chosen(language, schedule.language)
    if schedule.moved_aside:
        told = say("moved_aside", speaks, path=schedule.moved_aside)
        console.print(told, style="yellow", markup=False)
    if language:
        schedule.remember_language(speaks)
    return schedule, speaks


def _cards(notebook: str | None) -> tuple[Card, ...]:
    from course_lib.review.material import all_cards, material

    return all_cards(notebook and material(notebook).notebook)


@app.command()
def review(
    notebook: Only = None,
    language: Language = None,
    new: Annotated[int, typer.Option(help="cards to meet for the first time today", min=0)] = 10,
    workspace: Workspace = WORKSPACE,
) -> None:
    """Review the flashcards that are due; they come back when you are about to forget them."""
    from course_lib.review import terminal

    with ending(ValueError, OSError):
        schedule, speaks = _begin(workspace, language)
        cards = _cards(notebook)
        terminal.review_due(terminal.Terminal(console, speaks), schedule, cards, new)


@app.command()
def quiz(name: Name, language: Language = None, workspace: Workspace = WORKSPACE) -> None:
    """Take the quiz of a notebook; every answer, right or wrong, is explained."""
    from course_lib.review import terminal
    from course_lib.review.material import material

    with ending(ValueError, OSError):
        _, speaks = _begin(workspace, language)
        terminal.quiz(terminal.Terminal(console, speaks), material(name))


@app.command()
def practice(
    cards: Annotated[int, typer.Option(help="how many", min=1)] = 20,
    notebook: Only = None,
    language: Language = None,
    seed: Seed = None,
    workspace: Workspace = WORKSPACE,
) -> None:
    """Take a practice test: find each card's answer among others."""
    from course_lib.review import terminal
    from course_lib.review.practice import practice_test

    with ending(ValueError, OSError):
        _, speaks = _begin(workspace, language)
        items = practice_test(_cards(notebook), cards, Random(seed))
        terminal.practice(terminal.Terminal(console, speaks), items)


@app.command()
def match(
    pairs: Annotated[int, typer.Option(help="how many cards", min=2, max=26)] = 6,
    notebook: Only = None,
    language: Language = None,
    seed: Seed = None,
    workspace: Workspace = WORKSPACE,
) -> None:
    """Match questions with their answers."""
    from course_lib.review import terminal
    from course_lib.review.practice import matching_round

    with ending(ValueError, OSError):
        _, speaks = _begin(workspace, language)
        round = matching_round(_cards(notebook), pairs, Random(seed))
        terminal.match(terminal.Terminal(console, speaks), round)


@cards_app.command()
def export(
    path: Annotated[Path, typer.Argument(help="an .apkg file; for markdown a folder")],
    to: Annotated[Target, typer.Option(help="for which program")] = Target.anki,
    notebook: Only = None,
    language: Language = None,
    workspace: Workspace = WORKSPACE,
) -> None:
    """Write the flashcards for Anki, or as Markdown notes (#flashcards, as in Obsidian)."""
    from course_lib.review.export import to_anki, to_markdown

    with ending(ValueError, OSError):
        _, speaks = _begin(workspace, language)
        cards = _cards(notebook)
        if to is Target.anki:
            path = path if path.suffix == ".apkg" else path.with_name(f"{path.name}.apkg")
            to_anki(cards, speaks, path)
        else:
            to_markdown(cards, speaks, path)
        console.print(f"{len(cards)} cards: {path}", markup=False)
