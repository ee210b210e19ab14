"""The commands, as they are typed."""

import json

import pytest
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.review.language import chosen
from course_lib.review.material import all_cards, material
from course_lib.review.schedule import Schedule

CARDS = all_cards("03_attention")


@pytest.fixture
def course(tmp_path):
    def run(*arguments, typed="", **env):
        env = {"TERM": "dumb"} | env
        arguments = [*arguments, "--workspace", str(tmp_path)]
        return CliRunner(env=env).invoke(app, arguments, input=typed)

    return run


@pytest.fixture
def state(tmp_path):
    return lambda: json.loads((tmp_path / ".course" / "review.json").read_text(encoding="utf-8"))


def test_review_asks_shows_and_remembers(course, state):
    result = course("review", "--notebook", "03", "--new", "2", typed="\n3\n\n1\n\n4\n")
    assert result.exit_code == 0, result.output
    for card in CARDS[:2]:
        assert card.front["en"] in result.output and card.back["en"] in result.output
    assert CARDS[2].front["en"] not in result.output
    assert "Cards reviewed: 3." in result.output and "next card is due in 10 min" in result.output
    assert [(id, n) for id, n, _ in state()["reviews"]] == [
        (CARDS[0].id, 3), (CARDS[1].id, 1), (CARDS[1].id, 4)
    ]  # fmt: skip
    assert "Nothing is due." in course("review", "--notebook", "03", "--new", "2").output


@pytest.mark.parametrize("typed", ["\n3\nq\n", "\n3\n"], ids=["q", "end of input"])
def test_review_may_be_left_at_any_time(course, state, typed):
    result = course("review", typed=typed)
    assert result.exit_code == 0 and "What you answered counts." in result.output
    assert len(state()["reviews"]) == 1


def test_a_mistyped_rating_is_asked_again(course, state):
    result = course("review", "--new", "1", typed="\n7\nfine\n2\n")
    assert result.output.count("Type one of 1, 2, 3, 4") == 2
    assert state()["reviews"][0][1] == 2


def test_option_wins_over_variable_wins_over_what_is_remembered(course):
    first = CARDS[0].front
    assert first["en"] in course("review", "--notebook", "03").output
    assert first["pt_BR"] in course("review", "--notebook", "03", "--language", "pt-BR").output
    assert first["pt_BR"] in course("review", "--notebook", "03").output
    assert first["en"] in course("review", "--notebook", "03", COURSE_LANGUAGE="en").output
    both = course("review", "--notebook", "03", "--language", "pt-BR", COURSE_LANGUAGE="en")
    assert first["pt_BR"] in both.output


def test_language_of_the_computer(monkeypatch):
    for here, language in (
        ("pt_BR", "pt_BR"), ("Portuguese_Brazil", "pt_BR"), ("de_DE", "en"), (None, "en")
    ):  # fmt: skip
        monkeypatch.setattr(
            "course_lib.review.language.getlocale", lambda here=here: (here, "UTF-8")
        )
        assert chosen() == language
    assert chosen("PT-br") == chosen("pt") == "pt_BR"


def test_quiz_explains_every_answer_until_it_is_right(course):
    of = material("03")
    typed = ""
    for n, question in enumerate(of.questions):
        right = next(i for i, choice in enumerate(question.choices) if choice.right)
        wrong = (right + 1) % len(question.choices)
        typed += "".join(f"{'abcd'[i]}\n" for i in ([wrong, right] if n == 0 else [right]))
    result = course("quiz", "03", typed=typed)
    assert result.exit_code == 0, result.output
    assert f"{len(of.questions) - 1} of {len(of.questions)} right." in result.output
    assert result.output.count("Not this one:") == 1
    assert f"03_attention: {of.questions[0].section}" in result.output
    for question in of.questions:
        assert next(c.why["en"] for c in question.choices if c.right) in result.output


def test_practice_with_a_seed_is_the_same_and_is_scored(course):
    one = course("practice", "--cards", "5", "--seed", "3", typed="a\n" * 5).output
    assert one == course("practice", "--cards", "5", "--seed", "3", typed="a\n" * 5).output
    assert one != course("practice", "--cards", "5", "--seed", "4", typed="a\n" * 5).output
    right = one.count("]: Right\n")
    assert f"{right} of 5 right." in one and "Worth reading again:" in one


def test_match_until_all_are_found(course):
    tries = " ".join(f"{front}{back}" for front in (1, 2, 3) for back in "abc")
    result = course("match", "--pairs", "3", "--seed", "0", typed=f"zz 9a\n{tries}\n")
    assert result.exit_code == 0
    assert "Not understood: zz" in result.output and "Not understood: 9a" in result.output
    assert "3 of 3 found." in result.output and "All found" in result.output


def test_export(course, tmp_path):
    apkg, notes = tmp_path / "cards.apkg", tmp_path / "notes"
    assert f"{len(all_cards())} cards" in course("cards", "export", str(apkg)).output
    assert apkg.exists()
    result = course(
        "cards", "export", "--to", "markdown", "--notebook", "03", "--language", "pt-BR", str(notes)
    )
    assert result.exit_code == 0
    (note,) = notes.iterdir()
    assert CARDS[0].front["pt_BR"] in note.read_text(encoding="utf-8")


def test_an_unreadable_file_is_said_and_kept(course, tmp_path):
    course("review", typed="\n3\n")
    path = tmp_path / ".course" / "review.json"
    path.write_text("{", encoding="utf-8")
    result = course("review")
    assert "could not be read" in result.output and "review-unreadable-" in result.output
    (aside,) = path.parent.glob("review-unreadable-*.json")
    assert aside.read_text(encoding="utf-8") == "{"
    assert Schedule(path).not_met(CARDS) == list(CARDS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["quiz", "99_nothing"], "99_nothing"),
        (["review", "--notebook", "99"], "'99'"),
        (["review", "--language", "fr"], "expected en or pt-BR, got 'fr'"),
    ],
)
def test_errors_are_said_plainly(course, arguments, said):
    result = course(*arguments)
    assert result.exit_code == 1
    assert said in result.output and "Traceback" not in result.output
