from __future__ import annotations

import inspect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import tokenization
from course_lib.data.python_reference import python_reference_text
from course_lib.fast import train_bpe_fast
from course_lib.tokenization import train_bpe

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
repetitive_text = st.text("ab é1'\n", max_size=80)  # few signs: many equal counts, many overlaps
some_special_tokens = st.sampled_from(["<s>", "<s>s", "ab", "a b ", "|", "a", "b'", "é", " "])


def assert_same(fast, reference):
    assert list(fast.merge_ids.items()) == list(reference.merge_ids.items())  # order counts too
    assert fast == reference


@pytest.mark.parametrize("vocab_size", [256, 1000, 8000, 100_000])
def test_learns_the_same_from_real_text(vocab_size):
    text = python_reference_text()
    assert_same(train_bpe_fast(text, vocab_size), train_bpe(text, vocab_size))


def test_learns_the_same_from_real_code():
    text = "".join(inspect.getsource(module) for module in (tokenization, json, inspect))
    assert_same(train_bpe_fast(text, 100_000), train_bpe(text, 100_000))


@given(st.one_of(repetitive_text, any_text), st.integers(256, 340))
def test_learns_the_same_from_any_text(text, vocab_size):
    assert_same(train_bpe_fast(text, vocab_size), train_bpe(text, vocab_size))


@given(st.lists(some_special_tokens, unique=True), st.text("ab é1'|<s>", max_size=80))
def test_learns_the_same_with_special_tokens(special_tokens, text):
    fast, reference = (train(text, 300, special_tokens) for train in (train_bpe_fast, train_bpe))
    assert_same(fast, reference)
    assert list(fast.special_tokens) == special_tokens
    assert fast.decode(fast.encode(text)) == text


@given(st.text("ab", max_size=200))
def test_learns_the_same_where_one_spelling_has_several_merges(text):
    """Long words of two letters: the same bytes come about in many ways, and share an id."""
    assert_same(train_bpe_fast(text, 400), train_bpe(text, 400))


def test_ids_may_be_numbers_of_surrogates():
    """Ids from 0xD800 on: as characters, they are halves of a pair. Ours never leave the str."""
    special_tokens = [f"<{n}>" for n in range(0xD800 - 200)]
    text = "lower lowest newer wider <7> ababab aaaa"
    fast, reference = (train(text, 60_000, special_tokens) for train in (train_bpe_fast, train_bpe))
    assert_same(fast, reference)
    assert len(fast.vocab) > 0xD800 + 60


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((b"text", 300), TypeError, "text must be a str, got bytes"),
        (("text", 300.0), TypeError, "text and vocab_size must be str and int"),
        (("text", 255), ValueError, "vocab_size must be at least 256, got 255"),
        (("text", 300, "<s>"), TypeError, "special_tokens must be a sequence of str"),
        (("text", 300, ["<s>", "<s>"]), ValueError, "special_tokens must be distinct"),
        (("\ud800", 300), ValueError, "text holds a lone surrogate"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        train_bpe_fast(*arguments)
