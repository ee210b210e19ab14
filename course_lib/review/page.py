"""What a notebook shows: a quiz that works without a kernel, and due cards with buttons."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from course_lib.review.language import LANGUAGES, chosen, named, say
from course_lib.review.markup import as_html
from course_lib.review.material import Card, Material, Question, all_cards, material

_STYLE = """<style>
.course-quiz {max-width: 60em; line-height: 1.5}
.course-quiz .question {margin: 1em 0; padding: .2em 1em; border: 1px solid;
  border-color: var(--jp-border-color1, currentColor)}
.course-quiz details {margin: .3em 0}
.course-quiz summary {cursor: pointer}
.course-quiz details details > p, .course-quiz .question details > p {margin: .3em 0 .6em 1.2em}
.course-quiz .section {font-size: .9em; opacity: .8}
</style>"""


@dataclass(frozen=True, repr=False)
class Page:
    """Something to look at: HTML in a notebook, plain text elsewhere."""

    text: str
    html: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def quiz(name: str, language: str | None = None) -> Page:
    """The quiz of a notebook, in every language; one is open, the others are folded.

    Each answer is a fold: open it, and it says whether it is right, and why. No script is needed,
    so the quiz works in a saved page too.

    Args:
        name: the notebook ("03_attention", or "03" for short).
        language: which one is open ("en" or "pt-BR"); else that of COURSE_LANGUAGE, else English.
            (Not that of the computer: the page saved in a notebook must be the same everywhere.)

    Raises:
        ValueError: there is no such notebook or language.
    """
    of = material(name)
    first = named(language or os.environ.get("COURSE_LANGUAGE") or "en")
    parts = [f'<div class="course-quiz">{_STYLE}', f"<div{_lang(first)}>{_quiz(of, first)}</div>"]
    for other in LANGUAGES:
        if other != first:
            title = say("in_english" if other == "en" else "in_portuguese", other)
            parts.append(
                f"<details{_lang(other)}><summary>{title}</summary>{_quiz(of, other)}</details>"
            )
    n = len(of.questions)
    text = f"{n} questions on {of.notebook}; in a terminal: course quiz {of.notebook}"
    return Page(text, "\n".join([*parts, "</div>"]))


def _lang(language: str) -> str:
    return f' lang="{language.replace("_", "-")}"'


def _quiz(of: Material, language: str) -> str:
    total = len(of.questions)
    questions = [
        _question(question, n, total, language) for n, question in enumerate(of.questions, 1)
    ]
    return "\n".join([f"<p>{as_html(say('quiz_how', language))}</p>", *questions])


def _question(question: Question, n: int, total: int, language: str) -> str:
    """A named group, as a fieldset is; each choice a fold, told by words and not by colour."""
    title = f"{question.id}.{language}"
    folds = []
    for choice in question.choices:
        verdict = say("right" if choice.right else "wrong", language)
        folds.append(
            f"<details><summary>{as_html(choice.text[language])}</summary>"
            f"<p><strong>{verdict}:</strong> {as_html(choice.why[language])}</p></details>"
        )
    number = say("question_of", language, n=n, total=total)
    section = say("explained_in", language, section=question.section)
    return (
        f'<div class="question" role="group" aria-labelledby="{title}">'
        f'<p id="{title}"><strong>{number}.</strong> {as_html(question.text[language])}</p>'
        f'{"".join(folds)}<p class="section">{as_html(section)}</p></div>'
    )


def review(name: str | None = None, language: str | None = None, new: int | None = None) -> None:
    """Show the cards that are due, one by one, and note how well you knew them.

    Args:
        name: only cards of this notebook; all, if not given.
        language: "en" or "pt-BR"; it is remembered.
        new: how many cards you want to meet for the first time in a day.

    Raises:
        ValueError: there is no such notebook or language.
    """
    from IPython.display import display

    from course_lib.checks.progress import progress_file
    from course_lib.review.schedule import NEW_A_DAY, Schedule

    record = progress_file()
    schedule = Schedule(record and record.with_name("review.json"))
    speaks = chosen(language, schedule.language)
    if language:
        schedule.remember_language(speaks)
    cards = all_cards(name and material(name).notebook)
    new = NEW_A_DAY if new is None else new
    notes = []
    if schedule.path is None:
        notes.append(say("not_kept", speaks))
    if schedule.moved_aside:
        notes.append(say("moved_aside", speaks, path=schedule.moved_aside.name))
    try:
        from course_lib.review.buttons import DueCards
    except ImportError:
        display(_due_as_text(schedule.due(cards, new), speaks, notes))
    else:
        display(DueCards(schedule, cards, speaks, new, notes).box)


def _due_as_text(due: Sequence[Card], language: str, notes: list[str]) -> Page:
    """The due cards to read, where there are no buttons: answers folded, nothing noted."""
    notes = [*notes, say("without_widgets", language) if due else say("nothing_due", language)]
    folds = [
        f"<details><summary>{as_html(card.front[language])}</summary>"
        f"<p>{as_html(card.back[language])}</p></details>"
        for card in due
    ]
    text = "\n".join(notes + [f"{card.front[language]}\n    {card.back[language]}" for card in due])
    told = "".join(f"<p>{as_html(note)}</p>" for note in notes)
    return Page(
        text, f'<div class="course-quiz"{_lang(language)}>{_STYLE}{told}{"".join(folds)}</div>'
    )
