from __future__ import annotations

from collections import Counter

import pytest

from course_lib.data.shop_messages import TEAMS, known_and_held_out, shop_messages


def test_every_message_is_different_and_holds_its_product_as_a_word() -> None:
    messages = shop_messages()
    assert len({m.text for m in messages}) == len({m.product for m in messages}) == len(messages)
    for message in messages:
        assert (
            message.text.replace(".", " ")
            .replace(",", " ")
            .replace("?", " ")
            .split()
            .count(message.product)
            == 1
        )
        assert "*" not in message.text


def test_teams_have_equally_many() -> None:
    assert Counter(m.team for m in shop_messages()) == dict.fromkeys(TEAMS, 20)


@pytest.mark.parametrize("n_known", [1, 6, 19])
def test_known_and_held_out_are_apart_and_complete(n_known) -> None:
    known, held_out = known_and_held_out(n_known)
    assert Counter(m.team for m in known) == dict.fromkeys(TEAMS, n_known)
    assert sorted(known + held_out) == sorted(shop_messages())


@pytest.mark.parametrize("n_known", [0, 20])
def test_neither_side_may_be_empty(n_known) -> None:
    with pytest.raises(ValueError, match="n_known"):
        known_and_held_out(n_known)
