"""When each card comes back: spaced repetition by FSRS, kept in a file of the learner's.

The intervals are those of the package `fsrs` (FSRS-6; Ye and others 2022, "A Stochastic Shortest
Path Algorithm for Optimizing Spaced Repetition Scheduling"), with its usual parameters and without
its random spread, so that the same answers at the same times give the same schedule.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from zlib import crc32

import fsrs

from course_lib.review.material import Card

NEW_A_DAY = 10
RATINGS = ("again", "hard", "good", "easy")  # FSRS counts them from 1

_scheduler = fsrs.Scheduler(enable_fuzzing=False)


def review_file(workspace: Path) -> Path:
    """The file with the reviews in a learner's workspace."""
    return workspace / ".course" / "review.json"


class Schedule:
    """What a learner has answered, and so when each card is due.

    Every answer is written at once, and the file is read again before it, so that a notebook and a
    terminal may be open side by side. A file that cannot be read is moved aside, never deleted.

    Attributes:
        language: the language the learner chose last, or None.
        moved_aside: where an unreadable file was put, or None.
    """

    def __init__(
        self, path: Path | None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Read the schedule in `path`; with None nothing is kept. `clock` tells the time in UTC."""
        self.path = path
        self.clock = clock
        self.language: str | None = None
        self.moved_aside: Path | None = None
        self._cards: dict[str, fsrs.Card] = {}
        self._reviews: list[tuple[str, int, str]] = []
        self._read()

    def due(self, cards: Sequence[Card], new: int = NEW_A_DAY) -> list[Card]:
        """What to review now: due cards, the longest waiting first, then new ones in their order.

        Args:
            new: how many cards may be met for the first time today, those met already included.
        """
        now = self.clock()
        met = [card for card in cards if card.id in self._cards]
        waiting = [card for card in met if self._cards[card.id].due <= now]
        waiting.sort(key=lambda card: self._cards[card.id].due)
        fresh = self.not_met(cards)
        return waiting + fresh[: max(0, new - self._met_on(now))]

    def not_met(self, cards: Sequence[Card]) -> list[Card]:
        """The cards that have never been answered."""
        return [card for card in cards if card.id not in self._cards]

    def next_due(self, cards: Sequence[Card]) -> datetime | None:
        """When the next of the cards met so far is due; None if there is none."""
        return min((self._cards[c.id].due for c in cards if c.id in self._cards), default=None)

    def answer(self, card: Card, rating: str) -> datetime:
        """Note how well a card was known, and return when it is due again.

        Raises:
            ValueError: the rating is not one of RATINGS.
        """
        if rating not in RATINGS:
            raise ValueError(f"rating: expected one of {', '.join(RATINGS)}, got {rating!r}")
        self._read()
        now = self.clock()
        before = self._cards.get(card.id) or fsrs.Card(card_id=crc32(card.id.encode()), due=now)
        number = RATINGS.index(rating) + 1
        after, _ = _scheduler.review_card(before, fsrs.Rating(number), now)
        self._cards[card.id] = after
        self._reviews.append((card.id, number, now.isoformat()))
        self._write()
        return after.due

    def remember_language(self, language: str) -> None:
        """Keep the learner's choice of language."""
        self._read()
        self.language = language
        self._write()

    def _met_on(self, now: datetime) -> int:
        """How many cards were answered for the first time on the (local) day of `now`."""
        first: dict[str, str] = {}
        for id, _, when in self._reviews:
            first.setdefault(id, when)
        today = now.astimezone().date()
        days = [datetime.fromisoformat(when).astimezone().date() for when in first.values()]
        return days.count(today)

    def _read(self) -> None:
        if self.path is None or not self.path.exists():
            return
        try:
            state = json.loads(self.path.read_text(encoding="utf-8"))
            cards = {id: fsrs.Card.from_dict(card) for id, card in state["cards"].items()}
            reviews = [(str(id), int(number), str(when)) for id, number, when in state["reviews"]]
            for _, _, when in reviews:
                datetime.fromisoformat(when)
            language = state["language"]
        except (ValueError, TypeError, KeyError, AttributeError):
            self._move_aside(self.path)
            return
        self._cards, self._reviews, self.language = cards, reviews, language

    def _move_aside(self, path: Path) -> None:
        stamp = self.clock().strftime("%Y%m%d-%H%M%S")
        aside, n = path.with_name(f"review-unreadable-{stamp}.json"), 1
        while aside.exists():
            n += 1
            aside = path.with_name(f"review-unreadable-{stamp}-{n}.json")
        path.rename(aside)
        self.moved_aside = aside

    def _write(self) -> None:
        """All or nothing: a crash leaves the old file or the new one, never half of one."""
        if self.path is None:
            return
        state = {
            "language": self.language,
            "cards": {id: card.to_dict() for id, card in self._cards.items()},
            "reviews": self._reviews,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(state, indent=1), encoding="utf-8")
        part.replace(self.path)
