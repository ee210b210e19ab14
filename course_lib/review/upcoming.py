"""What to say when no card is left: when the next one comes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from course_lib.review.language import say
from course_lib.review.material import Card
from course_lib.review.schedule import Schedule


def in_words(wait: timedelta, language: str) -> str:
    """A time to wait, rounded: "in 10 min", "in 3 h", "in 5 d"."""
    minutes = wait.total_seconds() / 60
    if minutes < 0.5:
        return say("now", language)
    if minutes < 59.5:
        return say("in_minutes", language, n=round(minutes))
    if minutes < 48 * 60:
        return say("in_hours", language, n=round(minutes / 60))
    return say("in_days", language, n=round(minutes / 60 / 24))


def what_next(schedule: Schedule, cards: Sequence[Card], language: str, new: int) -> list[str]:
    """What is left of the cards: when the next one is due, and whether there are new ones."""
    lines = [] if schedule.due(cards, new) else [say("nothing_due", language)]
    soonest = schedule.next_due(cards)
    if soonest is not None:
        wait = in_words(soonest - schedule.clock(), language)
        lines.append(say("come_back", language, when=wait))
    if schedule.not_met(cards):
        lines.append(say("new_tomorrow", language, new=new))
    else:
        lines.append(say("all_seen", language))
    return lines
