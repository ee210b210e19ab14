"""What a notebook shows."""

import re
import sys
from html.parser import HTMLParser

import pytest

from course_lib.review import page, quiz, review
from course_lib.review.buttons import DueCards
from course_lib.review.markup import as_html
from course_lib.review.material import Choice, Material, Question, all_cards, material, names
from course_lib.review.schedule import Schedule

VOID = {"hr", "br"}


class Strict(HTMLParser):
    """Every element closed in its turn; counts them, and keeps all attributes and texts."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("name", names())
def test_quiz_is_plain_html_that_needs_no_script(name):
    html = quiz(name)._repr_html_()
    found = Strict(html)
    of = material(name)
    assert "script" not in found.tags and not any(
        key.startswith("on") for key, _ in found.attributes
    )
    n_choices = sum(len(question.choices) for question in of.questions)
    assert found.tags.count("details") == found.tags.count("summary") == 2 * n_choices + 1
    ids = [value for key, value in found.attributes if key == "id"]
    labels = [value for key, value in found.attributes if key == "aria-labelledby"]
    assert ids == labels and len(set(ids)) == 2 * len(of.questions)
    assert not re.search(r"#[0-9a-f]{3,6}\b|rgb|(?<!-)color: *[a-z]", page._STYLE), (
        "no fixed colours"
    )


@pytest.mark.parametrize("name", names())
def test_every_choice_says_in_words_whether_it_is_right(name):
    for language, right, wrong in (
        ("en", "Right", "Not this one"),
        ("pt-BR", "Certo", "Não é esta"),
    ):
        html = quiz(name, language)._repr_html_()
        for question in material(name).questions:
            for choice in question.choices:
                verdict = right if choice.right else wrong
                code = language.replace("-", "_")
                assert f"<strong>{verdict}:</strong> {as_html(choice.why[code])}</p>" in html


def test_quiz_is_the_same_every_time_and_everywhere(monkeypatch):
    first = quiz("03_attention")._repr_html_()
    monkeypatch.setattr("course_lib.review.language.getlocale", lambda: ("pt_BR", "UTF-8"))
    assert quiz("03")._repr_html_() == first
    monkeypatch.setenv("COURSE_LANGUAGE", "pt-BR")
    portuguese = quiz("03_attention")._repr_html_()
    assert portuguese != first
    assert portuguese.index('lang="pt-BR"') < portuguese.index('lang="en"')
    assert first.index('lang="en"') < first.index('lang="pt-BR"')


def test_texts_are_escaped(monkeypatch):
    evil = dict.fromkeys(("en", "pt_BR"), "<script>alert(1)</script> & `<b>`")
    choices = tuple(Choice(evil, evil, right) for right in (True, False, False))
    question = Question("x.y", "x", "<i>s</i>", evil, choices)
    monkeypatch.setattr(page, "material", lambda name: Material("x", (), (question,)))
    html = quiz("x")._repr_html_()
    assert "script" not in Strict(html).tags and "b" not in Strict(html).tags
    assert "<code>&lt;b&gt;</code>" in html


def test_elsewhere_the_quiz_is_a_line_of_text():
    assert repr(quiz("09")) == (
        "5 questions on 09_in_context_learning; in a terminal: course quiz 09_in_context_learning"
    )


def test_unknown_names_and_languages_are_said():
    with pytest.raises(ValueError, match="name: expected one of"):
        quiz("attention")
    with pytest.raises(ValueError, match="language: expected en or pt-BR, got 'fr'"):
        quiz("03", "fr")


# --- due cards -----------------------------------------------------------------------------

CARDS = all_cards("03_attention")


def descriptions(shown):
    return [button.description for button in shown.box.children[-1].children]


def test_buttons_show_the_answer_then_take_the_rating(tmp_path, clock):
    schedule = Schedule(tmp_path / "review.json", clock)
    shown = DueCards(schedule, CARDS, "en", new=2)
    assert as_html(CARDS[0].front["en"]) in shown.text.value
    assert as_html(CARDS[0].back["en"]) not in shown.text.value
    assert descriptions(shown) == ["Show answer"]
    shown.show.click()
    assert as_html(CARDS[0].back["en"]) in shown.text.value
    assert descriptions(shown) == ["Again", "Hard", "Good", "Easy"]
    shown.ratings[0].click()  # again: it comes back after the second card
    shown.show.click()
    assert as_html(CARDS[1].back["en"]) in shown.text.value
    shown.ratings[2].click()
    assert as_html(CARDS[0].front["en"]) in shown.text.value
    shown.show.click()
    shown.ratings[3].click()
    assert "Cards reviewed: 3." in shown.text.value and descriptions(shown) == []
    assert Schedule(tmp_path / "review.json", clock).not_met(CARDS[:3]) == [CARDS[2]]


def test_buttons_speak_portuguese(clock):
    shown = DueCards(Schedule(None, clock), CARDS, "pt_BR", new=1, notes=["nota"])
    assert CARDS[0].front["pt_BR"] in shown.text.value
    shown.show.click()
    assert descriptions(shown) == ["De novo", "Difícil", "Bom", "Fácil"]


@pytest.fixture
def displayed(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    return shown


def test_review_in_a_workspace_keeps_what_was_answered(tmp_path, monkeypatch, displayed):
    (tmp_path / ".course").mkdir()
    folder = tmp_path / "03_attention"
    folder.mkdir()
    monkeypatch.chdir(folder)
    review("03", language="pt-BR")
    (box,) = displayed
    text, buttons = box.children
    assert CARDS[0].front["pt_BR"] in text.value
    buttons.children[0].click()
    buttons.children[2].click()
    schedule = Schedule(tmp_path / ".course" / "review.json")
    assert schedule.language == "pt_BR" and len(schedule.not_met(CARDS)) == len(CARDS) - 1


def test_review_elsewhere_says_that_nothing_is_kept(tmp_path, monkeypatch, displayed):
    monkeypatch.chdir(tmp_path)
    review("03")
    assert "`" not in displayed[0].children[0].value
    assert "nothing is remembered" in displayed[0].children[0].value
    assert not list(tmp_path.iterdir())


def test_without_widgets_the_cards_can_still_be_read(tmp_path, monkeypatch, displayed):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "course_lib.review.buttons", None)  # as if not installed
    review("03", new=3)
    found = Strict(displayed[0]._repr_html_())
    assert found.tags.count("details") == 3
    assert CARDS[2].back["en"] in repr(displayed[0]) and "course review" in found.text
