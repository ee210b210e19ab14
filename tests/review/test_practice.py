"""Practice tests and matching rounds."""

from random import Random

import pytest

from course_lib.review.material import all_cards
from course_lib.review.practice import matching_round, practice_test

CARDS = all_cards()


def test_the_same_seed_draws_the_same_and_another_seed_another():
    assert practice_test(CARDS, 20, Random(1)) == practice_test(CARDS, 20, Random(1))
    assert practice_test(CARDS, 20, Random(1)) != practice_test(CARDS, 20, Random(2))
    assert matching_round(CARDS, 6, Random(1)) == matching_round(CARDS, 6, Random(1))
    assert matching_round(CARDS, 6, Random(1)) != matching_round(CARDS, 6, Random(2))


@pytest.mark.parametrize("seed", range(5))
def test_each_item_holds_its_answer_once_among_others_of_its_notebook(seed):
    items = practice_test(CARDS, 40, Random(seed))
    assert len({item.card.id for item in items}) == 40
    for item in items:
        assert len({card.back["en"] for card in item.choices}) == 4
        assert item.card in item.choices
        assert {card.notebook for card in item.choices} == {item.card.notebook}


def test_the_answer_stands_anywhere():
    items = practice_test(CARDS, len(CARDS), Random(0))
    assert {item.choices.index(item.card) for item in items} == {0, 1, 2, 3}


def test_asking_for_too_many_gives_all():
    assert len(practice_test(CARDS[:3], 50, Random(0))) == 3
    assert len(matching_round(CARDS[:3], 6, Random(0)).fronts) == 3


@pytest.mark.parametrize("seed", range(5))
def test_in_a_round_each_front_fits_one_back(seed):
    round = matching_round(CARDS, 8, Random(seed))
    fits = [[round.fits(f, b) for b in range(8)] for f in range(8)]
    assert [sum(row) for row in fits] == [sum(column) for column in zip(*fits)] == [1] * 8


def test_bad_numbers_are_said():
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        practice_test(CARDS, 0, Random(0))
    with pytest.raises(ValueError, match="00_start_here has only one"):
        practice_test(CARDS[:1], 1, Random(0))
    for pairs in (1, 27):
        with pytest.raises(ValueError, match=f"pairs must be from 2 to 26, got {pairs}"):
            matching_round(CARDS, pairs, Random(0))
