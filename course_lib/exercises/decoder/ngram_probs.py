"""What `decoder.ngram_probs` demands."""

from __future__ import annotations

import torch

from course_lib import ngram
from course_lib.checks.exercise import Case, Exercise

ngram_probs = Exercise("decoder.ngram_probs", points=2, reference=ngram.ngram_probs)


@ngram_probs.cases
def _(draw):
    text = torch.tensor([3, 1, 2, 1, 2, 0, 1, 2, 2])

    def case(about, context, n=3, vocab_size=5, ids=text):
        arguments = {"model": ngram.train_ngram(ids, n), "context": context}
        return Case(about, {**arguments, "vocab_size": vocab_size})

    yield case("no context: the shares of all tokens", [])
    yield case("a context that was seen", [2])
    yield case("a context of two tokens that was seen", [1, 2])
    yield case("two tokens, of which only the second was seen as a context", [4, 2])
    yield case("two tokens that were seen, but never in this order", [0, 2])
    yield case("a token that was never seen", [4])
    yield case("the newest token was never seen", [1, 4])
    yield case("more tokens than the model looks back on", [2, 0, 2, 1, 1, 2])
    yield case("a model that counts single tokens only", [1, 2], n=1)
    yield case("a context given as a tensor", torch.tensor([3, 1]))
    yield case("a large vocabulary", [1], vocab_size=9)
    plain = {c: dict(followers) for c, followers in ngram.train_ngram(text, 3).items()}
    arguments = {"model": plain, "context": [0, 1, 2], "vocab_size": 5}
    yield Case("counts in plain dicts", arguments)
    ids, vocab = draw.ids(4, 30), draw.random.randint(6, 9)
    yield case("a random text", ids[[7, 8]].tolist(), vocab_size=vocab, ids=ids)
    if draw.hidden:
        ids = draw.ids(12, 300)
        for place in (40, 80, 120):
            context = ids[place : place + 4].tolist()
            yield case("a longer text", context, n=4, vocab_size=13, ids=ids)


def _known(model, context):
    """The longest end of the context that was followed by something."""
    context = tuple(int(token) for token in context)
    while context not in model:
        context = context[1:]
    return context


def _shares(followers, vocab_size):
    probs = torch.zeros(vocab_size)
    for token, count in followers.items():
        probs[token] = count
    return probs / probs.sum() if followers else probs


def _longest(model, context):
    """The last n - 1 tokens of the context, as far as there are so many."""
    order = max(map(len, model))
    context = tuple(int(token) for token in context)
    return context[len(context) - order :] if len(context) > order else context


@ngram_probs.misconception
def gives_zeros_for_an_unseen_context(model, context, vocab_size):
    """A context that was never followed by anything gives zeros in yours. Back off: drop its oldest
    token and look again, until something is found."""
    return _shares(model.get(_longest(model, context), {}), vocab_size)


@ngram_probs.misconception
def gives_equal_shares_for_an_unseen_context(model, context, vocab_size):
    """A context that was never seen gives all tokens equal shares in yours. Back off instead: a
    shorter context knows better than none."""
    followers = model.get(_longest(model, context), dict.fromkeys(range(vocab_size), 1))
    return _shares(followers, vocab_size)


@ngram_probs.misconception
def looks_the_whole_context_up(model, context, vocab_size):
    """You look the context up as it is and fall back to the empty one when it is not there. A
    context longer than n - 1 tokens is never there, though its last tokens may be. Shorten it from
    the left, token by token."""
    return _shares(model.get(tuple(int(t) for t in context), model[()]), vocab_size)


@ngram_probs.misconception
def goes_straight_to_the_empty_context(model, context, vocab_size):
    """When the longest context is unseen you go to the empty one at once. In between there are
    shorter contexts: drop one token at a time."""
    return _shares(model.get(_longest(model, context), model[()]), vocab_size)


@ngram_probs.misconception
def forgets_the_newest_token(model, context, vocab_size):
    """You back off by dropping the *last* token. That is the one nearest to what comes next; drop
    the oldest, at the left."""
    context = _longest(model, context)
    while context not in model:
        context = context[:-1]
    return _shares(model[context], vocab_size)


@ngram_probs.misconception
def looks_up_tensors(model, context, vocab_size):
    """`tuple(context)` of a tensor holds tensors, and no key of the model equals them. Turn each
    into an int first."""
    context = tuple(context)
    while context not in model:
        context = context[1:]
    return _shares(model[context], vocab_size)


@ngram_probs.misconception
def never_backs_off(model, context, vocab_size):
    """Your code takes it for granted that the context is in the model, and stops with a KeyError
    where it is not. Shorten the context from the left until it is known."""
    return _shares(model[tuple(int(token) for token in context)], vocab_size)


@ngram_probs.misconception
def returns_the_counts(model, context, vocab_size):
    """These are counts. Divide by their sum, so that they become probabilities."""
    probs = torch.zeros(vocab_size)
    for token, count in model[_known(model, context)].items():
        probs[token] = count
    return probs


@ngram_probs.misconception
def divides_by_all_tokens(model, context, vocab_size):
    """You divide by the length of the text. The question is what follows *this context*: divide by
    how often the context was followed by anything."""
    return returns_the_counts(model, context, vocab_size) / sum(model[()].values())


@ngram_probs.misconception
def relies_on_counters(model, context, vocab_size):
    """You call `.total()`, which a `Counter` has and a plain dict has not. `train_ngram` may return
    either: `sum(followers.values())` works with both."""
    followers = model[_known(model, context)]
    return returns_the_counts(model, context, vocab_size) / followers.total()


@ngram_probs.misconception
def shortens_by_one_only(model, context, vocab_size):
    """You drop the oldest token once and then give up on all but the empty context. Go on dropping
    until what is left is known."""
    context = tuple(int(token) for token in context)
    for known in (context, context[1:], ()):
        if known in model:
            return _shares(model[known], vocab_size)


@ngram_probs.misconception
def takes_softmax_of_the_counts(model, context, vocab_size):
    """You take the softmax of the counts. Counts are no scores: their shares are counts divided by
    their sum, and what was never counted has probability 0."""
    return returns_the_counts(model, context, vocab_size).softmax(0)


@ngram_probs.misconception
def adds_one_to_every_count(model, context, vocab_size):
    """You add 1 to every count, so that nothing has probability 0. That is a good thought, and
    section 2 comes to it. Here the probabilities are the plain shares (maximum likelihood)."""
    counts = returns_the_counts(model, context, vocab_size) + 1
    return counts / counts.sum()


@ngram_probs.misconception
def ends_at_the_largest_id_it_saw(model, context, vocab_size):
    """Your vector ends at the largest id that followed. It should have `vocab_size` entries, with 0
    for all that never followed."""
    followers = model[_known(model, context)]
    return _shares(followers, max(followers) + 1)


@ngram_probs.alternative
def with_the_ends_of_the_context_in_order(model, context, vocab_size):
    """Try every end of the context, longest first."""
    context = [int(token) for token in context]
    ends = (tuple(context[start:]) for start in range(len(context) + 1))
    followers = next(model[end] for end in ends if end in model)
    total = sum(followers.values())
    return torch.tensor([followers.get(token, 0) / total for token in range(vocab_size)])


@ngram_probs.alternative
def by_calling_itself(model, context, vocab_size):
    """Unseen: ask again with one token less."""
    context = tuple(torch.as_tensor(context).tolist())
    if context not in model:
        return by_calling_itself(model, context[1:], vocab_size)
    tokens = torch.tensor(list(model[context]))
    counts = torch.tensor(list(model[context].values()), dtype=torch.float32)
    return torch.zeros(vocab_size).index_add(0, tokens, counts / counts.sum())
