from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data.storyland import Storyland
from course_lib.ngram import ngram_probs, smoothed_probability, train_ngram
from course_lib.probability import autocomplete_bigram

TEXT = torch.tensor([3, 1, 2, 1, 2, 0, 1, 2])
texts = st.lists(st.integers(0, 5), min_size=1, max_size=40)


def test_counts_by_hand():
    model = train_ngram(TEXT, 3)
    assert model[()] == Counter({1: 3, 2: 3, 3: 1, 0: 1})
    assert model[(1,)] == {2: 3} and model[(2,)] == {1: 1, 0: 1}
    assert model[(1, 2)] == {1: 1, 0: 1}
    assert (1, 2, 1) not in model


@given(texts, st.integers(1, 4))
def test_every_piece_is_counted_once(text, n):
    model = train_ngram(torch.tensor(text), n)
    for length in range(n):
        pieces = Counter(tuple(text[i : i + length + 1]) for i in range(len(text) - length))
        counted = {(*c, t): k for c, f in model.items() if len(c) == length for t, k in f.items()}
        assert counted == pieces


@given(texts, st.integers(1, 4), st.lists(st.integers(0, 7), max_size=6))
def test_probabilities(text, n, context):
    model = train_ngram(torch.tensor(text), n)
    probs = ngram_probs(model, context, 8)
    assert probs.shape == (8,) and probs.dtype == torch.float32
    assert probs.sum().item() == pytest.approx(1)
    # by definition: the longest end of the context, below n tokens, that something followed
    for length in range(min(n - 1, len(context)), -1, -1):
        end = context[len(context) - length :]
        followers = [
            text[i + length] for i in range(len(text) - length) if text[i : i + length] == end
        ]
        if followers:
            break
    expected = torch.bincount(torch.tensor(followers), minlength=8) / len(followers)
    torch.testing.assert_close(probs, expected)
    torch.testing.assert_close(ngram_probs(model, torch.tensor(context).long(), 8), probs)


@given(texts, st.integers(1, 4), st.lists(st.integers(0, 7), max_size=4))
def test_smoothed_probabilities_sum_to_one_and_are_never_zero(text, n, context):
    model = train_ngram(torch.tensor(text), n)
    probs = [smoothed_probability(model, context, token, 8) for token in range(8)]
    assert min(probs) > 0
    assert sum(probs) == pytest.approx(1)


def test_smoothed_by_hand():
    model = train_ngram(TEXT, 2)
    unigram = (3 + 4 * 1 / 5) / (8 + 4)  # 4 kinds of token, 8 tokens, a fifth each at the bottom
    assert smoothed_probability(model, [], 2, 5) == pytest.approx(unigram)
    assert smoothed_probability(model, [1], 2, 5) == pytest.approx((3 + 1 * unigram) / (3 + 1))
    assert smoothed_probability(model, [4], 2, 5) == pytest.approx(unigram)


def test_bigram_equals_the_phone_keyboard():
    words = "the cat saw the dog and the cat ran".split()
    vocab = sorted(set(words))
    model = train_ngram(torch.tensor([vocab.index(word) for word in words]), 2)
    probs = ngram_probs(model, [vocab.index("the")], len(vocab))
    for word, p in autocomplete_bigram(" ".join(words), "the", 9):
        assert probs[vocab.index(word)].item() == pytest.approx(p)


def test_counting_more_comes_nearer_to_the_truth():
    world = Storyland(0, "tiny")
    truth = world.unigram_probs().float()

    def distance(n_tokens):
        model = train_ngram(world.sample_ids(n_tokens, seed=1), 1)
        return (ngram_probs(model, [], len(world.vocab)) - truth).abs().sum().item()

    assert distance(200) > distance(5_000) > distance(200_000)
    assert distance(200_000) < 0.02


@pytest.mark.parametrize(
    ("ids", "n", "error", "says"),
    [
        (TEXT, 0, ValueError, "n must be at least 1, got 0"),
        (TEXT[:0], 2, ValueError, "ids must have at least one token, got none"),
        (TEXT[None], 2, ValueError, r"ids must have the shape \[n_tokens\]"),
        (TEXT.float(), 2, TypeError, "ids must be a tensor of dtype int64"),
        (TEXT.tolist(), 2, TypeError, "ids must be a tensor, got list"),
    ],
)
def test_bad_text(ids, n, error, says):
    with pytest.raises(error, match=says):
        train_ngram(ids, n)


def test_bad_vocabulary():
    with pytest.raises(ValueError, match="ids below vocab_size = 3"):
        ngram_probs(train_ngram(TEXT, 2), [1], 3)
    with pytest.raises(ValueError, match="model must be counts"):
        ngram_probs({}, [1], 3)
