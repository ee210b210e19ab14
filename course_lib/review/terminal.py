"""Quiz, due cards, practice test and matching, in a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console

from course_lib.review.language import say
from course_lib.review.material import Card, Material, Question
from course_lib.review.practice import Item, Round
from course_lib.review.schedule import NEW_A_DAY, RATINGS, Schedule
from course_lib.review.upcoming import in_words, what_next

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Ended(Exception):
    """The learner wants to stop."""


class Terminal:
    """Asks in one language on one console; `q`, or the end of the input, raises `Ended`."""

    def __init__(self, console: Console, language: str) -> None:
        self.console, self.language = console, language

    def tell(self, text: str = "", style: str | None = None) -> None:
        self.console.print(text, style=style, markup=False, highlight=False)

    def say(self, key: str, style: str | None = None, **values: object) -> None:
        self.tell(say(key, self.language, **values), style)

    def line(self, prompt: str) -> str:
        try:
            text = self.console.input(f"{prompt}: ", markup=False).strip().lower()
        except EOFError:
            raise Ended from None
        if text == "q":
            raise Ended
        return text

    def pick(self, prompt: str, choices: Sequence[str]) -> str:
        """One of the choices; asked again until it is."""
        while (text := self.line(f"{prompt} [{'/'.join(choices)}]")) not in choices:
            self.say("pick", choices=", ".join(choices))
        return text


def review_due(
    terminal: Terminal, schedule: Schedule, cards: Sequence[Card], new: int = NEW_A_DAY
) -> None:
    """Show the due cards and note how well each was known. "Again" puts a card to the end."""
    language, answered = terminal.language, 0
    row = schedule.due(cards, new)
    met = len(row) - len(schedule.not_met(row))
    if row:
        terminal.say("due_now", due=met, new=len(row) - met)
        terminal.tell(say("press_enter", language))
    total = len(row)
    try:
        while row:
            card = row[0]
            terminal.tell()
            n = total - len(row) + 1
            terminal.say("card_of", style="dim", n=n, total=total, notebook=card.notebook)
            terminal.tell(card.front[language], "bold")
            terminal.line(say("show_answer", language))
            terminal.tell(card.back[language])
            terminal.say("explained_in", style="dim", section=card.section)
            keys = "  ".join(f"{i} {say(r, language)}" for i, r in enumerate(RATINGS, 1))
            number = terminal.pick(f"{say('how_well', language)} {keys}", ("1", "2", "3", "4"))
            rating = RATINGS[int(number) - 1]
            due = schedule.answer(card, rating)
            terminal.tell(in_words(due - schedule.clock(), language), "dim")
            answered += 1
            row.pop(0)
            if rating == "again":
                row.append(card)
                total += 1
    except Ended:
        terminal.say("stopped")
    if answered:
        terminal.say("done", n=answered)
    if not row:
        for line in what_next(schedule, cards, language, new):
            terminal.tell(line)


def quiz(terminal: Terminal, of: Material) -> None:
    """Ask the questions of a notebook, with a word on every answer, until each is right."""
    language, missed = terminal.language, []
    terminal.say("quiz_title", style="bold", notebook=of.notebook)
    asked = 0
    try:
        for n, question in enumerate(of.questions, 1):
            terminal.tell()
            terminal.say("question_of", style="dim", n=n, total=len(of.questions))
            terminal.tell(question.text[language], "bold")
            if not _ask(terminal, question):
                missed.append(question)
            asked = n
    except Ended:
        terminal.say("stopped")
    _score(terminal, asked, missed)


def _ask(terminal: Terminal, question: Question) -> bool:
    """Ask until the answer is right; whether it was at the first try."""
    language = terminal.language
    letters = LETTERS[: len(question.choices)]
    for letter, choice in zip(letters, question.choices):
        terminal.tell(f"  {letter}) {choice.text[language]}")
    tries = 0
    while True:
        letter = terminal.pick(say("your_answer", language), letters)
        choice = question.choices[letters.index(letter)]
        tries += 1
        verdict = say("right" if choice.right else "wrong", language)
        terminal.tell(f"{verdict}: {choice.why[language]}", "green" if choice.right else "yellow")
        if choice.right:
            return tries == 1


def practice(terminal: Terminal, items: Sequence[Item]) -> None:
    """Find each card's answer among others; the result, and what to read again."""
    language, missed, asked = terminal.language, [], 0
    try:
        for n, item in enumerate(items, 1):
            terminal.tell()
            notebook = item.card.notebook
            terminal.say("card_of", style="dim", n=n, total=len(items), notebook=notebook)
            terminal.tell(item.card.front[language], "bold")
            letters = LETTERS[: len(item.choices)]
            for letter, card in zip(letters, item.choices):
                terminal.tell(f"  {letter}) {card.back[language]}")
            letter = terminal.pick(say("which_answer", language), letters)
            got = item.choices[letters.index(letter)]
            asked = n
            if got == item.card:
                terminal.say("right", style="green")
            else:
                missed.append(item.card)
                terminal.say("that_was", style="yellow", front=got.front[language])
                terminal.say("right_was", letter=letters[item.choices.index(item.card)])
    except Ended:
        terminal.say("stopped")
    _score(terminal, asked, missed)


def _score(terminal: Terminal, asked: int, missed: Sequence[Card | Question]) -> None:
    """How many were right, and where the others are explained."""
    terminal.tell()
    terminal.say("score", right=asked - len(missed), total=asked)
    if missed:
        terminal.say("read_again")
        for place in dict.fromkeys(f"  {one.notebook}: {one.section}" for one in missed):
            terminal.tell(place)


def match(terminal: Terminal, round: Round) -> None:
    """Put fronts and backs together, in any order and as many at a time as one likes."""
    language, wrong = terminal.language, 0
    fronts = dict(enumerate(round.fronts))
    backs = dict(enumerate(round.backs))
    total = len(fronts)
    terminal.say("match_how")
    try:
        while fronts:
            terminal.tell()
            for i, card in fronts.items():
                terminal.tell(f"  {i + 1}. {card.front[language]}", "bold")
            for i, card in backs.items():
                terminal.tell(f"  {LETTERS[i]}) {card.back[language]}")
            for pair in terminal.line(say("pairs", language)).split():
                found = re.fullmatch(r"(\d+)([a-z])", pair)
                places = found and (int(found[1]) - 1, LETTERS.index(found[2]))
                if not places or places[0] not in fronts or places[1] not in backs:
                    terminal.say("not_understood", text=pair)
                elif round.fits(*places):
                    del fronts[places[0]], backs[places[1]]
                else:
                    wrong += 1
                    terminal.say("not_a_pair", style="yellow", pair=pair)
            terminal.say("matched", n=total - len(fronts), total=total)
        terminal.say("all_matched", wrong=wrong)
    except Ended:
        terminal.say("stopped")
