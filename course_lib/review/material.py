"""The cards and questions: `material/03_attention.toml` holds those of notebook 03."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

MATERIAL = Path(__file__).parent / "material"

Text = dict[str, str]
"""A text in every language of `course_lib.review.language.LANGUAGES`."""


@dataclass(frozen=True)
class Card:
    """A flashcard. `section` is a heading of the notebook, where the answer is explained."""

    id: str
    notebook: str
    section: str
    front: Text
    back: Text


@dataclass(frozen=True)
class Choice:
    """One answer to a question, and why it is right or where the thought goes wrong."""

    text: Text
    why: Text
    right: bool


@dataclass(frozen=True)
class Question:
    """A question of a notebook's quiz. `choices` stand in the order in which they are shown."""

    id: str
    notebook: str
    section: str
    text: Text
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Material:
    """What one file holds."""

    notebook: str
    cards: tuple[Card, ...]
    questions: tuple[Question, ...]


def names() -> list[str]:
    """The notebooks there is material for, in order."""
    return sorted(path.stem for path in MATERIAL.glob("*.toml"))


def material(name: str) -> Material:
    """The cards and questions of a notebook ("03_attention", or "03" for short).

    Raises:
        ValueError: there is no such notebook, or its file is not as it should be.
    """
    found = [one for one in names() if one == name] or [n for n in names() if n.startswith(name)]
    if len(found) != 1:
        raise ValueError(f"name: expected one of {', '.join(names())}; got {name!r}")
    return read(MATERIAL / f"{found[0]}.toml")


def all_cards(name: str | None = None) -> tuple[Card, ...]:
    """The cards of a notebook, or of the whole course in its order."""
    return tuple(card for one in ([name] if name else names()) for card in material(one).cards)


@cache
def read(path: Path) -> Material:
    """Read and check one file.

    Raises:
        ValueError: something is missing, empty, unknown or there twice; names the file and the id.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path.name}: {error}") from None
    try:
        cards = tuple(_card(table, path.stem) for table in tables.pop("card", []))
        questions = tuple(_question(table, path.stem) for table in tables.pop("question", []))
        _nothing_left(tables, "the file")
        ids = [card.id for card in cards] + [question.id for question in questions]
        for id in ids:
            if ids.count(id) > 1:
                raise ValueError(f"{id}: there twice")
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    return Material(path.stem, cards, questions)


def _card(table: dict[str, Any], notebook: str) -> Card:
    id = _string(table, "id", "a card")
    card = Card(
        id,
        notebook,
        _string(table, "section", id),
        _text(table, "front", id),
        _text(table, "back", id),
    )
    _nothing_left(table, id)
    return card


def _question(table: dict[str, Any], notebook: str) -> Question:
    id = _string(table, "id", "a question")
    section, text = _string(table, "section", id), _text(table, "text", id)
    choices = [Choice(_text(table, "right", id), _text(table, "why", id), True)]
    for wrong in table.pop("wrong", []):
        choices.append(Choice(_text(wrong, "choice", id), _text(wrong, "why", id), False))
        _nothing_left(wrong, id)
    if len(choices) < 3:
        raise ValueError(f"{id}: expected at least two wrong choices, got {len(choices) - 1}")
    _nothing_left(table, id)
    Random(id).shuffle(choices)  # the same order every time, and no pattern in it
    return Question(id, notebook, section, text, tuple(choices))


def _string(table: dict[str, Any], key: str, id: str) -> str:
    value = table.pop(key, None)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{id}: expected a text in {key}, got {value!r}")
    return value


def _text(table: dict[str, Any], key: str, id: str) -> Text:
    from course_lib.review.language import LANGUAGES

    value = table.pop(key, None)
    if not isinstance(value, dict):
        raise ValueError(f"{id}: expected {key} in {' and '.join(LANGUAGES)}, got {value!r}")
    text = {language: _string(value, language, f"{id}: {key}") for language in LANGUAGES}
    _nothing_left(value, f"{id}: {key}")
    return text


def _nothing_left(table: dict[str, Any], id: str) -> None:
    if table:
        raise ValueError(f"{id}: unknown {', '.join(table)}")
