"""The clock measures the solution, not the machine; and says how its time was spent."""

import threading
import time

import pytest

from course_lib.checks import clock, evaluate
from course_lib.checks.catalogue import course_exercise
from course_lib.checks.clock import run_with_limit

EXERCISE = course_exercise("tokenization.merge_pair")


def anybody(frame):
    return frame.f_code.co_filename == __file__


def test_what_ends_gives_its_value():
    assert run_with_limit(lambda: 3, 1.0, anybody) == (3, None, None)


def test_an_error_comes_back():
    value, error, overrun = run_with_limit(lambda: 1 / 0, 1.0, anybody)
    assert value is None and isinstance(error, ZeroDivisionError) and overrun is None


def test_other_threads_do_not_use_up_the_time():
    """Six threads that keep the interpreter busy: what needs a tenth of its limit still ends."""
    busy = threading.Event()

    def burn():
        while not busy.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=burn, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        value, _, overrun = run_with_limit(lambda: sum(range(2_000_000)), 2.0, anybody)
    finally:
        busy.set()
    assert overrun is None and value == 1999999000000


def test_a_loop_in_which_nothing_changes_is_named_with_its_line():
    def endless():
        i, ids = 0, [1, 2, 3]
        while i < len(ids):
            ids = ids

    _, _, overrun = run_with_limit(endless, 0.1, anybody)
    line, names = overrun.circling
    assert line in range(endless.__code__.co_firstlineno, endless.__code__.co_firstlineno + 4)
    assert names == "`i` is 0"


@pytest.mark.parametrize(
    "step", [lambda items: items.append(items.pop(0)), lambda items: items.sort()]
)
def test_a_loop_that_changes_something_is_only_called_long(step):
    def long():
        items, n = [3, 1, 2], 0
        while True:
            step(items)
            n += 1

    _, _, overrun = run_with_limit(long, 0.1, anybody)
    assert overrun is not None and overrun.circling is None


def test_a_loop_over_an_iterator_may_change_unseen():
    def long():
        numbers = iter(int, 1)
        while next(numbers) == 0:
            pass

    assert run_with_limit(long, 0.1, anybody)[2].circling is None


def test_what_sleeps_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(clock, "_IDLE", 0.3)
    _, _, overrun = run_with_limit(lambda: time.sleep(5), 1.0, anybody)
    assert overrun.asleep and overrun.seconds < 0.2


def test_the_case_that_did_not_end_is_shown_and_no_other(monkeypatch):
    monkeypatch.setattr(EXERCISE, "seconds", 0.1)

    def merge_pair(ids, pair, new_id):
        merged, i = [], 0
        while i < len(ids):
            if tuple(ids[i : i + 2]) == tuple(pair):
                merged.append(new_id)
                i += 2
            else:
                merged.append(ids[i])
        return merged

    report = evaluate(EXERCISE.id, merge_pair)
    assert report.headline == "it does not finish"
    assert "were not tried" in report.message
    assert dict(report.evidence)["ids"] != "[]"  # that one ends at once
