"""What `decoder.train_ngram` demands."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from course_lib import ngram
from course_lib.checks.exercise import Case, Exercise

train_ngram = Exercise("decoder.train_ngram", points=2, reference=ngram.train_ngram)


def _plain_counts(solution, ids, n):
    """What the solution returns, as plain dicts: a Counter, a defaultdict or a dict will do."""
    counts = solution(ids, n)
    if not isinstance(counts, Mapping):
        return counts
    return {
        _plain(context): (
            {_plain(token): count for token, count in followers.items()}
            if isinstance(followers, Mapping)
            else followers
        )
        for context, followers in counts.items()
    }


def _plain(key):
    """A tensor is no good key, since equal tensors are different keys: show that it is one."""
    if isinstance(key, tuple):
        return tuple(map(_plain, key))
    return repr(key) if isinstance(key, Tensor) else key


@train_ngram.cases
def _(draw):
    def case(about, ids, n):
        return Case(about, {"ids": torch.as_tensor(ids), "n": n}, _plain_counts)

    yield case("three tokens, n = 1: only how often each occurs", [4, 2, 4], 1)
    yield case("three tokens and pairs of them", [7, 3, 7], 2)
    yield case("a pair that comes twice", [5, 1, 0, 5, 1], 2)
    yield case("the same token all along", [2, 2, 2, 2], 3)
    yield case("pieces of up to three tokens", [3, 1, 2, 1, 2, 0, 1], 3)
    yield case("a text shorter than n", [6, 8], 4)
    yield case("one token", [5], 3)
    yield case("ids far apart", [300, 2, 300, 2, 70_000], 2)
    yield case("a longer text", draw.ids(3, 14), 3)
    if draw.hidden:
        yield case("a long text and long pieces", draw.ids(4, 60), 5)


def _count_pieces(tokens, lengths):
    counts = defaultdict(Counter)
    for length in lengths:
        for place in range(length, len(tokens)):
            counts[tuple(tokens[place - length : place])][tokens[place]] += 1
    return dict(counts)


@train_ngram.misconception
def counts_only_the_longest_contexts(ids, n):
    """You count contexts of exactly n - 1 tokens. The shorter ones, down to the empty context (),
    are needed too: a model falls back on them when it has not seen a long one."""
    return _count_pieces(ids.tolist(), [n - 1])


@train_ngram.misconception
def leaves_out_the_empty_context(ids, n):
    """The empty context () is missing: how often each token occurs at all."""
    return _count_pieces(ids.tolist(), range(1, n))


@train_ngram.misconception
def takes_contexts_of_n_tokens(ids, n):
    """Your longest contexts have n tokens. An n-gram is context and follower *together*, so the
    context has at most n - 1."""
    return _count_pieces(ids.tolist(), range(n + 1))


@train_ngram.misconception
def reaches_back_before_the_text(ids, n):
    """Near the start of the text there are fewer than n - 1 tokens to look back on. There
    `place - length` is negative, and Python counts a negative index from the *end* of the list. So
    those first tokens are counted under contexts that they do not have."""
    tokens = ids.tolist()
    counts = defaultdict(Counter)
    for place, token in enumerate(tokens):
        for length in range(n):
            counts[tuple(tokens[place - length : place])][token] += 1
    return dict(counts)


@train_ngram.misconception
def skips_the_first_tokens(ids, n):
    """You begin at token n - 1, where the longest context fits for the first time. The tokens
    before it have shorter contexts, and those count as well."""
    tokens = ids.tolist()
    counts = defaultdict(Counter)
    for place in range(n - 1, len(tokens)):
        for length in range(n):
            counts[tuple(tokens[place - length : place])][tokens[place]] += 1
    return dict(counts)


@train_ngram.misconception
def starts_no_piece_near_the_end(ids, n):
    """You cut pieces of n tokens and count the short contexts at the beginning of each. The last
    n - 1 tokens begin no such piece, so what they follow, and what follows them, is lost. Go
    through the text by the token that *follows*, and look back."""
    tokens = ids.tolist()
    counts = defaultdict(Counter)
    for start in range(len(tokens) - n + 1):
        for length in range(n):
            counts[tuple(tokens[start : start + length])][tokens[start + length]] += 1
    return dict(counts)


@train_ngram.misconception
def puts_the_follower_into_the_context(ids, n):
    """Your contexts hold the token that follows them, as their last. A context ends one token
    before it: `tokens[place - length : place]`."""
    tokens = ids.tolist()
    counts = defaultdict(Counter)
    for place, token in enumerate(tokens):
        for length in range(min(n, place + 1)):
            counts[tuple(tokens[place - length : place + 1])][token] += 1
    return dict(counts)


@train_ngram.misconception
def notes_only_that_it_was_seen(ids, n):
    """Your counts never go above 1. Add 1 each time a token follows, also when it has followed
    before."""
    counts = ngram.train_ngram(ids, n)
    return {context: dict.fromkeys(followers, 1) for context, followers in counts.items()}


@train_ngram.misconception
def stores_shares(ids, n):
    """You store shares. This function only counts; `ngram_probs` divides."""
    counts = ngram.train_ngram(ids, n)
    return {
        context: {token: count / followers.total() for token, count in followers.items()}
        for context, followers in counts.items()
    }


@train_ngram.misconception
def counts_what_comes_before(ids, n):
    """You take the tokens *after* each token for its context. A context is what was read before."""
    return ngram.train_ngram(ids.flip(0), n)


@train_ngram.misconception
def writes_contexts_backwards(ids, n):
    """Your contexts have the newest token first. Keep them in the order of the text."""
    return {context[::-1]: f for context, f in ngram.train_ngram(ids, n).items()}


@train_ngram.misconception
def uses_tensors_as_keys(ids, n):
    """Your keys hold tensors. Two tensors with the same number are two different keys of a dict,
    so nothing is ever counted twice. `ids.tolist()` gives plain ints."""
    return _count_pieces(list(ids), range(n))


@train_ngram.alternative
def length_by_length(ids, n):
    """One pass over the text for each length of context."""
    tokens, counts = ids.tolist(), {(): dict(Counter(ids.tolist()))}
    for length in range(1, n):
        for *context, token in zip(*(tokens[start:] for start in range(length + 1))):
            followers = counts.setdefault(tuple(context), {})
            followers[token] = followers.get(token, 0) + 1
    return counts


@train_ngram.alternative
def with_a_growing_context(ids, n):
    """Keeps the last n - 1 tokens, and counts every ending of them."""
    counts, past = defaultdict(lambda: defaultdict(int)), ()
    for token in ids.tolist():
        for start in range(len(past) + 1):
            counts[past[start:]][token] += 1
        past = (*past, token)[1:] if len(past) == n - 1 else (*past, token)
    return counts
