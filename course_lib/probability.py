"""What a language model answers with: probabilities of the next token (notebook 00)."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import fsum

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from course_lib.arguments import check_arguments
from course_lib.shapes import check_shapes

__all__ = ["autocomplete_bigram", "chain_rule_log_prob", "greedy_next_token"]


def autocomplete_bigram(text: str, word: str, k: int) -> list[tuple[str, float]]:
    """What a phone keyboard offers after `word`, knowing only which word followed which.

    P(next | word) = count(word, next) / count(word, anything): a bigram model fitted by
    counting (maximum likelihood; Jurafsky and Martin, Speech and Language Processing, ch. 3).

    Args:
        text: the text to count in; words are `text.split()`.
        word: the word just typed.
        k: how many suggestions at most.

    Returns:
        At most k pairs (next word, probability): most likely first, ties alphabetically; [] if
        nothing ever followed `word`.

    Raises:
        TypeError: `text` or `word` is not a str, or `k` not an int.
        ValueError: `k` is negative.
    """
    if not isinstance(text, str) or not isinstance(word, str) or not isinstance(k, int):
        got = ", ".join(type(value).__name__ for value in (text, word, k))
        raise TypeError(f"text, word and k must be str, str and int, got {got}")
    if k < 0:
        raise ValueError(f"k must not be negative, got {k}")

    followers = Counter(after for before, after in pairwise(text.split()) if before == word)
    ranked = sorted(followers.items(), key=lambda item: (-item[1], item[0]))
    return [(after, count / followers.total()) for after, count in ranked[:k]]


@check_shapes
def greedy_next_token(logits: Float[Tensor, "vocab"]) -> int:
    """The id with the highest logit; among equals, the lowest id.

    Raises:
        TypeError: `logits` is not a float tensor.
        ValueError: `logits` is not one row of at least one number.
    """
    if len(logits) == 0:
        raise ValueError("logits must hold at least one number, got none")

    return int(logits.argmax())  # torch documents that argmax takes the first of equals


@check_shapes
def chain_rule_log_prob(
    next_token_log_probs: Float[Tensor, "time vocab"], ids: Int64[Tensor, "time"]
) -> float:
    """Log-probability of a whole text: log P(x) = sum over t of log P(x_t | x_<t).

    Args:
        next_token_log_probs: row t holds log P(. | ids[:t]), in nats: the model's answer
            before it has seen ids[t].
        ids: the tokens that came. All of them count, the first one too.

    Returns:
        The log-probability in nats; 0.0 (certainty) for an empty text.

    Raises:
        TypeError: `ids` is not an int64 tensor, or the log-probabilities are not floats.
        ValueError: the shapes do not fit, or an id lies outside the vocabulary.
    """
    vocab = next_token_log_probs.shape[1]
    if ((ids < 0) | (ids >= vocab)).any():
        raise ValueError(f"ids must lie in 0 ... {vocab - 1}, got {ids.tolist()}")

    rows = torch.arange(len(ids))
    came = next_token_log_probs[rows, ids]  # [time]: of row t, the entry of the token that came
    return fsum(came.tolist())  # adds without rounding on the way


# Checked here, so that the functions above are what the exercises show.

autocomplete_bigram = check_arguments(autocomplete_bigram)
