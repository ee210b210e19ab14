"""Texts in, texts out: what is asked of a language model beside the ideas of notebook 08."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from course_lib.arguments import check_arguments
from course_lib.attention import softmax
from course_lib.decoder import DecoderLM
from course_lib.decoding import Filter, apply_temperature, pad_left, stream_tokens
from course_lib.precision import in_float32
from course_lib.shapes import check_shapes

__all__ = ["complete", "min_length_filter", "min_p_filter", "no_repeat_ngram_filter"]


@runtime_checkable
class _TextTokenizer(Protocol):
    """Turns text into ids, and ids into text again."""

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Sequence[int]) -> str: ...


@check_arguments
def complete(
    model: DecoderLM,
    tokenizer: _TextTokenizer,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    n_samples: int = 1,
    temperature: float = 0.0,
    before: Sequence[Filter] = (),
    after: Sequence[Filter] = (),
    stop_texts: Collection[str] = (),
    stop_ids: Collection[int] = (),
    generator: torch.Generator | None = None,
) -> list[list[str]]:
    """Go on with each prompt, once or several times, until a text says stop.

    Args:
        model: scores the next token.
        tokenizer: the model's.
        prompts: texts of at least one token.
        max_new_tokens: the most tokens to write.
        n_samples: how often to go on with each prompt.
        temperature: 0 takes the best token always (greedy); above 0, tokens are drawn.
        before, after: filters (`apply_filters`) before the temperature, as repetition penalties
            are, and after it, as `top_p_filter` and `min_p_filter`.
        stop_texts: what is written ends before the first of them, also where it begins or ends
            inside a token.
        stop_ids: likewise before the first of these ids.
        generator: tokens are drawn from it; torch's own if not given.

    Returns:
        For each prompt what was written, `n_samples` texts without the prompt.

    Raises:
        ValueError: `n_samples` is below 1, `temperature` negative or infinite, a stop text empty,
            or a prompt has no token.
    """
    if n_samples < 1:
        raise ValueError(f"n_samples must be at least 1, got {n_samples}")
    if "" in stop_texts:
        raise ValueError("stop_texts must not be empty texts, got one")
    if temperature == 0:
        filters, generator = [*before, *after], None
    else:
        filters = [*before, partial(apply_temperature, temperature=temperature), *after]
        generator = generator or torch.default_generator

    rows = [tokenizer.encode(prompt) for prompt in prompts]
    if not rows or not all(rows):
        raise ValueError("prompts must be texts of at least one token each, got none")
    ids, attention_mask = pad_left([row for row in rows for _ in range(n_samples)])
    steps = stream_tokens(
        model,
        ids,
        max_new_tokens=max_new_tokens,
        attention_mask=attention_mask,
        stop_ids=stop_ids,
        filters=filters,
        generator=generator,
    )
    written: list[list[int]] = [[] for _ in ids]
    texts, running = [""] * len(ids), [True] * len(ids)
    for step in steps:
        for row, id in enumerate(step):
            if id is None or id in stop_ids or not running[row]:
                continue
            written[row].append(id)
            text = tokenizer.decode(written[row])
            ends = [text.index(stop) for stop in stop_texts if stop in text]
            texts[row] = text[: min(ends, default=None)]
            running[row] = not ends
        if not any(running):
            break
    return [texts[i : i + n_samples] for i in range(0, len(texts), n_samples)]


@check_shapes
def min_p_filter(logits: Float[Tensor, "*batch vocab"], p: float) -> Float[Tensor, "*batch vocab"]:
    """Tokens at least p times as likely as the best one; others become `-inf` (Nguyen et al. 2024).

    Where the model is sure few tokens stay, where it is not many do.

    Raises:
        TypeError: `logits` is not a float tensor.
        ValueError: `p` is outside 0 ... 1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p must lie in 0 ... 1, got {p}")
    probs = softmax(logits, dim=-1)
    return logits.masked_fill(probs < p * probs.amax(dim=-1, keepdim=True), float("-inf"))


min_p_filter = in_float32(min_p_filter)


@check_shapes
def no_repeat_ngram_filter(
    logits: Float[Tensor, "vocab"], ids: Int64[Tensor, "time"], n: int
) -> Float[Tensor, "vocab"]:
    """`-inf` for each token that would write n tokens a second time (Paulus et al. 2017).

    Args:
        logits: scores of the next token.
        ids: the text so far, prompt included.
        n: 1 forbids every token that has come.

    Raises:
        TypeError: `logits` is not a float tensor, or `ids` not an int64 tensor.
        ValueError: `n` is below 1, or an id lies outside the vocabulary.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if ((ids < 0) | (ids >= len(logits))).any():
        raise ValueError(f"ids must lie in 0 ... {len(logits) - 1}, got {ids.tolist()}")
    if len(ids) < n:
        return logits
    ngrams = ids.unfold(0, n, 1)  # [time - n + 1, n]
    begun = (ngrams[:, :-1] == ids[len(ids) - n + 1 :]).all(dim=-1)  # as the text ends now
    return logits.index_fill(-1, ngrams[begun, -1], float("-inf"))


@check_shapes
def min_length_filter(
    logits: Float[Tensor, "vocab"],
    ids: Int64[Tensor, "time"],
    length: int,
    stop_ids: Collection[int],
) -> Float[Tensor, "vocab"]:
    """`-inf` for the ids that end a text, as long as it has fewer than `length` tokens.

    Args:
        logits: scores of the next token.
        ids: the text so far, prompt included.
        length: of the whole text, prompt included, without the id that ends it.
        stop_ids: the ids that end a text.

    Raises:
        TypeError: `logits` is not a float tensor, or `ids` not an int64 tensor.
        ValueError: a stop id lies outside the vocabulary.
    """
    if not all(0 <= id < len(logits) for id in stop_ids):
        raise ValueError(f"stop_ids must lie in 0 ... {len(logits) - 1}, got {list(stop_ids)}")
    if len(ids) >= length:
        return logits
    return logits.index_fill(-1, torch.tensor(list(stop_ids), dtype=torch.int64), float("-inf"))
