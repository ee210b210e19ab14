"""The cards and questions themselves, and what is said about a broken file."""

import re

import nbformat
import pytest

from course_lib.notebooks import notebook_names, notebook_path
from course_lib.review.language import LANGUAGES
from course_lib.review.material import MATERIAL, all_cards, material, names, read

EVERY = [material(name) for name in names()]
BY_NAME = pytest.mark.parametrize("of", EVERY, ids=lambda of: of.notebook)


def texts(of):
    """Every text of a notebook's material, with where it stands."""
    for card in of.cards:
        yield f"{card.id} front", card.front
        yield f"{card.id} back", card.back
    for question in of.questions:
        yield f"{question.id} text", question.text
        for n, choice in enumerate(question.choices):
            yield f"{question.id} choice {n}", choice.text
            yield f"{question.id} why {n}", choice.why


def test_every_notebook_has_cards_and_a_short_quiz():
    assert names() == notebook_names()
    assert len(all_cards()) >= 150
    for of in EVERY:
        assert 12 <= len(of.cards) <= 20, of.notebook
        assert 5 <= len(of.questions) <= 6, of.notebook


def test_ids_are_unique_in_the_whole_course():
    ids = [one.id for of in EVERY for one in (*of.cards, *of.questions)]
    assert len(set(ids)) == len(ids)


@BY_NAME
def test_every_section_is_a_heading_of_the_notebook(of):
    notebook = nbformat.read(notebook_path(of.notebook), as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = set(re.findall(r"(?m)^#{2,4} (.+)$", text))
    for one in (*of.cards, *of.questions):
        assert one.section in headings, f"{one.id}: {one.section!r}"


@BY_NAME
def test_both_languages_are_complete_and_different(of):
    for where, text in texts(of):
        assert set(text) == set(LANGUAGES)
        bare = {re.sub(r"`[^`]*`|\W", "", one) for one in text.values()}
        if any(re.search("[a-zA-Z]{4}", one) for one in bare):  # not only numbers and code
            assert len(set(text.values())) == 2, where


@BY_NAME
def test_portuguese_is_written_with_its_accents(of):
    """A word that has lost its accents is no word of the language."""
    lost = r"\b(nao|sao|voce|atencao|posicao|ate|tambem|ja|so|e o que e|funcao|maximo|media)\b"
    for where, text in texts(of):
        assert not re.search(lost, text["pt_BR"].replace("`só`", "")), where


@BY_NAME
def test_every_question_has_one_right_choice_and_a_word_on_each(of):
    for question in of.questions:
        assert sum(choice.right for choice in question.choices) == 1
        assert 3 <= len(question.choices) <= 4
        for language in LANGUAGES:
            shown = [choice.text[language] for choice in question.choices]
            assert len(set(shown)) == len(shown), question.id
            assert all(len(choice.why[language].split()) >= 4 for choice in question.choices)


def test_the_right_choice_stands_anywhere():
    places = {
        next(i for i, choice in enumerate(question.choices) if choice.right)
        for of in EVERY
        for question in of.questions
    }
    assert places == {0, 1, 2, 3}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_right_choice_is_not_told_by_its_length(language):
    questions = [question for of in EVERY for question in of.questions]
    longest = [max(q.choices, key=lambda choice: len(choice.text[language])) for q in questions]
    chance = sum(1 / len(question.choices) for question in questions)
    assert sum(choice.right for choice in longest) < 1.3 * chance


@BY_NAME
def test_texts_stay_plain_in_markdown_and_html(of):
    """No markup but `code`: nothing that Markdown, Obsidian or a page would take for its own."""
    for where, text in texts(of):
        for one in text.values():
            assert one.count("`") % 2 == 0, where
            bare = re.sub(r"`[^`]*`", "", one)
            assert not re.search(r"<\w|</|[*$#]|::|==|\{\{|\n", bare), where


GOOD = (MATERIAL / "00_start_here.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.replace('front.en = "What is a logit?"\n', ""), "probability.logit: front"),
        (lambda t: t.replace("front.en", "front.fr", 1), "probability.bigram: front"),
        (lambda t: t.replace("back.en", "bakc.en", 1), "probability.bigram: back"),
        (
            lambda t: t.replace('id = "probability.logit"', 'id = "probability.bigram"'),
            "there twice",
        ),
        (lambda t: t.replace("why.pt_BR", "because.pt_BR", 1), "probability.quiz_output: why"),
        (lambda t: t.replace('\nfront.en = "W', "\nfront.en = W", 1), "line"),
        (lambda t: t.split("[[question.wrong]]")[0], "at least two wrong choices"),
        (lambda t: 'cards = "x"\n' + t, "unknown cards"),
    ],
)
def test_a_broken_file_is_named_with_the_id(tmp_path, change, said):
    path = tmp_path / "00_start_here.toml"
    path.write_text(change(GOOD), encoding="utf-8")
    with pytest.raises(ValueError, match=f"00_start_here.toml.*{re.escape(said)}"):
        read(path)


def test_short_and_unknown_names():
    assert material("03").notebook == "03_attention"
    for name in ("99", "", "0"):
        with pytest.raises(ValueError, match="name: expected one of 00_start_here"):
            material(name)
