"""When cards come back, and that nothing a learner did is lost."""

import json
from datetime import timedelta

import pytest

from course_lib.review.material import all_cards
from course_lib.review.schedule import RATINGS, Schedule

CARDS = all_cards("03_attention")


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".course" / "review.json"


def test_new_cards_come_in_the_order_of_the_course_and_not_all_in_a_day(path, clock):
    schedule = Schedule(path, clock)
    assert schedule.due(CARDS, new=4) == list(CARDS[:4])
    for card in CARDS[:4]:
        schedule.answer(card, "easy")
    assert schedule.due(CARDS, new=4) == []
    assert schedule.due(CARDS, new=6) == list(CARDS[4:6])
    clock.wait(days=1)
    assert [c for c in schedule.due(CARDS, new=4) if c in CARDS[4:]] == list(CARDS[4:8])


def test_the_better_known_the_later(path, clock):
    due = [Schedule(path, clock).answer(card, r) for card, r in zip(CARDS, RATINGS)]
    assert clock.now < due[0] < due[1] < due[2] < due[3]


def test_intervals_grow_while_a_card_is_known_and_shrink_when_it_is_not(path, clock):
    schedule, card = Schedule(path, clock), CARDS[0]
    waits = []
    for _ in range(6):
        due = schedule.answer(card, "good")
        waits.append(due - clock.now)
        clock.now = due
    assert waits == sorted(waits) and waits[-1] > timedelta(days=30)
    assert schedule.answer(card, "again") - clock.now < timedelta(days=1)


def test_due_cards_come_before_new_ones_the_longest_waiting_first(path, clock):
    schedule = Schedule(path, clock)
    schedule.answer(CARDS[2], "again")
    clock.wait(seconds=20)
    schedule.answer(CARDS[1], "again")
    assert schedule.due(CARDS, new=0) == []
    clock.wait(minutes=5)
    assert schedule.due(CARDS, new=3) == [CARDS[2], CARDS[1], CARDS[0]]
    assert schedule.next_due(CARDS) < clock.now


def test_a_restart_changes_nothing(path, clock):
    one = Schedule(path, clock)
    for card, rating in zip(CARDS, RATINGS):
        one.answer(card, rating)
    one.remember_language("pt_BR")
    clock.wait(days=3)
    two = Schedule(path, clock)
    assert two.due(CARDS, new=20) == one.due(CARDS, new=20)
    assert two.language == "pt_BR" and two.moved_aside is None
    assert two.next_due(CARDS) == one.next_due(CARDS)


def test_a_notebook_and_a_terminal_may_be_open_side_by_side(path, clock):
    notebook, terminal = Schedule(path, clock), Schedule(path, clock)
    notebook.answer(CARDS[0], "easy")
    terminal.answer(CARDS[1], "easy")
    notebook.remember_language("en")
    assert len(Schedule(path, clock).not_met(CARDS)) == len(CARDS) - 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: '{"cards": {"attention.qkv": {}}, "reviews": [], "language": null}',
        lambda text: text.replace('"due": "2026', '"due": "soon, 2026'),
        lambda text: text.replace('"reviews": [', '"reviews": [7, '),
    ],
)
def test_a_file_that_cannot_be_read_is_moved_aside_and_kept(path, clock, damage):
    Schedule(path, clock).answer(CARDS[0], "good")
    damaged = damage(path.read_text(encoding="utf-8"))
    for n in (1, 2):  # twice in the same second
        path.write_text(damaged, encoding="utf-8")
        schedule = Schedule(path, clock)
        assert schedule.moved_aside.read_text(encoding="utf-8") == damaged
        assert len(list(path.parent.glob("review-unreadable-*.json"))) == n
    schedule.answer(CARDS[0], "good")
    assert json.loads(path.read_text(encoding="utf-8"))["cards"]


def test_a_crash_while_writing_leaves_the_old_file(path, clock, monkeypatch):
    schedule = Schedule(path, clock)
    schedule.answer(CARDS[0], "good")
    before = path.read_bytes()

    def crash(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", crash)
    with pytest.raises(KeyboardInterrupt):
        schedule.answer(CARDS[1], "good")
    assert path.read_bytes() == before


def test_without_a_file_nothing_is_written(clock, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    schedule = Schedule(None, clock)
    schedule.answer(CARDS[0], "good")
    assert schedule.not_met(CARDS[:2]) == [CARDS[1]]
    assert not list(tmp_path.iterdir())


def test_an_unknown_rating_is_said(clock):
    with pytest.raises(ValueError, match="rating: expected one of again, hard, good, easy"):
        Schedule(None, clock).answer(CARDS[0], "fine")
