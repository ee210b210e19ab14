"""Notebook 06: what each exercise demands."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import decoder, ngram, objectives, training
from course_lib.attention import causal_mask, padding_mask
from course_lib.checks.exercise import Case, Exercise, gradient_of

# --- train_ngram ---------------------------------------------------------------------------

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


# --- ngram_probs ---------------------------------------------------------------------------

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
    return returns_the_counts(model, context, vocab_size) / model[()].total()


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


# --- causal_lm_loss ------------------------------------------------------------------------

causal_lm_loss = Exercise(
    "decoder.causal_lm_loss", points=2, reference=objectives.causal_lm_loss, tolerance=1e-4
)


@causal_lm_loss.cases
def _(draw):
    def case(about, logits, ids, ignore_index=-100, **options):
        arguments = {"logits": logits, "ids": torch.as_tensor(ids), "ignore_index": ignore_index}
        return Case(about, arguments, **options)

    yield case("one prediction", draw.normal(1, 2, 3), [[0, 2]])
    yield case("one text", draw.normal(1, 4, 3, scale=3.0), draw.ids(3, 1, 4))
    yield case("several texts", draw.normal(3, 5, 4, scale=2.0), draw.ids(4, 3, 5))
    uneven = torch.tensor([[1, 0, 2, 3, 3], [2, 1, -100, -100, -100]])
    yield case("texts of different length, filled with -100", draw.normal(2, 5, 4), uneven)
    yield case("the first id ignored: it is never predicted", draw.normal(1, 3, 4), [[-100, 1, 3]])
    yield case("id 0 is what to ignore", draw.normal(2, 3, 4), [[1, 0, 2], [0, 3, 3]], 0)
    yield case("nothing to predict: all ids ignored", draw.normal(1, 3, 4), [[-100] * 3])
    yield case("nothing to predict: texts of one token", draw.normal(2, 1, 4), [[1], [3]])
    yield case("huge logits", draw.normal(2, 4, 3, scale=1e4), draw.ids(3, 2, 4))
    yield case("double precision", draw.normal(2, 3, 5).double(), draw.ids(5, 2, 3))
    gradient = {"observe": gradient_of(0)}
    yield case("the gradient", draw.normal(2, 4, 3), draw.ids(3, 2, 4), **gradient)
    yield case(
        "the gradient with nothing to predict", draw.normal(1, 2, 3), [[-100] * 2], **gradient
    )
    if draw.hidden:
        ids = draw.ids(20, 4, 9).masked_fill(draw.normal(4, 9) > 0.8, -100)
        yield case("more texts, with gaps", draw.normal(4, 9, 20, scale=3.0), ids)


def _mean_loss(predictions, labels, ignore_index=-100):
    """Mean over what is labelled; 0 without labels. predictions [..., vocab], labels [...]."""
    losses = _losses(predictions, labels, ignore_index)
    return losses.sum() / (labels != ignore_index).sum().clamp(min=1)


def _losses(predictions, labels, ignore_index):
    flat = F.cross_entropy(
        predictions.flatten(0, 1), labels.flatten(), ignore_index=ignore_index, reduction="none"
    )
    return flat.view_as(labels)


@causal_lm_loss.misconception
def does_not_shift(logits, ids, ignore_index=-100):
    """You compare the logits at a position with the id at the *same* position. The model has read
    that id already. Its logits there are about the next one: shift by one."""
    return _mean_loss(logits, ids, ignore_index)


@causal_lm_loss.misconception
def shifts_the_other_way(logits, ids, ignore_index=-100):
    """You compare the logits at a position with the id *before* it. They are about the id after
    it: the logits lose their last position, the ids their first."""
    return _mean_loss(logits[:, 1:], ids[:, :-1], ignore_index)


@causal_lm_loss.misconception
def cuts_both_at_the_end(logits, ids, ignore_index=-100):
    """You cut the last position off both, so they still stand side by side unshifted. The ids lose
    their *first* position."""
    return _mean_loss(logits[:, :-1], ids[:, :-1], ignore_index)


@causal_lm_loss.misconception
def divides_by_all_positions(logits, ids, ignore_index=-100):
    """Ignored positions still count in your divisor. The mean is over labelled tokens only."""
    return _losses(logits[:, :-1], ids[:, 1:], ignore_index).sum() / max(ids[:, 1:].numel(), 1)


@causal_lm_loss.misconception
def counts_the_first_ids_too(logits, ids, ignore_index=-100):
    """You divide by the number of ids, the first of each text included. Nothing predicts a first
    id, so it is no label. Count the labels after the shift."""
    total = _losses(logits[:, :-1], ids[:, 1:], ignore_index).sum()
    return total / (ids != ignore_index).sum().clamp(min=1)


@causal_lm_loss.misconception
def runs_from_one_text_into_the_next(logits, ids, ignore_index=-100):
    """You join the texts before you shift. Then the last logits of a text are compared with the
    first id of the next one, which is another text. Shift inside each row, then flatten."""
    predictions, labels = logits.flatten(0, 1)[:-1], ids.flatten()[1:]
    total = F.cross_entropy(predictions, labels, ignore_index=ignore_index, reduction="sum")
    return total / (labels != ignore_index).sum().clamp(min=1)


@causal_lm_loss.misconception
def takes_softmax_twice(logits, ids, ignore_index=-100):
    """You hand probabilities to a loss that expects logits: `cross_entropy` takes the softmax
    itself. Give it the logits as they are."""
    return _mean_loss(logits[:, :-1].softmax(-1), ids[:, 1:], ignore_index)


@causal_lm_loss.misconception
def takes_logits_for_log_probabilities(logits, ids, ignore_index=-100):
    """You pick the label's logit, as `nll_loss` does. A logit is no log-probability yet: take
    `log_softmax` over the vocabulary first, or leave both to `cross_entropy`."""
    labels = ids[:, 1:].flatten()
    total = F.nll_loss(
        logits[:, :-1].flatten(0, 1), labels, ignore_index=ignore_index, reduction="sum"
    )
    return total / (labels != ignore_index).sum().clamp(min=1)


@causal_lm_loss.misconception
def averages_the_means_of_the_texts(logits, ids, ignore_index=-100):
    """You take the mean of each text, then the mean of those. A short text then weighs as much as a
    long one. Every labelled *token* of the batch should weigh the same."""
    labels = ids[:, 1:]
    losses = _losses(logits[:, :-1], labels, ignore_index)
    return (losses.sum(1) / (labels != ignore_index).sum(1).clamp(min=1)).mean()


@causal_lm_loss.misconception
def sums_instead_of_averaging(logits, ids, ignore_index=-100):
    """This is the sum over all tokens. Divide by their number, or the loss grows with the batch."""
    return _losses(logits[:, :-1], ids[:, 1:], ignore_index).sum()


@causal_lm_loss.misconception
def has_no_answer_without_labels(logits, ids, ignore_index=-100):
    """With no labelled token at all you divide 0 by 0, and that is `nan`. `F.cross_entropy` with
    its usual mean does so too. The loss should be 0 there: divide by at least 1."""
    predictions, labels = logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
    return F.cross_entropy(predictions, labels, ignore_index=ignore_index)


@causal_lm_loss.misconception
def knows_only_minus_100(logits, ids, ignore_index=-100):
    """Your code ignores -100 whatever `ignore_index` says. Hand the argument on."""
    return _mean_loss(logits[:, :-1], ids[:, 1:], -100)


@causal_lm_loss.misconception
def takes_the_log_of_a_softmax(logits, ids, ignore_index=-100):
    """Softmax first, then log: with large logits a probability rounds to 0, and log 0 is minus
    infinity. `log_softmax` and `cross_entropy` do both at once without that detour."""
    labels = ids[:, 1:]
    labelled = labels != ignore_index
    probs = logits[:, :-1].softmax(-1).gather(2, labels.clamp(min=0)[..., None])[..., 0]
    return -probs[labelled].log().sum() / labelled.sum().clamp(min=1)


@causal_lm_loss.misconception
def normalises_over_the_positions(logits, ids, ignore_index=-100):
    """Your softmax runs over the positions of the text. It should run over the vocabulary, the last
    axis: at each position the ids share out one probability."""
    labels = ids[:, 1:]
    labelled = labels != ignore_index
    log_probs = logits.log_softmax(1)[:, :-1]
    picked = log_probs.gather(2, labels.masked_fill(~labelled, 0)[..., None])[..., 0]
    return -(picked * labelled).sum() / labelled.sum().clamp(min=1)


@causal_lm_loss.misconception
def forgets_the_minus_sign(logits, ids, ignore_index=-100):
    """Yours is the mean log-probability, which is never above 0. A loss is to be made small: put a
    minus in front."""
    return -_mean_loss(logits[:, :-1], ids[:, 1:], ignore_index)


@causal_lm_loss.misconception
def counts_in_bits(logits, ids, ignore_index=-100):
    """Your loss is in bits: a logarithm to base 2. In this course losses are in nats, with the
    natural logarithm."""
    return _mean_loss(logits[:, :-1], ids[:, 1:], ignore_index) / math.log(2)


@causal_lm_loss.misconception
def lets_no_gradient_through(logits, ids, ignore_index=-100):
    """The number is right, but it is cut off from the logits (`detach`, `no_grad`, or a new tensor
    made of a Python number), so nothing can be learned from it. Stay with tensor operations."""
    return objectives.causal_lm_loss(logits, ids, ignore_index).detach()


@causal_lm_loss.misconception
def returns_a_python_number(logits, ids, ignore_index=-100):
    """`.item()` makes a Python number, and a number has no gradient. Return the tensor."""
    return objectives.causal_lm_loss(logits, ids, ignore_index).item()


@causal_lm_loss.alternative
def by_gathering_log_probabilities(logits, ids, ignore_index=-100):
    """Log-softmax, then pick each label's entry."""
    labels = ids[:, 1:]
    labelled = labels != ignore_index
    log_probs = logits[:, :-1].log_softmax(-1)
    picked = log_probs.gather(-1, labels.masked_fill(~labelled, 0).unsqueeze(-1)).squeeze(-1)
    return -(picked * labelled).sum() / labelled.sum().clamp(min=1)


@causal_lm_loss.alternative
def text_by_text(logits, ids, ignore_index=-100):
    """A loop over texts and positions, with logsumexp."""
    total, n = logits.sum() * 0, 0
    for row, labels in zip(logits, ids):
        for scores, label in zip(row[:-1], labels[1:].tolist()):
            if label != ignore_index:
                total, n = total + scores.logsumexp(0) - scores[label], n + 1
    return total / max(n, 1)


@causal_lm_loss.alternative
def only_what_is_labelled(logits, ids, ignore_index=-100):
    """Pick out labelled positions first; then torch's mean, unless there are none."""
    labelled = ids[:, 1:] != ignore_index
    if not labelled.any():
        return (logits * 0).sum()
    return F.cross_entropy(logits[:, :-1][labelled], ids[:, 1:][labelled])


# --- perplexity ----------------------------------------------------------------------------

perplexity = Exercise("decoder.perplexity", points=1, reference=objectives.perplexity)


@perplexity.cases
def _(draw):
    yield Case("a loss of 0: no doubt at all", {"loss": 0.0})
    yield Case("a number", {"loss": 0.5 + draw.random.random()})
    yield Case("a tensor with one number", {"loss": draw.normal(1)[0].abs() + 0.3})
    yield Case("a tensor with several losses", {"loss": draw.normal(4).abs() + 0.1})
    yield Case("a table of losses", {"loss": draw.normal(2, 3).abs() + 0.1})
    yield Case("double precision", {"loss": draw.normal(3).abs().double()})
    yield Case("the gradient", {"loss": draw.normal(3).abs()}, gradient_of(0))
    if draw.hidden:
        yield Case("a larger loss", {"loss": 5.0 + draw.random.random()})


@perplexity.misconception
def takes_a_power_of_two(loss):
    """You raise 2 to the loss. That is right for a loss in bits; ours is in nats, so the base
    is e."""
    return 2**loss


@perplexity.misconception
def always_returns_a_tensor(loss):
    """A number in, a tensor out. For a Python float return a Python float."""
    return torch.as_tensor(loss).exp()


@perplexity.misconception
def always_returns_a_number(loss):
    """`math.exp` and `.item()` give a Python number, and they refuse a tensor with several losses.
    For a tensor use its method `.exp()`."""
    return math.exp(loss)


@perplexity.misconception
def calls_exp_on_a_number(loss):
    """A Python float has no method `.exp()`. Use `math.exp` for it, and the method for a tensor."""
    return loss.exp()


@perplexity.misconception
def returns_the_probability(loss):
    """e to the *minus* loss is the typical probability of a token. Perplexity is one divided by
    that: e to the loss."""
    return (-loss).exp() if isinstance(loss, Tensor) else math.exp(-loss)


@perplexity.misconception
def averages_the_losses_first(loss):
    """Several losses give several perplexities. Yours are averaged into one."""
    return loss.mean().exp() if isinstance(loss, Tensor) else math.exp(loss)


@perplexity.misconception
def is_right_for_losses_near_zero(loss):
    """1 + loss is near e to the loss only while the loss is near 0."""
    return 1 + loss


@perplexity.alternative
def as_a_power_of_e(loss):
    """The same with the operator."""
    return math.e**loss


@perplexity.alternative
def by_way_of_a_tensor(loss):
    """A tensor does the work, and a number is taken out again if one came in."""
    if isinstance(loss, Tensor):
        return torch.exp(loss)
    return torch.tensor(loss, dtype=torch.float64).exp().item()


# --- sample_windows ------------------------------------------------------------------------

sample_windows = Exercise("decoder.sample_windows", points=2, reference=training.sample_windows)


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _one_draw(solution, ids, batch, length, seed):
    """Shape, dtype, and whether every window is a run of the text."""
    windows = solution(ids, batch, length, _generator(seed))
    facts = {"type": type(windows).__name__, "shape": None, "dtype": None}
    if not isinstance(windows, Tensor):
        return {**facts, "every window is a run of the text": None}
    runs = windows.ndim == 2 and windows.shape[1] <= len(ids)
    if runs:
        all_runs = {tuple(run) for run in ids.unfold(0, windows.shape[1], 1).tolist()}
        runs = all_runs >= set(map(tuple, windows.tolist()))
    facts |= {"shape": str(list(windows.shape)), "dtype": str(windows.dtype)}
    return {**facts, "every window is a run of the text": runs}


def _starts(solution, ids, batch, length, generator):
    """Where each window starts in a text of which all tokens differ; -1 = not in it."""
    windows = solution(ids, batch, length, generator)
    if not isinstance(windows, Tensor):
        raise TypeError(f"sample_windows must return a tensor, got a {type(windows).__name__}")
    place = {token: i for i, token in enumerate(ids.tolist())}
    return [place.get(first, -1) for first in windows[:, 0].tolist()]


def _where_windows_start(solution, ids, batch, length, seed):
    starts = Counter(_starts(solution, ids, batch, length, _generator(seed)))
    n_places = len(ids) - length + 1
    mean = batch / n_places
    even = all(abs(count - mean) < 6 * math.sqrt(mean) for count in starts.values())
    return {"places where windows start": sorted(starts), "all about equally often": even}


def _what_chance_does(solution, ids, batch, length, seed):
    generator = _generator(seed)
    first, second = (_starts(solution, ids, batch, length, generator) for _ in range(2))
    again = _starts(solution, ids, batch, length, _generator(seed))
    other = _starts(solution, ids, batch, length, _generator(seed + 1))
    steps = {later - earlier for earlier, later in zip(first, first[1:])}
    return {
        "same seed, same windows": again == first,
        "another seed, other windows": other != first,
        "the next call, other windows": second != first,
        "rows differ": len(set(first)) > 1,
        "rows are drawn independently": len(steps) > 2,
        "rows stand in no order": first != sorted(first) or len(set(first)) == 1,
    }


@sample_windows.cases
def _(draw):
    def case(about, ids, batch, length, observe=_one_draw):
        seed = draw.random.randrange(10_000)
        arguments = {"ids": ids, "batch": batch, "length": length, "seed": seed}
        return Case(about, arguments, observe)

    yield case("one window as long as the text", draw.permutation(4) + 10, 1, 4)
    yield case("three windows", draw.permutation(9) + 10, 3, 4)
    yield case("windows of one token", draw.permutation(5), 4, 1)
    yield case("more windows than places", draw.permutation(6) * 3, 8, 5)
    yield case("many draws: every place has its turn", draw.permutation(9), 2000, 4,
               _where_windows_start)  # fmt: skip
    yield case("what chance does", draw.permutation(60), 24, 5, _what_chance_does)
    if draw.hidden:
        n = draw.random.randint(12, 20)
        yield case("many draws from a longer text", draw.permutation(n), 4000, 6,
                   _where_windows_start)  # fmt: skip


def _cut(ids, starts, length):
    return torch.stack([ids[start : start + length] for start in starts])


def _random_starts(ids, batch, length, generator):
    return torch.randint(len(ids) - length + 1, (batch,), generator=generator).tolist()


@sample_windows.misconception
def never_takes_the_last_window(ids, batch, length, generator):
    """No window of yours reaches the last token. A text of n tokens has n - length + 1 places to
    start from, and `torch.randint` leaves its upper bound out."""
    starts = torch.randint(len(ids) - length, (batch,), generator=generator)
    return _cut(ids, starts, length)


@sample_windows.misconception
def runs_over_the_end(ids, batch, length, generator):
    """You start anywhere, even where fewer than `length` tokens are left. The last place to start
    from is len(ids) - length."""
    starts = torch.randint(len(ids), (batch, 1), generator=generator)
    return ids[starts + torch.arange(length)]


@sample_windows.misconception
def goes_round_from_the_end_to_the_start(ids, batch, length, generator):
    """Where a window would reach beyond the text, yours goes on at its beginning. Those tokens do
    not belong together; start no later than len(ids) - length."""
    starts = torch.randint(len(ids), (batch, 1), generator=generator)
    return ids[(starts + torch.arange(length)) % len(ids)]


@sample_windows.misconception
def never_takes_a_place_twice(ids, batch, length, generator):
    """You draw places without putting them back (`randperm`). A batch may then be smaller than
    asked for, and its rows are not independent. Draw each row for itself, with `torch.randint`."""
    places = torch.randperm(len(ids) - length + 1, generator=generator)[:batch]
    return _cut(ids, places, length)


@sample_windows.misconception
def draws_one_place_for_all_rows(ids, batch, length, generator):
    """You draw one place and use it for every row. Draw one for each: `(batch,)` numbers."""
    (start,) = _random_starts(ids, 1, length, generator)
    return _cut(ids, [start] * batch, length)


@sample_windows.misconception
def draws_the_first_and_goes_on_from_there(ids, batch, length, generator):
    """Only your first row is drawn; the others follow it one by one. Windows of one batch would
    then say nearly the same. Draw every row for itself."""
    (start,) = _random_starts(ids, 1, length, generator)
    n_places = len(ids) - length + 1
    return _cut(ids, [(start + row) % n_places for row in range(batch)], length)


@sample_windows.misconception
def starts_at_multiples_of_the_length(ids, batch, length, generator):
    """Your windows start only at 0, length, 2 length, ... Every place should have its turn, so that
    a token is seen at each position of a window."""
    starts = torch.randint(len(ids) // length, (batch,), generator=generator) * length
    return _cut(ids, starts, length)


@sample_windows.misconception
def ignores_the_generator(ids, batch, length, generator):
    """The places do not come from `generator`, so the same seed gives other windows the next time.
    Hand it to `torch.randint(..., generator=generator)`."""
    return _cut(ids, [random.randrange(len(ids) - length + 1) for _ in range(batch)], length)


@sample_windows.misconception
def begins_with_the_same_seed_each_time(ids, batch, length, generator):
    """You set a seed inside. Then every call gives the same windows, and the model would see the
    same batch for ever. Draw from the `generator` you are given."""
    return _cut(ids, _random_starts(ids, batch, length, _generator(0)), length)


@sample_windows.misconception
def takes_one_token_more(ids, batch, length, generator):
    """Your windows have length + 1 tokens, as if one were needed for the labels. The loss does the
    shift; windows have `length`."""
    starts = torch.randint(max(len(ids) - length, 1), (batch, 1), generator=generator)
    return ids[(starts + torch.arange(length + 1)).clamp(max=len(ids) - 1)]


@sample_windows.misconception
def returns_inputs_and_labels(ids, batch, length, generator):
    """You return two tensors, the second shifted by one. Here `causal_lm_loss` shifts, once; return
    the windows alone."""
    windows = training.sample_windows(ids, batch, length, generator)
    return windows[:, :-1], windows[:, 1:]


@sample_windows.alternative
def row_by_row(ids, batch, length, generator):
    """A loop, with a place drawn for each row."""
    rows = []
    for _ in range(batch):
        start = int(torch.randint(0, len(ids) - length + 1, (), generator=generator))
        rows.append(ids[start : start + length])
    return torch.stack(rows)


@sample_windows.alternative
def from_all_windows(ids, batch, length, generator):
    """All windows there are, as a view, and a draw among them."""
    windows = ids.unfold(0, length, 1)
    chosen = torch.rand(batch, generator=generator, dtype=torch.float64) * len(windows)
    return windows[chosen.long()]


# --- warmup_cosine -------------------------------------------------------------------------

warmup_cosine = Exercise("decoder.warmup_cosine", points=2, reference=training.warmup_cosine)


@warmup_cosine.cases
def _(draw):
    def case(about, step, warmup=4, total=20, peak=2.0, floor=0.0):
        arguments = {"step": step, "warmup": warmup, "total": total}
        return Case(about, {**arguments, "peak": peak, "floor": floor})

    yield case("the very first step", 0)
    yield case("on the way up", 1)
    yield case("at the peak", 4)
    yield case("half of the way down", 12)
    yield case("a quarter of the way down", 8)
    yield case("at the end", 20)
    yield case("after the end", 29)
    yield case("half of the way down to a floor", 12, floor=0.5)
    yield case("the very first step, with a floor", 0, floor=0.5)
    yield case("on the way up, with a floor", 3, floor=0.5)
    yield case("at the peak, with a floor", 4, floor=0.5)
    yield case("near the end, with a floor", 19, floor=0.5)
    yield case("at the end, with a floor", 20, floor=0.5)
    yield case("after the end, with a floor", 33, floor=0.5)
    yield case("no warmup: it starts at the peak", 0, warmup=0, floor=0.25)
    yield case("no warmup, later", 5, warmup=0, total=10)
    number = draw.random.randint
    warmup, total = number(3, 30), number(50, 90)
    options = {"warmup": warmup, "total": total, "peak": 3e-4, "floor": 3e-5}
    yield case("somewhere on the way up", number(1, warmup - 1), **options)
    yield case("somewhere on the way down", number(warmup + 1, total - 1), **options)
    if draw.hidden:
        step = number(60, 400)
        yield case("a long training", step, warmup=50, total=500, peak=0.7, floor=0.07)


def _wave(progress):
    """1 at 0, 0 at 1."""
    return (1 + math.cos(math.pi * progress)) / 2


def _with_descent(step, warmup, total, peak, floor, descent):
    """The right climb and the right end; `descent(progress)` in between."""
    if step < warmup:
        return peak * step / warmup
    if step >= total:
        return floor
    return descent((step - warmup) / (total - warmup))


@warmup_cosine.misconception
def begins_the_wave_at_step_0(step, warmup, total, peak, floor):
    """Your wave runs over all steps, so when the climb ends it is no longer at its top. Measure the
    progress from the end of the climb: (step - warmup) / (total - warmup)."""
    if step < warmup:
        return peak * step / warmup
    return floor + (peak - floor) * _wave(min(step / total, 1))


@warmup_cosine.misconception
def divides_by_the_total(step, warmup, total, peak, floor):
    """Your wave starts in the right place but runs too slowly: it has total - warmup steps, not
    total, to come down."""
    return _with_descent(
        step, warmup, total, peak, floor,
        lambda _: floor + (peak - floor) * _wave((step - warmup) / total),
    )  # fmt: skip


@warmup_cosine.misconception
def starts_one_step_ahead(step, warmup, total, peak, floor):
    """Your climb has (step + 1) / warmup, so it starts above 0 and is at the peak one step early.
    Here step 0 has the rate 0, and step `warmup` the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return training.warmup_cosine(step, warmup, total, peak, floor)


@warmup_cosine.misconception
def climbs_from_the_floor(step, warmup, total, peak, floor):
    """Your climb starts at the floor. It starts at 0; the floor is for the end."""
    if step < warmup:
        return floor + (peak - floor) * step / warmup
    return training.warmup_cosine(step, warmup, total, peak, floor)


@warmup_cosine.misconception
def never_goes_below_the_floor(step, warmup, total, peak, floor):
    """Your climb is cut off at the floor. It starts at 0 whatever the floor is; the floor is for
    the end."""
    return max(floor, training.warmup_cosine(step, warmup, total, peak, floor))


@warmup_cosine.misconception
def counts_the_total_after_the_warmup(step, warmup, total, peak, floor):
    """Your wave is at its end at warmup + total. `total` counts all steps, the climb included, so
    the wave has total - warmup of them."""
    return training.warmup_cosine(step, warmup, warmup + total, peak, floor)


@warmup_cosine.misconception
def drops_to_zero_after_the_end(step, warmup, total, peak, floor):
    """After `total` your rate is 0. It stays at the floor."""
    return 0.0 if step > total else training.warmup_cosine(step, warmup, total, peak, floor)


@warmup_cosine.misconception
def falls_to_zero(step, warmup, total, peak, floor):
    """Your rate falls to 0 and never looks at the floor."""
    return training.warmup_cosine(step, warmup, total, peak, 0.0)


@warmup_cosine.misconception
def stops_falling_at_the_floor(step, warmup, total, peak, floor):
    """You let the wave fall towards 0 and cut it off at the floor. The wave itself should end
    there, smoothly: floor + (peak - floor) * wave."""
    return _with_descent(
        step, warmup, total, peak, floor, lambda progress: max(floor, peak * _wave(progress))
    )


@warmup_cosine.misconception
def adds_the_floor_to_the_peak(step, warmup, total, peak, floor):
    """You add the floor to the whole wave, so it starts above the peak. Only peak - floor is left
    for the wave."""
    return _with_descent(
        step, warmup, total, peak, floor, lambda progress: floor + peak * _wave(progress)
    )


@warmup_cosine.misconception
def comes_up_again_after_the_end(step, warmup, total, peak, floor):
    """After `total` your wave goes on, and the rate rises again. It should stay at the floor."""
    if step < warmup:
        return peak * step / warmup
    return floor + (peak - floor) * _wave((step - warmup) / (total - warmup))


@warmup_cosine.misconception
def falls_in_a_straight_line(step, warmup, total, peak, floor):
    """Yours falls in a straight line. The way down is half a wave of the cosine: slow at first,
    steep in the middle, slow at the end."""
    return _with_descent(
        step, warmup, total, peak, floor, lambda progress: peak + (floor - peak) * progress
    )


@warmup_cosine.misconception
def takes_a_whole_wave(step, warmup, total, peak, floor):
    """Your cosine runs through 2 pi: down and up again. Half a wave is pi."""
    return _with_descent(
        step, warmup, total, peak, floor,
        lambda progress: floor + (peak - floor) * _wave(2 * progress),
    )  # fmt: skip


@warmup_cosine.misconception
def takes_a_quarter_of_a_wave(step, warmup, total, peak, floor):
    """Your cosine goes from 1 to 0, a quarter of a wave, and arrives at full speed. Take it from 1
    to -1, which is pi, then add 1 and halve."""
    return _with_descent(
        step, warmup, total, peak, floor,
        lambda progress: floor + (peak - floor) * math.cos(math.pi / 2 * progress),
    )  # fmt: skip


@warmup_cosine.misconception
def forgets_pi(step, warmup, total, peak, floor):
    """Your cosine gets the bare progress, from 0 to 1. Half a wave goes from 0 to pi: multiply."""
    return _with_descent(
        step, warmup, total, peak, floor,
        lambda progress: floor + (peak - floor) * (1 + math.cos(progress)) / 2,
    )  # fmt: skip


@warmup_cosine.misconception
def turns_the_wave_upside_down(step, warmup, total, peak, floor):
    """1 - cos goes up. After the peak the rate should fall: 1 + cos."""
    return _with_descent(
        step, warmup, total, peak, floor,
        lambda progress: floor + (peak - floor) * _wave(1 - progress),
    )  # fmt: skip


@warmup_cosine.misconception
def climbs_to_one(step, warmup, total, peak, floor):
    """Your climb goes from 0 to 1. Multiply by the peak."""
    if step < warmup:
        return step / warmup
    return training.warmup_cosine(step, warmup, total, peak, floor)


@warmup_cosine.misconception
def forgets_to_halve(step, warmup, total, peak, floor):
    """1 + cos goes from 2 to 0, so your wave starts at twice its height. Divide by 2."""
    return _with_descent(
        step, warmup, total, peak, floor,
        lambda progress: floor + (peak - floor) * 2 * _wave(progress),
    )  # fmt: skip


@warmup_cosine.misconception
def divides_by_a_warmup_of_zero(step, warmup, total, peak, floor):
    """With warmup = 0 your code divides by 0 at step 0. Ask for `step < warmup`: then a climb of no
    steps is never entered."""
    if step <= warmup:
        return peak * step / warmup
    return training.warmup_cosine(step, warmup, total, peak, floor)


@warmup_cosine.alternative
def with_progress_cut_off(step, warmup, total, peak, floor):
    """The progress stays between 0 and 1, and the rest is one formula."""
    if step < warmup:
        return step / warmup * peak
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return peak - (peak - floor) * 0.5 * (1 - math.cos(progress * math.pi))


@warmup_cosine.alternative
def as_a_mean_of_peak_and_floor(step, warmup, total, peak, floor):
    """A wave around the middle between peak and floor, with the square of a half-angle sine."""
    if warmup and step < warmup:
        return peak * (step / warmup)
    if step >= total:
        return float(floor)
    sine = math.sin(math.pi / 2 * (step - warmup) / (total - warmup))
    return peak * (1 - sine**2) + floor * sine**2


# --- DecoderLM -----------------------------------------------------------------------------

DecoderLM = Exercise("decoder.DecoderLM", points=4, reference=decoder.DecoderLM, tolerance=1e-4)

_GPT = {"vocab_size": 11, "max_length": 8, "width": 8, "n_layers": 2, "n_heads": 2, "ffn_width": 12}
_LLAMA = {
    **_GPT,
    "n_heads": 4,
    "n_kv_heads": 2,
    "positions": "rope",
    "norm": "rms",
    "feed_forward": "swiglu",
    "bias": False,
    "tied": False,
}


@lru_cache(maxsize=200)
def _weights(config, seed):
    """Weights for a decoder that follow from a seed alone, large enough for each to matter."""
    generator = torch.Generator().manual_seed(seed)
    state = decoder.DecoderLM(config).state_dict()
    return {
        name: 0.6 * torch.randn(value.shape, generator=generator) + name.endswith("norm.weight")
        for name, value in state.items()
    }


def _build(solution, config, seed):
    model = solution(config)
    model.load_state_dict(_weights(config, seed))
    return model


def _decoder_parameters(solution, config):
    return {name: list(value.shape) for name, value in solution(config).state_dict().items()}


def _logits(solution, config, weights_seed, ids):
    return _build(solution, config, weights_seed)(ids)


def _logits_with_padding(solution, config, weights_seed, ids, attention_mask):
    """The logits at real tokens; what stands at padding is nobody's business."""
    logits = _build(solution, config, weights_seed)(ids, attention_mask)
    if not isinstance(logits, Tensor) or logits.shape[:2] != ids.shape:
        return logits
    return logits[attention_mask.bool()]


def _gradient_of_tables(solution, config, weights_seed, ids):
    model = _build(solution, config, weights_seed)
    model(ids).square().sum().backward()
    return model.token_embedding.weight.grad


@DecoderLM.cases
def _(draw):
    gpt, llama = decoder.DecoderConfig(**_GPT), decoder.DecoderConfig(**_LLAMA)

    def case(about, ids, config=gpt, observe=_logits, **arguments):
        seed = draw.random.randrange(10_000)
        arguments = {"config": config, "weights_seed": seed, "ids": ids, **arguments}
        return Case(about, arguments, observe)

    yield Case("the names and shapes of its parameters", {"config": gpt}, _decoder_parameters)
    yield case("one token", draw.ids(11, 1, 1))
    yield case("one text", draw.ids(11, 1, 4))
    yield case("several texts", draw.ids(11, 3, 5))
    yield case("as many tokens as there are positions", draw.ids(11, 2, 8))
    yield case("a head with a table of its own", draw.ids(11, 2, 3), replace(gpt, tied=False))
    yield case("three layers", draw.ids(11, 2, 3), replace(gpt, n_layers=3))
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    yield case("texts of different length, padded on the left", draw.ids(11, 2, 5),
               observe=_logits_with_padding, attention_mask=mask)  # fmt: skip
    yield case("with the parts of a LLaMA", draw.ids(11, 2, 4), llama)
    yield case("the gradient of the token table", draw.ids(11, 1, 3), observe=_gradient_of_tables)
    if draw.hidden:
        larger = replace(gpt, vocab_size=30, max_length=20, width=12, n_heads=3, n_layers=4)
        yield case("a larger model", draw.ids(30, 3, 17), larger)


class _Decoder(decoder.DecoderLM):
    """The right parts; the misconceptions put them together."""

    def seen(self, ids, attention_mask):
        return decoder.seen_tokens(ids, attention_mask, self.config.vocab_size)

    def through_blocks(self, x, mask, positions):
        for block in self.blocks:
            x = block(x, mask, positions)
        return x


@DecoderLM.misconception
class SeesTheFuture(_Decoder):
    """Every position of yours may look at all tokens, the later ones included. Then the model reads
    off the next token instead of predicting it. The mask has to be causal."""

    def forward(self, ids, attention_mask=None):
        seen = self.seen(ids, attention_mask)
        positions, _ = decoder.positions_and_mask(seen, ids.shape[1])
        mask = padding_mask(seen).expand(-1, 1, ids.shape[1], -1)
        return self.unembed(
            self.norm(self.through_blocks(self.embed(ids, positions), mask, positions))
        )


@DecoderLM.misconception
class ForgetsThePositions(_Decoder):
    """The position table is never added: only the token vectors enter the first block."""

    def embed(self, ids, positions):
        return self.token_embedding(ids)


@DecoderLM.misconception
class MultipliesByThePositions(_Decoder):
    """You multiply token and position vectors. They are added."""

    def embed(self, ids, positions):
        if self.position_embedding is None:
            return self.token_embedding(ids)
        return self.token_embedding(ids) * self.position_embedding(positions)


@DecoderLM.misconception
class ScalesTheTokenVectors(_Decoder):
    """You multiply the token vectors by the root of the width, as the first transformer did. A GPT
    adds the two tables as they are."""

    def embed(self, ids, positions):
        if self.position_embedding is None:
            return self.token_embedding(ids)
        scale = self.config.width**0.5
        return scale * self.token_embedding(ids) + self.position_embedding(positions)


@DecoderLM.misconception
class LeavesAfterTheFirstBlock(_Decoder):
    """Only your first block is used: a `return` stands inside the loop. Move it out, so that every
    block has its turn."""

    def forward(self, ids, attention_mask=None):
        positions, mask = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        x = self.embed(ids, positions)
        for block in self.blocks:
            x = block(x, mask, positions)
            return self.unembed(self.norm(x))


@DecoderLM.misconception
class ForgetsTheLastNorm(_Decoder):
    """After the last block the stream goes through `self.norm` once more, before it is compared
    with the table. Pre-norm blocks leave the stream itself unnormalised."""

    def forward(self, ids, attention_mask=None):
        positions, mask = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        return self.unembed(self.through_blocks(self.embed(ids, positions), mask, positions))


@DecoderLM.misconception
class NormalisesBeforeTheBlocks(_Decoder):
    """You apply `self.norm` before the first block. It belongs after the last one."""

    def forward(self, ids, attention_mask=None):
        positions, mask = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        x = self.norm(self.embed(ids, positions))
        return self.unembed(self.through_blocks(x, mask, positions))


@DecoderLM.misconception
class NormalisesAfterEveryBlock(_Decoder):
    """You apply `self.norm` after every block. Each block has norms of its own; this one comes
    once, at the very end."""

    def forward(self, ids, attention_mask=None):
        positions, mask = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        x = self.embed(ids, positions)
        for block in self.blocks:
            x = self.norm(block(x, mask, positions))
        return self.unembed(x)


@DecoderLM.misconception
class ReturnsTheStream(_Decoder):
    """You return the vectors of the stream. One step is missing: `unembed`, which turns each into a
    score for every id."""

    def unembed(self, x):
        return x


@DecoderLM.misconception
class ReturnsProbabilities(_Decoder):
    """You return probabilities. A model returns logits; the loss takes the softmax itself, and
    would do it a second time."""

    def unembed(self, x):
        return super().unembed(x).softmax(-1)


@DecoderLM.misconception
class ReturnsLogProbabilities(_Decoder):
    """You return log-probabilities. A model returns the plain logits; the loss normalises them."""

    def unembed(self, x):
        return super().unembed(x).log_softmax(-1)


@DecoderLM.misconception
class AnswersForTheLastTokenOnly(_Decoder):
    """You return the logits after the last token alone. In training every position predicts its
    next token, so all are needed: [batch, time, vocab]."""

    def forward(self, ids, attention_mask=None):
        return super().forward(ids, attention_mask)[:, -1]


@DecoderLM.misconception
class ShiftsInsideTheModel(_Decoder):
    """Your logits lose their last position. The loss does the shift, once; a model never shifts."""

    def forward(self, ids, attention_mask=None):
        return super().forward(ids, attention_mask)[:, :-1]


@DecoderLM.misconception
class FeedsEveryBlockTheSameInput(_Decoder):
    """Every block of yours reads the embeddings, and only the last one's answer counts. Each block
    reads what the block before it has left: x = block(x, ...)."""

    def through_blocks(self, x, mask, positions):
        for block in self.blocks:
            result = block(x, mask, positions)
        return result

    def forward(self, ids, attention_mask=None):
        positions, mask = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        x = self.through_blocks(self.embed(ids, positions), mask, positions)
        return self.unembed(self.norm(x))


@DecoderLM.misconception
class DropsWhatTheBlocksReturn(_Decoder):
    """You call the blocks and drop what they return, so the embeddings go straight to the norm. A
    block does not change x; it returns a new one: x = block(x, ...)."""

    def forward(self, ids, attention_mask=None):
        positions, _ = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        return self.unembed(self.norm(self.embed(ids, positions)))


@DecoderLM.misconception
class AddsEveryBlockToTheStreamAgain(_Decoder):
    """You add each block's answer to the stream. The block has done so already: its answer *is* the
    new stream."""

    def forward(self, ids, attention_mask=None):
        positions, mask = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        x = self.embed(ids, positions)
        for block in self.blocks:
            x = x + block(x, mask, positions)
        return self.unembed(self.norm(x))


@DecoderLM.misconception
class AlwaysUsesTheTokenTable(_Decoder):
    """Your head is always the token table. When the config is not tied, there is `self.head`, with
    weights of its own."""

    def unembed(self, x):
        return F.linear(x, self.token_embedding.weight)


@DecoderLM.misconception
class MultipliesWithoutTransposing(_Decoder):
    """The table is [vocab, width], one row for each id, so x meets its transpose:
    `x @ table.weight.T`, which is what `F.linear` does."""

    def unembed(self, x):
        return x @ (self.token_embedding if self.head is None else self.head).weight


@DecoderLM.misconception
class CallsAHeadThatIsNotThere(_Decoder):
    """With a tied config `self.head` is None, and None cannot be called. The token table's weight
    does the head's work there."""

    def unembed(self, x):
        return self.head(x)


@DecoderLM.misconception
class IgnoresThePadding(_Decoder):
    """Your attention mask is not used: padding is looked at, and it takes up positions."""

    def forward(self, ids, attention_mask=None):
        return super().forward(ids)


@DecoderLM.misconception
class GivesPaddingAPosition(_Decoder):
    """Padding is masked in yours, but it takes up positions: a text that is padded by two starts at
    position 2. `positions_and_mask` counts real tokens only."""

    def forward(self, ids, attention_mask=None):
        _, mask = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        positions = torch.arange(ids.shape[1]).expand_as(ids)
        x = self.through_blocks(self.embed(ids, positions), mask, positions)
        return self.unembed(self.norm(x))


@DecoderLM.alternative
class WithItsOwnMask(_Decoder):
    """Mask and positions by hand, the blocks opened up."""

    def forward(self, ids, attention_mask=None):
        batch, time = ids.shape
        seen = torch.ones(batch, time) if attention_mask is None else attention_mask
        positions = (seen.long().cumsum(1) - 1).clamp(min=0)
        mask = causal_mask(time)[None, None] & seen.bool()[:, None, None]
        x = self.token_embedding.weight[ids]
        if self.position_embedding is not None:
            x = x + self.position_embedding.weight[positions]
        for block in self.blocks:
            x = x + block.attention(block.norm1(x), mask, positions)
            x = x + block.feed_forward(block.norm2(x))
        table = self.token_embedding.weight if self.config.tied else self.head.weight
        return self.norm(x) @ table.T


@DecoderLM.alternative
class OneTextAfterTheOther(nn.Module):
    """No padding ever arises when each text is read alone."""

    def __init__(self, config, generator=None):
        super().__init__()
        inner = decoder.DecoderLM(config, generator)
        self.config = config
        for name, part in inner.named_children():
            setattr(self, name, part)
        if config.positions == "rope":
            self.position_embedding = None
        if config.tied:
            self.head = None

    def forward(self, ids, attention_mask=None):
        batch, time = ids.shape
        lengths = [time] * batch if attention_mask is None else attention_mask.sum(1).tolist()
        rows = []
        for row, length in zip(ids, lengths):
            text = row[time - length :]
            positions = torch.arange(length)[None]
            x = self.token_embedding(text)[None]
            if self.position_embedding is not None:
                x = x + self.position_embedding(positions)
            for block in self.blocks:
                x = block(x, causal_mask(length)[None, None], positions)
            head = self.token_embedding if self.head is None else self.head
            rows.append(F.pad(F.linear(self.norm(x)[0], head.weight), (0, 0, time - length, 0)))
        return torch.stack(rows)


# --- decode_step ---------------------------------------------------------------------------

decode_step = Exercise(
    "decoder.decode_step", points=4, reference=decoder.decode_step, tolerance=1e-4
)


def _pair(result):
    """(logits, cache). A tensor with two rows could be unpacked as well, so it is refused here."""
    if result is None or isinstance(result, Tensor):
        got = "nothing" if result is None else "one tensor"
        raise TypeError(f"decode_step must return two things, logits and a cache, got {got}")
    return result


@torch.no_grad()
def _steps(solution, config, weights_seed, ids, lengths):
    """The logits after each step, when `lengths` tokens are read at a time."""
    model, cache, logits = _build(decoder.DecoderLM, config, weights_seed), None, []
    for piece in ids.split(lengths, dim=1):
        step, cache = _pair(solution(model, piece, cache))
        logits.append(step)
    return logits


@torch.no_grad()
def _after_padding(solution, config, weights_seed, ids, attention_mask, token):
    model = _build(decoder.DecoderLM, config, weights_seed)
    first, cache = _pair(solution(model, ids, None, attention_mask))
    second, _ = _pair(solution(model, token, cache))
    return [first, second]


@torch.no_grad()
def _continued_twice(solution, config, weights_seed, ids, one, other):
    """One cache, two ways to go on: the first must not disturb the second."""
    model = _build(decoder.DecoderLM, config, weights_seed)
    _, cache = _pair(solution(model, ids, None))
    return [_pair(solution(model, token, cache))[0] for token in (one, other, one)]


@torch.no_grad()
def _with_other_weights(solution, config, weights_seed, ids):
    """The last token meets other weights than the text before it. What is kept of that text has
    not changed with them, so whoever reads it again gets other logits."""
    before, after = (_build(decoder.DecoderLM, config, weights_seed + i) for i in range(2))
    _, cache = _pair(solution(before, ids[:, :-1], None))
    return _pair(solution(after, ids[:, -1:], cache))[0]


@decode_step.cases
def _(draw):
    gpt, llama = decoder.DecoderConfig(**_GPT), decoder.DecoderConfig(**_LLAMA)

    def case(about, ids, lengths, config=gpt, observe=_steps, **arguments):
        seed = draw.random.randrange(10_000)
        arguments = {"config": config, "weights_seed": seed, "ids": ids, **arguments}
        return Case(about, {**arguments, "lengths": lengths} if lengths else arguments, observe)

    yield case("the first token, no cache", draw.ids(11, 1, 1), [1])
    yield case("two tokens, one after the other", draw.ids(11, 1, 2), [1, 1])
    yield case("five tokens, one after the other", draw.ids(11, 2, 5), [1] * 5)
    yield case("a prompt of four tokens at once", draw.ids(11, 2, 4), [4])
    yield case("a prompt at once, then token by token", draw.ids(11, 3, 6), [4, 1, 1])
    yield case("with the parts of a LLaMA", draw.ids(11, 2, 5), [3, 1, 1], llama)
    three = replace(gpt, n_layers=3, tied=False)
    yield case("three layers, a head of its own", draw.ids(11, 2, 4), [2, 1, 1], three)
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    padded = {"attention_mask": mask, "token": draw.ids(11, 2, 1)}
    yield case("prompts padded on the left, then one token", draw.ids(11, 2, 4), None,
               observe=_after_padding, **padded)  # fmt: skip
    tokens = {"one": draw.ids(11, 2, 1), "other": draw.ids(11, 2, 1)}
    yield case("the same cache continued twice", draw.ids(11, 2, 4), None,
               observe=_continued_twice, **tokens)  # fmt: skip
    yield case("the weights change before the last token: what was kept does not",
               draw.ids(11, 2, 6), None, observe=_with_other_weights)  # fmt: skip
    if draw.hidden:
        longer = replace(llama, vocab_size=30, n_layers=3)
        yield case("a longer text", draw.ids(30, 3, 14), [5, 3] + [1] * 6, longer)


def _step(
    model,
    token,
    cache,
    attention_mask=None,
    *,
    join=lambda old, new: torch.cat([old, new], dim=2),
    layer_of=lambda layer: layer,
    place=lambda positions, mask, seen: (positions, mask),
    block_step=None,
    last=lambda model, x: model.unembed(model.norm(x[:, -1])),
):
    """The right step, with places where a misconception goes wrong."""
    seen = decoder.seen_tokens(token, attention_mask, model.config.vocab_size)
    if cache is not None:
        seen = torch.cat([cache.attention_mask, seen], dim=1)
    positions, mask = decoder.positions_and_mask(seen, token.shape[1])
    positions, mask = place(positions, mask, seen)
    x = model.embed(token, positions)
    keys, values = [], []
    for layer, block in enumerate(model.blocks):
        q, k, v = block.attention.project(block.norm1(x), positions)
        if cache is not None:
            k = join(cache.keys[layer_of(layer)], k)
            v = join(cache.values[layer_of(layer)], v)
        keys.append(k)
        values.append(v)
        if block_step is not None:
            x = block_step(block, x, q, k, v, mask)
        else:
            x = x + block.attention.attend(q, k, v, mask)
            x = x + block.feed_forward(block.norm2(x))
    return last(model, x), decoder.Cache(tuple(keys), tuple(values), seen)


@decode_step.misconception
def reads_the_whole_text_again(model, token, cache=None, attention_mask=None):
    """The logits are right, but you keep the ids and run the whole text through the model again at
    each step. The point of a cache is not to: keep keys and values, and compute only those of the
    new token."""
    seen = decoder.seen_tokens(token, attention_mask, model.config.vocab_size)
    if cache is not None:
        token, seen = torch.cat([cache[0], token], 1), torch.cat([cache[1], seen], 1)
    return model(token, seen)[:, -1], (token, seen)


@decode_step.misconception
def forgets_the_past(model, token, cache=None, attention_mask=None):
    """Your new token attends to itself alone: the cache is never read. Put the old keys and values
    in front of the new ones."""
    return decoder.decode_step(model, token, None, attention_mask)


@decode_step.misconception
def counts_positions_from_zero_again(model, token, cache=None, attention_mask=None):
    """The new token gets the position 0. It stands after all tokens in the cache: positions and
    mask follow from the attention mask of the *whole* text."""

    def place(positions, mask, seen):
        return (positions - positions[:, :1]).clamp(min=0), mask

    return _step(model, token, cache, attention_mask, place=place)


@decode_step.misconception
def puts_new_keys_in_front(model, token, cache=None, attention_mask=None):
    """You put the new keys and values before the old ones. Attention does not mind the order, but
    the mask does: it takes the last columns for the new tokens."""
    return _step(
        model, token, cache, attention_mask, join=lambda old, new: torch.cat([new, old], dim=2)
    )


@decode_step.misconception
def returns_the_old_cache(model, token, cache=None, attention_mask=None):
    """You return the cache you were given, so it never grows after the first step. Return one that
    holds the new token too."""
    logits, grown = decoder.decode_step(model, token, cache, attention_mask)
    return logits, grown if cache is None else cache


@decode_step.misconception
def remembers_the_new_tokens_only(model, token, cache=None, attention_mask=None):
    """The cache you return holds keys and values of the new tokens alone; the older ones are lost
    for the step after. Keep the joined ones."""
    logits, grown = decoder.decode_step(model, token, cache, attention_mask)
    new = token.shape[1]
    keys, values = ([t[:, :, -new:] for t in part] for part in (grown.keys, grown.values))
    return logits, decoder.Cache(tuple(keys), tuple(values), grown.attention_mask)


@decode_step.misconception
def gives_all_layers_one_cache(model, token, cache=None, attention_mask=None):
    """Every layer of yours looks at the keys of the first. Each layer has keys and values of its
    own: `cache.keys[layer]`."""
    return _step(model, token, cache, attention_mask, layer_of=lambda layer: 0)


@decode_step.misconception
def lets_a_prompt_see_ahead(model, token, cache=None, attention_mask=None):
    """When several tokens come at once, yours may look at each other freely. The mask from
    `positions_and_mask` keeps them from looking ahead; hand it to `attend`."""

    def place(positions, mask, seen):
        return positions, padding_mask(seen).expand_as(mask)

    return _step(model, token, cache, attention_mask, place=place)


@decode_step.misconception
def scores_every_position(model, token, cache=None, attention_mask=None):
    """You return logits for every new token, [batch, time, vocab]. Only the last is asked for:
    [batch, vocab]."""

    def last(model, x):
        return model.unembed(model.norm(x))

    return _step(model, token, cache, attention_mask, last=last)


@decode_step.misconception
def scores_the_first_position(model, token, cache=None, attention_mask=None):
    """You score the *first* of the new tokens. With a prompt of several, the next token comes after
    the last: x[:, -1]."""

    def last(model, x):
        return model.unembed(model.norm(x[:, 0]))

    return _step(model, token, cache, attention_mask, last=last)


@decode_step.misconception
def returns_probabilities(model, token, cache=None, attention_mask=None):
    """You return probabilities. The forward returns logits, and so does a step."""

    def last(model, x):
        return model.unembed(model.norm(x[:, -1])).softmax(-1)

    return _step(model, token, cache, attention_mask, last=last)


@decode_step.misconception
def swaps_keys_and_values(model, token, cache=None, attention_mask=None):
    """Your cache holds the keys where the values belong, and the values where the keys belong.
    `Cache(keys, values, ...)` is the order."""
    logits, grown = decoder.decode_step(model, token, cache, attention_mask)
    return logits, replace(grown, keys=grown.values, values=grown.keys)


@decode_step.misconception
def skips_the_last_norm(model, token, cache=None, attention_mask=None):
    """Before `unembed` the stream goes through `model.norm`, as in the forward."""
    return _step(model, token, cache, attention_mask, last=lambda model, x: model.unembed(x[:, -1]))


@decode_step.misconception
def skips_the_feed_forward(model, token, cache=None, attention_mask=None):
    """Your blocks attend and stop there. After the attention comes the feed-forward, with the
    second norm, added to the stream as well."""

    def block_step(block, x, q, k, v, mask):
        return x + block.attention.attend(q, k, v, mask)

    return _step(model, token, cache, attention_mask, block_step=block_step)


@decode_step.misconception
def loses_the_residual_connections(model, token, cache=None, attention_mask=None):
    """The answers of attention and feed-forward replace the stream. They should be added to it, as
    in the block."""

    def block_step(block, x, q, k, v, mask):
        return block.feed_forward(block.norm2(block.attention.attend(q, k, v, mask)))

    return _step(model, token, cache, attention_mask, block_step=block_step)


@decode_step.misconception
def adds_to_the_normalised_stream(model, token, cache=None, attention_mask=None):
    """You add the attention's answer to `norm1(x)`. Only the attention reads the normalised copy;
    what it says is added to x itself."""

    def block_step(block, x, q, k, v, mask):
        x = block.norm1(x) + block.attention.attend(q, k, v, mask)
        return x + block.feed_forward(block.norm2(x))

    return _step(model, token, cache, attention_mask, block_step=block_step)


@decode_step.misconception
def replaces_the_stream_by_the_feed_forward(model, token, cache=None, attention_mask=None):
    """The feed-forward's answer replaces your stream. Add it: `x + block.feed_forward(...)`."""

    def block_step(block, x, q, k, v, mask):
        return block.feed_forward(block.norm2(x + block.attention.attend(q, k, v, mask)))

    return _step(model, token, cache, attention_mask, block_step=block_step)


@decode_step.misconception
def forgets_the_first_norm(model, token, cache=None, attention_mask=None):
    """Your queries, keys and values are made from the stream as it is. The attention reads it
    through the block's first norm: `project(block.norm1(x), positions)`."""
    seen = decoder.seen_tokens(token, attention_mask, model.config.vocab_size)
    seen = seen if cache is None else torch.cat([cache.attention_mask, seen], dim=1)
    positions, mask = decoder.positions_and_mask(seen, token.shape[1])
    x, keys, values = model.embed(token, positions), [], []
    for layer, block in enumerate(model.blocks):
        q, k, v = block.attention.project(x, positions)
        if cache is not None:
            k = torch.cat([cache.keys[layer], k], dim=2)
            v = torch.cat([cache.values[layer], v], dim=2)
        keys.append(k)
        values.append(v)
        x = x + block.attention.attend(q, k, v, mask)
        x = x + block.feed_forward(block.norm2(x))
    logits = model.unembed(model.norm(x[:, -1]))
    return logits, decoder.Cache(tuple(keys), tuple(values), seen)


@decode_step.misconception
def forgets_the_second_norm(model, token, cache=None, attention_mask=None):
    """Your feed-forward reads the stream as it is. It reads it through the block's second norm,
    `block.norm2(x)`."""

    def block_step(block, x, q, k, v, mask):
        x = x + block.attention.attend(q, k, v, mask)
        return x + block.feed_forward(x)

    return _step(model, token, cache, attention_mask, block_step=block_step)


@decode_step.alternative
def with_a_cache_of_pairs(model, token, cache=None, attention_mask=None):
    """The cache is a list of (keys, values) for each layer, beside the mask."""
    new = decoder.seen_tokens(token, attention_mask, model.config.vocab_size)
    pairs, old = cache if cache is not None else ([None] * len(model.blocks), new[:, :0])
    seen = torch.cat([old, new], dim=1)
    positions, mask = decoder.positions_and_mask(seen, token.shape[1])
    x, grown = model.embed(token, positions), []
    for block, pair in zip(model.blocks, pairs):
        q, k, v = block.attention.project(block.norm1(x), positions)
        if pair is not None:
            k, v = torch.cat((pair[0], k), -2), torch.cat((pair[1], v), -2)
        grown.append((k, v))
        x = x + block.attention.attend(q, k, v, mask)
        x = x + block.feed_forward(block.norm2(x))
    return model.unembed(model.norm(x))[:, -1], (grown, seen)


@decode_step.alternative
def token_by_token(model, token, cache=None, attention_mask=None):
    """A prompt is read one token at a time."""
    for place in range(token.shape[1]):
        part = None if attention_mask is None else attention_mask[:, place : place + 1]
        logits, cache = decoder.decode_step(model, token[:, place : place + 1], cache, part)
    return logits, cache


# --- inference_memory ----------------------------------------------------------------------

inference_memory = Exercise(
    "decoder.inference_memory", points=3, reference=decoder.inference_memory
)


@inference_memory.cases
def _(draw):
    gpt, llama = decoder.DecoderConfig(**_GPT), decoder.DecoderConfig(**_LLAMA)
    gpt3 = replace(gpt, n_layers=3)

    def case(about, config, batch=1, length=5, bytes_per_value=4):
        arguments = {"config": config, "batch": batch, "length": length}
        return Case(about, {**arguments, "bytes_per_value": bytes_per_value})

    number = draw.random.randint
    yield case("one text", gpt)
    yield case("a single token", gpt, length=1)
    yield case("three texts of seven tokens", gpt3, batch=3, length=7)
    yield case("two bytes a value", gpt3, batch=2, bytes_per_value=2)
    yield case(
        "half a byte a value", replace(gpt, width=16), batch=2, length=8, bytes_per_value=0.5
    )
    yield case("a head of its own", replace(gpt, tied=False))
    yield case("a long text: the scores are the longest vector", gpt3, batch=2, length=90)
    yield case("a wide feed-forward", replace(gpt, ffn_width=70), batch=2)
    yield case("a large vocabulary", replace(gpt, vocab_size=number(100, 200)), batch=2)
    yield case("heads that share keys and values", llama, batch=3, length=6)
    sizes = {"width": 8 * number(2, 5), "n_layers": number(3, 5), "ffn_width": number(40, 60)}
    yield case("other sizes", replace(gpt, **sizes), number(2, 6), number(7, 30), 2)
    if draw.hidden:
        smollm = replace(llama, vocab_size=1000, width=576, n_heads=9, n_kv_heads=3)
        yield case("the proportions of SmolLM2", smollm, 4, 300, 2)


def _memory(config, batch, length, bytes_per_value, **changes):
    """The right answer with some numbers of values replaced, the sum adjusted."""
    right = decoder.inference_memory(config, batch, length, bytes_per_value)
    values = {part: right[part] for part in ("weights", "cache", "activations")}
    values |= {part: math.ceil(n * bytes_per_value) for part, n in changes.items()}
    return {**values, "total": sum(values.values())}


def _n_cache(config, batch, length):
    kv_heads = config.n_kv_heads or config.n_heads
    return 2 * config.n_layers * batch * kv_heads * length * (config.width // config.n_heads)


@lru_cache(maxsize=200)
def _n_weights(config):
    return sum(p.numel() for p in decoder.DecoderLM(config).parameters())


def _longest_vector(config, length):
    return max(config.n_heads * length, config.ffn_width, config.vocab_size)


@inference_memory.misconception
def caches_one_layer(config, batch, length, bytes_per_value):
    """Your cache is that of one layer. Every layer keeps keys and values of its own."""
    cache = _n_cache(config, batch, length) // config.n_layers
    return _memory(config, batch, length, bytes_per_value, cache=cache)


@inference_memory.misconception
def caches_keys_without_values(config, batch, length, bytes_per_value):
    """Your cache holds one vector for each token and layer. There are two: a key and a value."""
    cache = _n_cache(config, batch, length) // 2
    return _memory(config, batch, length, bytes_per_value, cache=cache)


@inference_memory.misconception
def caches_queries_too(config, batch, length, bytes_per_value):
    """Your cache holds three vectors for each token and layer. A query is used once, by its own
    token, and never again: only keys and values are kept."""
    cache = _n_cache(config, batch, length) // 2 * 3
    return _memory(config, batch, length, bytes_per_value, cache=cache)


@inference_memory.misconception
def caches_one_text(config, batch, length, bytes_per_value):
    """Your cache is that of one text. Every text of the batch has its own."""
    cache = _n_cache(config, 1, length)
    return _memory(config, batch, length, bytes_per_value, cache=cache)


@inference_memory.misconception
def multiplies_the_cache_by_the_heads(config, batch, length, bytes_per_value):
    """You multiply the whole width by the number of heads. The heads *share* the width: each keeps
    width / n_heads channels."""
    cache = _n_cache(config, batch, length) * config.n_heads
    return _memory(config, batch, length, bytes_per_value, cache=cache)


@inference_memory.misconception
def gives_every_query_head_its_own_keys(config, batch, length, bytes_per_value):
    """With `n_kv_heads`, several query heads share one head of keys and values, and that makes the
    cache smaller: count n_kv_heads * d_k channels, not the whole width."""
    cache = 2 * config.n_layers * batch * length * config.width
    return _memory(config, batch, length, bytes_per_value, cache=cache)


@inference_memory.misconception
def multiplies_by_none(config, batch, length, bytes_per_value):
    """`config.n_kv_heads` is None when every query head has keys and values of its own, and None
    cannot be multiplied. Take `config.n_heads` then."""
    d_k = config.width // config.n_heads
    cache = 2 * config.n_layers * batch * length * config.n_kv_heads * d_k
    return _memory(config, batch, length, bytes_per_value, cache=cache)


@inference_memory.misconception
def leaves_activations_out_of_the_total(config, batch, length, bytes_per_value):
    """Your total has weights and cache. The activations belong to it as well."""
    memory = decoder.inference_memory(config, batch, length, bytes_per_value)
    return memory | {"total": memory["weights"] + memory["cache"]}


@inference_memory.misconception
def copies_the_weights_for_every_text(config, batch, length, bytes_per_value):
    """You multiply the weights by the batch. All texts use the same weights."""
    weights = _n_weights(config) * batch
    return _memory(config, batch, length, bytes_per_value, weights=weights)


@inference_memory.misconception
def leaves_the_tables_out(config, batch, length, bytes_per_value):
    """Your weights lack the tables of tokens and positions. `non_embedding` is a number for
    comparing models; in memory the tables lie like everything else."""
    tables = [config.vocab_size] + [config.max_length] * (config.positions == "learned")
    weights = _n_weights(config) - sum(tables) * config.width
    return _memory(config, batch, length, bytes_per_value, weights=weights)


@inference_memory.misconception
def counts_a_tied_head_twice(config, batch, length, bytes_per_value):
    """A tied head is the token table, used a second time and stored once."""
    weights = _n_weights(replace(config, tied=False))
    return _memory(config, batch, length, bytes_per_value, weights=weights)


@inference_memory.misconception
def computes_the_whole_text_at_each_step(config, batch, length, bytes_per_value):
    """Your activations are those of all `length` tokens. With a cache a step computes one token for
    each text; the others are in the cache."""
    activations = batch * length * (2 * config.width + _longest_vector(config, length))
    return _memory(config, batch, length, bytes_per_value, activations=activations)


@inference_memory.misconception
def adds_all_vectors_up(config, batch, length, bytes_per_value):
    """You add scores, hidden channels and logits up. They are not alive at the same time: count the
    longest of them."""
    vectors = config.n_heads * length + config.ffn_width + config.vocab_size
    activations = batch * (2 * config.width + vectors)
    return _memory(config, batch, length, bytes_per_value, activations=activations)


@inference_memory.misconception
def multiplies_activations_by_the_layers(config, batch, length, bytes_per_value):
    """You count the activations of all layers. Without gradients a layer's are gone when the next
    begins; only keys and values stay, and the cache has those."""
    activations = config.n_layers * batch * (2 * config.width + _longest_vector(config, length))
    return _memory(config, batch, length, bytes_per_value, activations=activations)


@inference_memory.misconception
def counts_the_activations_of_one_text(config, batch, length, bytes_per_value):
    """Your activations are those of one text. A step computes a token for each text of the batch:
    multiply."""
    activations = 2 * config.width + _longest_vector(config, length)
    return _memory(config, batch, length, bytes_per_value, activations=activations)


@inference_memory.misconception
def takes_the_scores_of_one_head(config, batch, length, bytes_per_value):
    """Your scores are those of one head, `length` numbers. Every head has its own: n_heads *
    length."""
    longest = max(length, config.ffn_width, config.vocab_size)
    activations = batch * (2 * config.width + longest)
    return _memory(config, batch, length, bytes_per_value, activations=activations)


@inference_memory.misconception
def counts_the_stream_once(config, batch, length, bytes_per_value):
    """While a part works, the stream and its normalised copy are both alive: twice the width."""
    activations = batch * (config.width + _longest_vector(config, length))
    return _memory(config, batch, length, bytes_per_value, activations=activations)


@inference_memory.misconception
def always_takes_four_bytes(config, batch, length, bytes_per_value):
    """Your values always take 4 bytes. Multiply by `bytes_per_value`."""
    return decoder.inference_memory(config, batch, length, 4)


@inference_memory.misconception
def returns_floats(config, batch, length, bytes_per_value):
    """The numbers are right, but some are floats. Bytes come whole: `math.ceil` rounds up and gives
    an int."""
    memory = decoder.inference_memory(config, batch, length, bytes_per_value)
    return {part: float(n) for part, n in memory.items()}


@inference_memory.alternative
def by_formula(config, batch, length, bytes_per_value):
    """Nothing is built: every matrix is counted by hand."""
    w, f, V = config.width, config.ffn_width, config.vocab_size
    d_k = w // config.n_heads
    kv = d_k * (config.n_kv_heads or config.n_heads)
    attention = 2 * w * w + 2 * w * kv + config.bias * (2 * w + 2 * kv)
    swiglu, shift = config.feed_forward == "swiglu", config.norm == "layer"
    ffn = (3 if swiglu else 2) * w * f + config.bias * (w + f)
    norm = w * (2 if shift else 1)
    n = config.n_layers * (attention + ffn + 2 * norm) + norm + V * w * (1 if config.tied else 2)
    n += config.max_length * w if config.positions == "learned" else 0
    cache = batch * config.n_layers * length * kv * 2
    step = batch * (w + w + max(V, f, length * config.n_heads))
    weights, cache, step = (math.ceil(x * bytes_per_value) for x in (n, cache, step))
    total = weights + cache + step
    return {"weights": weights, "cache": cache, "activations": step, "total": total}


@inference_memory.alternative
def by_building_model_and_cache(config, batch, length, bytes_per_value):
    """Build it, read a text, and count what is there."""
    model = decoder.DecoderLM(replace(config, max_length=max(config.max_length, length)))
    with torch.no_grad():
        _, cache = decoder.decode_step(model, torch.zeros(batch, length, dtype=torch.int64))
    weights = sum(p.numel() for p in decoder.DecoderLM(config).parameters())
    kept = sum(tensor.numel() for tensor in (*cache.keys, *cache.values))
    longest = sorted([config.n_heads * length, config.ffn_width, config.vocab_size])[-1]
    parts = {"weights": weights, "cache": kept, "activations": batch * (2 * config.width + longest)}
    parts = {name: math.ceil(n * bytes_per_value) for name, n in parts.items()}
    parts["total"] = sum(parts.values())
    return parts
