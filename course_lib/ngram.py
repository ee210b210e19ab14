"""n-grams: a language model that counts (Shannon 1948; notebook 06)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from course_lib.arguments import check_arguments
from course_lib.shapes import check_shapes

__all__ = ["Counts", "ngram_probs", "smoothed_probability", "train_ngram"]

Counts = dict[tuple[int, ...], Counter[int]]


@check_shapes
def train_ngram(ids: Int64[Tensor, "n_tokens"], n: int) -> Counts:
    """Count what follows each context of up to n - 1 tokens.

    Args:
        ids: the text.
        n: tokens of the longest pieces counted: context and follower together.

    Returns:
        For each context (a tuple of 0 ... n - 1 ids, the empty one included) how often each id
        came after it.

    Raises:
        TypeError: `ids` is not an int64 tensor.
        ValueError: `ids` has not one axis or is empty, or `n` is below 1.
    """
    if len(ids) == 0:
        raise ValueError("ids must have at least one token, got none")
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")

    tokens = ids.tolist()
    counts = defaultdict(Counter)  # type: ignore[var-annotated]
    for place, token in enumerate(tokens):
        for length in range(min(n, place + 1)):  # no context reaches back before the text
            context = tuple(tokens[place - length : place])
            counts[context][token] += 1
    return dict(counts)


def ngram_probs(
    model: Counts, context: Sequence[int] | Int64[Tensor, "time"], vocab_size: int
) -> Float[Tensor, "vocab"]:
    """The next token's probabilities: the shares of what followed this context in the text.

    A context that was never followed by anything is shortened from the left until one was; the
    empty one always was. So a token unseen after a seen context gets exactly 0.

    Args:
        model: from `train_ngram`.
        context: ids; those beyond the last n - 1 play no part.
        vocab_size: how many ids there are.

    Raises:
        ValueError: the model has an id outside the vocabulary, or no empty context.
    """
    if () not in model or max(model[()]) >= vocab_size:
        raise ValueError(f"model must be counts of ids below vocab_size = {vocab_size}")

    context = tuple(int(token) for token in context)
    while context not in model:
        context = context[1:]  # back off: forget the oldest token
    probs = torch.zeros(vocab_size)
    for token, count in model[context].items():
        probs[token] = count
    return probs / probs.sum()


@check_arguments
def smoothed_probability(
    model: Counts, context: Sequence[int], token: int, vocab_size: int
) -> float:
    """The probability of one next token, never 0: each context mixed with the shorter one.

    (count(context, token) + kinds * shorter) / (count(context) + kinds), where `kinds` is the
    number of different followers seen: the more varied they were, the likelier a new one. Under
    the empty context lie equal shares for all (Witten and Bell 1991; in the comparison of Chen and
    Goodman 1998, section 2.5).

    Args:
        model: from `train_ngram`.
        context: ids, at most n - 1 of them.
        token: the id that comes next.
        vocab_size: how many ids there are.
    """
    probability = 1 / vocab_size
    for start in range(len(context), -1, -1):  # from the empty context to the whole one
        followers = model.get(tuple(context[start:]))
        if followers is None:
            break  # no longer one was seen either
        seen, kinds = sum(followers.values()), len(followers)
        probability = (followers.get(token, 0) + kinds * probability) / (seen + kinds)
    return probability


# Checked here, so that the functions above are what the exercises show.

ngram_probs = check_arguments(ngram_probs)
