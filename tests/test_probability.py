from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.probability import autocomplete_bigram, chain_rule_log_prob, greedy_next_token

WORDS = st.lists(st.sampled_from(["a", "b", "c", "dog"]), max_size=30).map(" ".join)


def test_chain_rule_adds_the_picked_terms() -> None:
    log_probs = torch.randn(6, 11).log_softmax(-1)
    ids = torch.tensor([3, 0, 10, 10, 5, 7])
    result = chain_rule_log_prob(log_probs, ids)
    assert isinstance(result, float)
    expected = -torch.nn.functional.nll_loss(log_probs, ids, reduction="sum").item()
    assert result == pytest.approx(expected, rel=1e-6)


def test_chain_rule_probabilities_of_all_texts_sum_to_one() -> None:
    log_probs = torch.randn(3, 4).log_softmax(-1)
    texts = product(range(4), repeat=3)
    total = sum(math.exp(chain_rule_log_prob(log_probs, torch.tensor(text))) for text in texts)
    assert total == pytest.approx(1, abs=1e-6)


def test_chain_rule_edges() -> None:
    assert chain_rule_log_prob(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64)) == 0.0
    impossible = torch.tensor([[0.0, -math.inf]])
    assert chain_rule_log_prob(impossible, torch.tensor([1])) == -math.inf
    # a sum near 100 that is kept in bfloat16 is rounded to half a nat
    half = torch.full((1000, 2), -0.1, dtype=torch.bfloat16)
    result = chain_rule_log_prob(half, torch.zeros(1000, dtype=torch.int64))
    assert result == pytest.approx(1000 * half[0, 0].item(), rel=1e-6)


@pytest.mark.parametrize(
    ("log_probs", "ids", "error", "name"),
    [
        ([[0.0]], torch.tensor([0]), TypeError, "next_token_log_probs"),
        (torch.zeros(1, 2).long(), torch.tensor([0]), TypeError, "next_token_log_probs"),
        (torch.zeros(1, 2), [0], TypeError, "ids"),
        (torch.zeros(1, 2), torch.tensor([0.0]), TypeError, "ids"),
        (torch.zeros(0, 2), torch.tensor([]), TypeError, "ids"),
        (torch.zeros(2), torch.tensor([0, 1]), ValueError, "next_token_log_probs"),
        (torch.zeros(3, 2), torch.tensor([0, 1]), ValueError, "ids"),
        (torch.zeros(1, 2), torch.tensor([2]), ValueError, "ids"),
        (torch.zeros(1, 2), torch.tensor([-1]), ValueError, "ids"),
    ],
)
def test_chain_rule_door(log_probs, ids, error, name) -> None:
    with pytest.raises(error, match=f"^{name} "):
        chain_rule_log_prob(log_probs, ids)


def test_greedy_takes_the_first_of_equals() -> None:
    assert greedy_next_token(torch.tensor([-3.0, -1.0, -2.0, -1.0])) == 1
    assert type(greedy_next_token(torch.zeros(5000))) is int
    assert greedy_next_token(torch.zeros(5000)) == 0
    assert greedy_next_token(torch.tensor([-math.inf, -1e30])) == 1


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=300))
def test_greedy_equals_the_plain_search(values) -> None:
    assert greedy_next_token(torch.tensor(values).float()) == values.index(max(values))


def test_greedy_door() -> None:
    for wrong in (torch.zeros(0), torch.zeros(1, 3), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="^logits "):
            greedy_next_token(wrong)
    with pytest.raises(TypeError, match="^logits "):
        greedy_next_token([1.0, 2.0])


def test_autocomplete_by_hand() -> None:
    text = "the cat sat on the mat the dog saw the cat run to the end of the"
    # after "the": cat 2, dog 1, end 1, mat 1; the last "the" is followed by nothing
    expected = [("cat", 2 / 5), ("dog", 1 / 5), ("end", 1 / 5), ("mat", 1 / 5)]
    assert autocomplete_bigram(text, "the", 10) == expected
    assert autocomplete_bigram(text, "the", 2) == expected[:2]
    assert autocomplete_bigram(text, "zebra", 3) == []
    assert autocomplete_bigram("only once", "once", 3) == []
    assert autocomplete_bigram("a  b\n\ta", "a", 1) == [("b", 1.0)]
    assert autocomplete_bigram("", "a", 1) == autocomplete_bigram("a b", "a", 0) == []


@given(WORDS, st.sampled_from(["a", "dog"]), st.integers(0, 5))
def test_autocomplete_is_a_sorted_distribution(text, word, k) -> None:
    everything = autocomplete_bigram(text, word, 100)
    if everything:
        assert sum(p for _, p in everything) == pytest.approx(1)
    assert everything == sorted(everything, key=lambda item: (-item[1], item[0]))
    assert autocomplete_bigram(text, word, k) == everything[:k]


def test_autocomplete_door() -> None:
    with pytest.raises(ValueError, match="^k "):
        autocomplete_bigram("a b", "a", -1)
    for wrong, name in (((["a"], "a", 1), "text"), (("a", 3, 1), "word"), (("a", "a", 1.5), "k")):
        with pytest.raises(TypeError, match=f"^{name} "):
            autocomplete_bigram(*wrong)
