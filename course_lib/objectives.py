"""What a model is trained for: the losses of the three architectures (notebooks 05, 06, 07)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from course_lib.arguments import check_arguments, positive
from course_lib.precision import in_float32
from course_lib.shapes import check_shapes

__all__ = [
    "align_labels",
    "causal_lm_loss",
    "classification_loss",
    "corrupt_spans",
    "draw_spans",
    "fill_spans",
    "label_smoothing_loss",
    "mask_tokens",
    "masked_lm_loss",
    "perplexity",
    "seq2seq_loss",
    "shift_right",
]

Loss = TypeVar("Loss", float, Tensor)


@check_shapes
def mask_tokens(
    ids: Int64[Tensor, "*shape"],
    special_mask: Bool[Tensor, "*shape"],
    mask_id: int,
    vocab_size: int,
    probability: float,
    generator: torch.Generator,
) -> tuple[Int64[Tensor, "*shape"], Int64[Tensor, "*shape"]]:
    """Hide some tokens for a model to guess (masked language modelling; Devlin et al. 2019).

    Each token is chosen with `probability`, independently of the others. Of the chosen ones, 80 %
    become the mask token, 10 % become any id of the vocabulary, 10 % stay as they are.

    Args:
        ids: the text.
        special_mask: True = special token or padding, which is never chosen.
        mask_id: the id of the mask token.
        vocab_size: a random id is drawn from 0 ... vocab_size - 1.
        probability: share of tokens to choose; BERT takes 0.15.
        generator: the only source of chance.

    Returns:
        What the model reads, and the labels: the original id where a token was chosen, else -100.

    Raises:
        TypeError: `ids` is not an int64 tensor, or `special_mask` not a bool tensor.
        ValueError: the shapes differ, or `probability` is outside 0 ... 1.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must lie in 0 ... 1, got {probability}")

    draw = torch.rand(ids.shape, generator=generator)  # one draw a token decides all
    chosen = (draw < probability) & ~special_mask
    labels = ids.masked_fill(~chosen, -100)

    masked = chosen & (draw < 0.8 * probability)
    replaced = chosen & ~masked & (draw < 0.9 * probability)  # the last tenth stays
    random_ids = torch.randint(vocab_size, ids.shape, generator=generator)
    inputs = torch.where(replaced, random_ids, ids.masked_fill(masked, mask_id))
    return inputs, labels


@check_shapes
def masked_lm_loss(
    logits: Float[Tensor, "batch time vocab"], labels: Int64[Tensor, "batch time"]
) -> Float[Tensor, ""]:
    """How surprised a model is by the tokens that were hidden from it (nats per token).

    Nothing is shifted: the logits at a position score the token of that position.

    Args:
        logits: one row of scores for each position.
        labels: as from `mask_tokens`; -100 does not count.

    Returns:
        The mean of -log softmax(logits[b, t])[labels[b, t]] over all labelled positions of all
        rows; 0 if there are none.

    Raises:
        TypeError: `logits` is not a float tensor, or `labels` not an int64 tensor.
        ValueError: the shapes do not fit, or a label is outside the vocabulary.
    """
    vocab = logits.shape[-1]
    if ((labels != -100) & ((labels < 0) | (labels >= vocab))).any():
        raise ValueError(f"labels must lie in 0 ... {vocab - 1} or be -100, got {labels}")

    labelled = labels != -100
    log_probs = logits[labelled].log_softmax(-1)  # [n, vocab]: most positions are not even scored
    of_labels = log_probs.gather(-1, labels[labelled][:, None])  # [n, 1]
    return -of_labels.sum() / labelled.sum().clamp(min=1)


@check_shapes
def classification_loss(
    logits: Float[Tensor, "*shape classes"], labels: Int64[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """How surprised a classifier is by the true classes, of texts or of tokens (nats per label).

    Args:
        logits: a row of scores for each text [batch, classes], or for each token
            [batch, time, classes].
        labels: the true classes; -100 does not count.

    Returns:
        The mean of -log softmax(logits)[label] over all labels but -100; 0 if there are none.

    Raises:
        TypeError: `logits` is not a float tensor, or `labels` not an int64 tensor.
        ValueError: the shapes do not fit, or a label is no class.
    """
    classes = logits.shape[-1]
    if ((labels != -100) & ((labels < 0) | (labels >= classes))).any():
        raise ValueError(f"labels must lie in 0 ... {classes - 1} or be -100, got {labels}")

    rows = logits.reshape(-1, classes)  # [n, classes]
    total = F.cross_entropy(rows, labels.reshape(-1), ignore_index=-100, reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)


@check_shapes
def label_smoothing_loss(
    logits: Float[Tensor, "*shape classes"], labels: Int64[Tensor, "*shape"], smoothing: float
) -> Float[Tensor, ""]:
    """`classification_loss`, but the label is to get only a part of the probability.

    1 - smoothing goes to it, and the rest to all classes alike, it among them, so that no logit
    need grow without end (Szegedy et al. 2016, section 7).

    Args:
        logits, labels: as for `classification_loss`.
        smoothing: 0 is `classification_loss`; 0.1 is usual.

    Raises:
        TypeError, ValueError: as `classification_loss`, or `smoothing` is outside 0 ... 1.
    """
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing must lie in 0 ... 1, got {smoothing}")
    labelled = labels != -100
    of_all = -logits[labelled].log_softmax(-1).mean(-1)  # [n], the mean over the classes
    spread = of_all.sum() / labelled.sum().clamp(min=1)
    return (1 - smoothing) * classification_loss(logits, labels) + smoothing * spread


def align_labels(word_labels: Sequence[int], word_ids: Sequence[int | None]) -> list[int]:
    """From one label a word to one label a token: the first token of a word keeps the label.

    The other tokens of a word, and special tokens, get -100, which losses ignore. (The first
    token stands for the word: Devlin et al. 2019, section 5.3.)

    Args:
        word_labels: one class for each word.
        word_ids: for each token the place of its word in `word_labels`, None for a special token.

    Raises:
        ValueError: a word id has no label.
    """
    for word_id in word_ids:
        if word_id is not None and not 0 <= word_id < len(word_labels):
            raise ValueError(f"word_ids must lie in 0 ... {len(word_labels) - 1}, got {word_id}")

    labels, previous = [], None
    for word_id in word_ids:
        starts_a_word = word_id is not None and word_id != previous
        labels.append(word_labels[word_id] if starts_a_word else -100)  # type: ignore[index]
        previous = word_id
    return labels


@check_shapes
def causal_lm_loss(
    logits: Float[Tensor, "batch time vocab"],
    ids: Int64[Tensor, "batch time"],
    ignore_index: int = -100,
) -> Float[Tensor, ""]:
    """How surprised a language model is by each next token, on average (nats per token).

    The logits at a position score the id after it; the shift happens here and nowhere else.

    Args:
        logits: one row of scores for each position.
        ids: what the model read; `ignore_index` where no prediction shall count.

    Returns:
        The mean of -log softmax(logits[:, t])[ids[:, t + 1]] over all labelled t of all rows; 0 if
        there are none.

    Raises:
        TypeError: `logits` is not a float tensor, or `ids` not an int64 tensor.
        ValueError: the shapes do not fit, or an id is outside the vocabulary.
    """
    vocab = logits.shape[-1]
    if ((ids != ignore_index) & ((ids < 0) | (ids >= vocab))).any():
        raise ValueError(f"ids must lie in 0 ... {vocab - 1} or be {ignore_index}, got {ids}")

    predictions = logits[:, :-1].flatten(0, 1)  # [batch * (time - 1), vocab]
    labels = ids[:, 1:].flatten()  # [batch * (time - 1)], each the id after its prediction
    total = F.cross_entropy(predictions, labels, ignore_index=ignore_index, reduction="sum")
    n_labelled = (labels != ignore_index).sum()
    return total / n_labelled.clamp(min=1)


def perplexity(loss: Loss) -> Loss:
    """Among how many equally likely tokens the model hesitates, on average: e to the loss.

    Args:
        loss: mean loss in nats per token, a number or a tensor of any shape.

    Returns:
        A number for a number, a tensor for a tensor.

    Raises:
        TypeError: `loss` is neither.
    """
    if not isinstance(loss, Tensor | float | int):
        raise TypeError(f"loss must be a float or a tensor, got {type(loss).__name__}")

    return loss.exp() if isinstance(loss, Tensor) else math.exp(loss)


# ---- Sequence to sequence (notebook 07)


@check_shapes
def shift_right(
    labels: Int64[Tensor, "batch time"], start_id: int, pad_id: int = 0
) -> Int64[Tensor, "batch time"]:
    """What a decoder reads while it learns: at each position the labels before it, true ones.

    Teacher forcing: the start token first, then every label but the last, one place to the right
    (Williams and Zipser 1989; Sutskever et al. 2014).

    Args:
        labels: what is to be written; -100 where nothing is to be learnt.
        start_id: what every text begins with.
        pad_id: what to read where the label was -100, which no embedding table has.

    Raises:
        TypeError: `labels` is not an int64 tensor.
        ValueError: `labels` is not [batch, time].
    """
    start = labels.new_full((len(labels), 1), start_id)
    shifted = torch.cat([start, labels], dim=1)[:, :-1]
    return shifted.masked_fill(shifted == -100, pad_id)


@check_shapes
def seq2seq_loss(
    logits: Float[Tensor, "batch time vocab"], labels: Int64[Tensor, "batch time"]
) -> Float[Tensor, ""]:
    """How surprised the decoder is by each token of the right answer (nats per token).

    -log P(y_t | y_<t, x). No shift: the decoder has read `shift_right(labels)`, so the logits at
    position t are its guess of label t.

    Args:
        logits: one row of scores for each label.
        labels: what is to be written; -100 where nothing counts.

    Returns:
        The mean over all labelled positions of the whole batch; 0 if there are none.

    Raises:
        TypeError: `logits` is not a float tensor, or `labels` not an int64 tensor.
        ValueError: the shapes do not fit, or a label is outside the vocabulary.
    """
    vocab = logits.shape[-1]
    if ((labels != -100) & ((labels < 0) | (labels >= vocab))).any():
        raise ValueError(f"labels must lie in 0 ... {vocab - 1} or be -100, got {labels}")

    total = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)


# The sum over all labels has no room in float16, before the mean brings it back.

masked_lm_loss = in_float32(masked_lm_loss)
classification_loss = in_float32(classification_loss)
label_smoothing_loss = in_float32(label_smoothing_loss)
causal_lm_loss = in_float32(causal_lm_loss)
seq2seq_loss = in_float32(seq2seq_loss)


# ---- Span corruption (notebook 07)


def corrupt_spans(
    ids: Sequence[int], spans: Sequence[tuple[int, int]], sentinel_ids: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Make an exercise of a text: cut spans out, and ask for them (Raffel et al. 2020, figure 2).

    Thank you [for inviting] me to your party [last] week:
    "Thank you <A> me to your party <B> week" is read, "<A> for inviting <B> last <C>" written.

    Args:
        ids: a text.
        spans: (start, end) of each, half-open, in order, at least one token apart.
        sentinel_ids: span i takes the i-th of them, and one more ends the target.

    Returns:
        (corrupted, target).

    Raises:
        ValueError: spans are empty, outside the text, out of order or not apart; there are too
            few sentinels, a sentinel comes twice, or the text holds one.
    """
    ends = [-1, *(end for _, end in spans)]
    if not all(before < start < end <= len(ids) for before, (start, end) in zip(ends, spans)):
        raise ValueError(f"spans must be in order, apart and within {len(ids)} ids, got {spans}")
    if len(sentinel_ids) <= len(spans) or len(set(sentinel_ids)) < len(sentinel_ids):
        raise ValueError(f"sentinel_ids must be {len(spans) + 1} or more different ids")
    if set(ids) & set(sentinel_ids):
        raise ValueError("ids must not hold a sentinel")

    corrupted, target = [], []
    position = 0  # everything before it is dealt with
    for (start, end), sentinel in zip(spans, sentinel_ids):
        corrupted += [*ids[position:start], sentinel]
        target += [sentinel, *ids[start:end]]
        position = end
    corrupted += ids[position:]
    target += [sentinel_ids[len(spans)]]
    return corrupted, target


def fill_spans(
    corrupted: Sequence[int], target: Sequence[int], sentinel_ids: Sequence[int]
) -> list[int]:
    """Put the spans back: the opposite of `corrupt_spans`.

    Args:
        corrupted: a text with sentinels where spans were.
        target: each sentinel, followed by its span; the sentinel at the end may be missing, and
            what follows it is of no use.
        sentinel_ids: as in `corrupt_spans`.

    Raises:
        ValueError: the target does not begin with a sentinel, or its sentinels are not those of
            the corrupted text, in the same order.
    """
    holes = [id for id in corrupted if id in sentinel_ids]
    given = [id for id in target if id in sentinel_ids]
    if given[: len(holes)] != holes or len(given) > len(holes) + 1 or [*target][:1] != given[:1]:
        raise ValueError(f"target must hold a span for each of {holes} in order, got {target}")

    spans = {}  # type: ignore[var-annotated]
    for id in target:
        if id in sentinel_ids:
            span = spans[id] = []  # the ids that follow belong to it
        else:
            span.append(id)
    filled = []  # type: ignore[var-annotated]
    for id in corrupted:
        filled += spans[id] if id in sentinel_ids else [id]
    return filled


@check_arguments
def draw_spans(
    length: int, generator: torch.Generator, share: float = 0.15, mean_span: float = 3.0
) -> list[tuple[int, int]]:
    """Which spans of a text to cut out, by chance (Raffel et al. 2020, section 3.3.4).

    How many tokens and how many spans follows from the arguments; where they stand is uniform
    over all ways to place them apart. (T5's own code has one limit more: its last span always
    ends the text.)

    Args:
        length: tokens of the text.
        generator: the only source of chance.
        share: of the tokens is cut out, rounded, at least one token and never all.
        mean_span: tokens of a span on average.

    Raises:
        ValueError: `length` is below 2, `share` is not between 0 and 1, or `mean_span` is below 1.
    """
    if length < 2:
        raise ValueError(f"length must be at least 2, got {length}")
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}")
    if mean_span < 1:
        raise ValueError(f"mean_span must be at least 1, got {mean_span}")

    n_cut = min(max(round(length * share), 1), length - 1)
    n_kept = length - n_cut
    n_spans = min(max(round(n_cut / mean_span), 1), n_kept + 1)
    cut = _random_parts(n_cut, n_spans, generator)
    # Between two spans stands at least one token; before the first and after the last, none must.
    kept = _random_parts(n_kept + 2, n_spans + 1, generator)
    kept[0] -= 1
    starts = accumulate(kept[:1] + [a + b for a, b in zip(cut, kept[1:-1])])
    return [(start, start + size) for start, size in zip(starts, cut)]


def _random_parts(total: int, n_parts: int, generator: torch.Generator) -> list[int]:
    """`total` as a sum of `n_parts` positive numbers, each way equally likely."""
    marks = torch.randperm(total - 1, generator=generator)[: n_parts - 1].sort().values + 1
    return [b - a for a, b in pairwise([0, *marks.tolist(), total])]


# Checked here, so that the functions above are what the exercises show.

mask_tokens = check_arguments(positive("vocab_size")(mask_tokens))
align_labels = check_arguments(align_labels)
perplexity = check_arguments(perplexity)
corrupt_spans = check_arguments(corrupt_spans)
fill_spans = check_arguments(fill_spans)
