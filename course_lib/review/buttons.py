"""Due cards with buttons, in a notebook."""

from __future__ import annotations

from collections.abc import Sequence

from ipywidgets import HTML, Button, HBox, VBox

from course_lib.review.language import say
from course_lib.review.markup import as_html
from course_lib.review.material import Card
from course_lib.review.schedule import RATINGS, Schedule
from course_lib.review.upcoming import what_next


class DueCards:
    """Front; "Show answer"; back and four ratings; next. `box` is the widget to display.

    A card rated "Again" comes back at the end of the row.
    """

    def __init__(
        self,
        schedule: Schedule,
        cards: Sequence[Card],
        language: str,
        new: int,
        notes: Sequence[str] = (),
    ) -> None:
        self._schedule, self._cards, self._language, self._new = schedule, cards, language, new
        self._row = schedule.due(cards, new)
        self._answered = 0
        self.text = HTML()
        self.show = Button(description=say("show_answer", language), button_style="primary")
        self.show.on_click(lambda _: self._turn())
        self.ratings = [Button(description=say(rating, language)) for rating in RATINGS]
        for button, rating in zip(self.ratings, RATINGS):
            button.on_click(lambda _, rating=rating: self._rate(rating))
        self._buttons = HBox([self.show])
        told = [HTML(as_html(note)) for note in notes]
        self.box = VBox([*told, self.text, self._buttons])
        self._next()

    def _next(self) -> None:
        if self._row:
            self._say(self._front())
            self._buttons.children = [self.show]
        else:
            told = what_next(self._schedule, self._cards, self._language, self._new)
            done = [say("done", self._language, n=self._answered)] if self._answered else []
            self._say("".join(f"<p>{as_html(line)}</p>" for line in done + told))
            self._buttons.children = []

    def _turn(self) -> None:
        back = f"<p>{as_html(self._row[0].back[self._language])}</p>"
        question = f"<p>{as_html(say('how_well', self._language))}</p>"
        self._say(self._front() + back + question)
        self._buttons.children = self.ratings

    def _rate(self, rating: str) -> None:
        card = self._row.pop(0)
        self._schedule.answer(card, rating)
        self._answered += 1
        if rating == "again":
            self._row.append(card)
        self._next()

    def _front(self) -> str:
        card = self._row[0]
        source = f"{card.notebook}: {card.section}"
        return (
            f"<p>{as_html(source)}</p><p><strong>{as_html(card.front[self._language])}</strong></p>"
        )

    def _say(self, html: str) -> None:
        language = self._language.replace("_", "-")
        self.text.value = f'<div aria-live="polite" lang="{language}">{html}</div>'
