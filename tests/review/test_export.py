"""The cards in Anki and in Markdown."""

import re
import sqlite3
from zipfile import ZipFile

import pytest

from course_lib.review.export import to_anki, to_markdown
from course_lib.review.material import all_cards, names

CARDS = all_cards()


def notes(apkg, folder):
    """guid -> (fields, tags) of the notes in an Anki package, and the names of its decks."""
    with ZipFile(apkg) as package:
        package.extract("collection.anki2", folder)
    with sqlite3.connect(folder / "collection.anki2") as database:
        rows = database.execute("select guid, flds, tags from notes").fetchall()
        (decks,) = database.execute("select decks from col").fetchone()
        (n_cards,) = database.execute("select count(*) from cards").fetchone()
    assert n_cards == len(rows)
    return {guid: (fields.split("\x1f"), tags.strip()) for guid, fields, tags in rows}, decks


@pytest.mark.parametrize("language", ["en", "pt_BR"])
def test_anki_holds_every_card(tmp_path, language):
    path = tmp_path / "somewhere" / "cards.apkg"
    to_anki(CARDS, language, path)
    found, decks = notes(path, tmp_path)
    assert len(found) == len(CARDS)
    assert decks.count('"desc"') >= len(names())
    fronts = {fields[0] for fields, _ in found.values()}
    assert "<code>&lt;|im_start|&gt;</code>" in " ".join(back for (_, back, _), _ in found.values())
    plain = [
        card.front[language] for card in CARDS if not re.search("[`<>&'\"]", card.front[language])
    ]
    assert plain and fronts.issuperset(plain)
    assert {tag for _, tag in found.values()} == set(names())


def test_a_newer_export_updates_and_languages_live_side_by_side(tmp_path):
    for name, language in (("a", "en"), ("b", "en"), ("c", "pt_BR")):
        to_anki(CARDS, language, tmp_path / f"{name}.apkg")
    a, b, c = (set(notes(tmp_path / f"{name}.apkg", tmp_path)[0]) for name in "abc")
    assert a == b
    assert not a & c


def parsed(text):
    """The cards of a note, as Obsidian's Spaced Repetition plugin finds them."""
    blocks = [block.split("\n?\n") for block in text.strip().split("\n\n")]
    return [tuple(block) for block in blocks if len(block) == 2]


@pytest.mark.parametrize("language", ["en", "pt_BR"])
def test_markdown_goes_round(tmp_path, language):
    paths = to_markdown(CARDS, language, tmp_path / "vault")
    assert [path.stem for path in paths] == names()
    found = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"#flashcards/transformers/{path.stem}\n")
        found += parsed(text)
    assert found == [(card.front[language], card.back[language]) for card in CARDS]
