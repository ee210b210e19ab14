"""The cards for other programs: an Anki package, and Markdown for note-takers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from zlib import crc32

from course_lib.review.markup import as_html
from course_lib.review.material import Card

COURSE = "Transformers by hand"
_MODEL_ID = 1_702_417_303  # Anki knows a kind of note by its number: never change it

_FRONT = "{{Front}}"
_BACK = '{{FrontSide}}<hr id="answer">{{Back}}<p class="source">{{Source}}</p>'
_CSS = """.card {font-family: sans-serif; font-size: 1.2em; text-align: left; max-width: 40em;
 margin: 1em auto}
.source {font-size: .7em; opacity: .7}
"""


def _title(notebook: str) -> str:
    """ "03_attention" -> "03 Attention"."""
    number, *words = notebook.split("_")
    return f"{number} {' '.join(words).capitalize()}"


def to_anki(cards: Sequence[Card], language: str, path: Path) -> None:
    """Write an Anki package (.apkg), a deck for each notebook.

    A card keeps its identity from export to export, so importing a newer file into Anki updates
    what is there and leaves the learner's progress alone.
    """
    import genanki

    model = genanki.Model(
        _MODEL_ID,
        COURSE,
        fields=[{"name": name} for name in ("Front", "Back", "Source")],
        templates=[{"name": "Card", "qfmt": _FRONT, "afmt": _BACK}],
        css=_CSS,
    )
    root = COURSE if language == "en" else f"{COURSE} ({language.replace('_', '-')})"
    decks = []
    for notebook, of_notebook in groupby(cards, key=lambda card: card.notebook):
        name = f"{root}::{_title(notebook)}"
        deck = genanki.Deck((1 << 30) + crc32(name.encode()) % (1 << 30), name)
        for card in of_notebook:
            source = f"{_title(notebook)}: {card.section}"
            fields = [card.front[language], card.back[language], source]
            deck.add_note(
                genanki.Note(
                    model=model,
                    fields=[as_html(text) for text in fields],
                    guid=genanki.guid_for(COURSE, card.id, language),
                    tags=[notebook],
                )
            )
        decks.append(deck)
    path.parent.mkdir(parents=True, exist_ok=True)
    genanki.Package(decks).write_to_file(path)


def to_markdown(cards: Sequence[Card], language: str, folder: Path) -> list[Path]:
    """Write a note for each notebook, as Obsidian's "Spaced Repetition" plugin reads them.

    The first line of a note is its deck, a tag that begins with #flashcards. A card is a question,
    a line with a question mark, and an answer; an empty line ends it. Headings tell the section.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for notebook, of_notebook in groupby(cards, key=lambda card: card.notebook):
        blocks = [f"#flashcards/transformers/{notebook}", f"# {_title(notebook)}"]
        for section, of_section in groupby(of_notebook, key=lambda card: card.section):
            blocks.append(f"## {section}")
            blocks += [f"{card.front[language]}\n?\n{card.back[language]}" for card in of_section]
        paths.append(folder / f"{notebook}.md")
        paths[-1].write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return paths
