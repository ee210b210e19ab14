"""What `encoder.mean_pool` demands."""

from __future__ import annotations

import torch

from course_lib import encoder
from course_lib.checks.exercise import Case, Exercise, gradient_of

mean_pool = Exercise("encoder.mean_pool", points=2, reference=encoder.mean_pool)


@mean_pool.cases
def _(draw):
    def case(about, attention_mask, width=3, **options):
        attention_mask = torch.as_tensor(attention_mask)
        hidden = draw.normal(*attention_mask.shape, width, scale=2.0)
        return Case(about, {"hidden": hidden, "attention_mask": attention_mask}, **options)

    yield case("one text of two tokens", [[1, 1]])
    yield case("one text of one token, one channel", [[1]], width=1)
    yield case("one text with padding", [[1, 1, 0]])
    yield case("texts of different length", [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    yield case("padding on the left", [[0, 0, 1, 1], [0, 1, 1, 1]])
    yield case("a text without tokens", [[1, 1, 0], [0, 0, 0]])
    yield case("a mask of True and False", [[True, True, False], [True, False, False]])
    yield case("a mask of floats", [[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]], width=4)
    yield case("a mask of doubles", torch.tensor([[1, 1, 0], [1, 0, 0]]).double())
    exact = draw.ids(16, 2, 4, 3).sub(8).half()  # whole numbers, whose sums and halves are exact
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    yield Case("half precision", {"hidden": exact, "attention_mask": mask})
    loud = draw.normal(2, 4, 3)
    loud[0, 2:], loud[1, 3] = 1e4, -1e4
    loud = {"hidden": loud, "attention_mask": torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]])}
    yield Case("large numbers at the padding", loud)
    double = {"hidden": draw.normal(2, 3, 4).double(), "attention_mask": torch.ones(2, 3).long()}
    yield Case("double precision", double)
    half = [[1, 1, 0], [0, 0, 0]]
    yield case("the gradient, with a text without tokens", half, observe=gradient_of(0))
    if draw.hidden:
        lengths = torch.arange(1, 8)[:, None]
        yield case("many texts", (torch.arange(9) < lengths).long(), width=6)


def _real(attention_mask):
    return attention_mask.bool()[..., None]


@mean_pool.misconception
def averages_the_padding_too(hidden, attention_mask):
    """You take the mean over all positions, padding included, so the same text has another vector
    in every batch. Leave out what `attention_mask` calls padding."""
    return hidden.mean(1)


@mean_pool.misconception
def divides_by_the_padded_length(hidden, attention_mask):
    """The padding is out of the sum, but you divide by the length of the padded row. Divide by the
    number of tokens that are really there."""
    return (hidden * _real(attention_mask)).mean(1)


@mean_pool.misconception
def sums_and_does_not_average_the_tokens(hidden, attention_mask):
    """This is the sum, which is longer for longer texts. Divide by the number of tokens of each
    text."""
    return (hidden * _real(attention_mask)).sum(1)


@mean_pool.misconception
def gives_nan_for_an_empty_text(hidden, attention_mask):
    """A text without tokens makes you divide 0 by 0. Divide by at least 1: then its vector is
    zeros."""
    real = _real(attention_mask).to(hidden.dtype)
    return (hidden * real).sum(1) / real.sum(1)


@mean_pool.misconception
def adds_one_to_every_count(hidden, attention_mask):
    """To be safe from 0 you add 1 to the number of tokens, but that makes every mean too small.
    `clamp(min=1)` changes only the 0."""
    real = _real(attention_mask).to(hidden.dtype)
    return (hidden * real).sum(1) / (real.sum(1) + 1)


@mean_pool.misconception
def divides_every_text_by_the_same_count(hidden, attention_mask):
    """You divide all texts by the same number of tokens. Each text has its own: sum the mask along
    the time axis only."""
    real = _real(attention_mask).to(hidden.dtype)
    return (hidden * real).sum(1) / real.sum(1).max().clamp(min=1)


@mean_pool.misconception
def takes_the_first_token(hidden, attention_mask):
    """You take the vector of the first position, as BERT's classifier does with [CLS]. Asked for is
    the mean over all tokens."""
    return hidden[:, 0]


@mean_pool.misconception
def takes_padding_to_be_on_the_right(hidden, attention_mask):
    """You count the tokens and average that many positions from the start. Padding may stand on the
    left as well; the mask says which positions are real."""
    lengths = attention_mask.sum(1).long()
    first = torch.arange(hidden.shape[1]) < lengths[:, None]
    return hidden.masked_fill(~first[..., None], 0).sum(1) / lengths.clamp(min=1)[:, None]


@mean_pool.misconception
def takes_the_largest_of_each_channel(hidden, attention_mask):
    """You take the largest number of each channel (max pooling). Asked for is the mean."""
    top = hidden.masked_fill(~_real(attention_mask), -torch.inf).amax(1)
    return top.masked_fill(top == -torch.inf, 0)


@mean_pool.misconception
def averages_over_the_whole_batch(hidden, attention_mask):
    """Picking the tokens with the mask, hidden[mask], puts those of all texts into one list, and
    you average that. Each text needs a mean of its own."""
    mean = hidden[attention_mask.bool()].mean(0)
    return mean.expand(len(hidden), -1)


@mean_pool.misconception
def averages_the_padding_alone(hidden, attention_mask):
    """You average what is padding and leave out the tokens. In `attention_mask` 1 is a token."""
    real = ~_real(attention_mask)
    return hidden.masked_fill(~real, 0).sum(1) / real.sum(1).clamp(min=1)


@mean_pool.misconception
def gives_float32_always(hidden, attention_mask):
    """A double goes in and a float32 comes out: `.float()` makes float32 of anything. Use the dtype
    of `hidden`."""
    real = _real(attention_mask).float()
    return (hidden.float() * real).sum(1) / real.sum(1).clamp(min=1)


@mean_pool.misconception
def makes_the_mask_float32(hidden, attention_mask):
    """`attention_mask.float()` is float32, and what it is multiplied with becomes float32 at least:
    half precision goes in, and float32 comes out. Give the mask the dtype of `hidden`."""
    real = attention_mask.float()[..., None]
    return (hidden * real).sum(1) / real.sum(1).clamp(min=1)


@mean_pool.misconception
def takes_the_dtype_of_the_mask(hidden, attention_mask):
    """You compute with the mask in its own dtype, so a mask of doubles makes doubles of everything.
    The result has the dtype of `hidden`, whatever the mask has: `.bool()`, or
    `.to(hidden.dtype)`."""
    real = attention_mask[..., None]
    return (hidden * real).sum(1) / real.sum(1).clamp(min=1)


@mean_pool.misconception
def drops_axes_of_size_one(hidden, attention_mask):
    """`squeeze()` without a number takes out every axis of size 1, also a batch of one text. The
    result is [batch, width], whatever the sizes."""
    real = _real(attention_mask)
    pooled = hidden.masked_fill(~real, 0).sum(1) / real.sum(1).clamp(min=1)
    return pooled.squeeze()


@mean_pool.misconception
def averages_over_the_channels(hidden, attention_mask):
    """You average along the last axis, so each token becomes one number. The mean runs over the
    tokens, along the time axis, and keeps the channels."""
    return hidden.masked_fill(~_real(attention_mask), 0).mean(-1)


@mean_pool.alternative
def as_a_matrix_product(hidden, attention_mask):
    """Weights that sum to one, times the vectors."""
    weights = attention_mask.to(hidden.dtype)
    weights = weights / weights.sum(1, keepdim=True).clamp(min=1)
    return torch.einsum("bt,btw->bw", weights, hidden)


@mean_pool.alternative
def text_by_text(hidden, attention_mask):
    """One text after the other."""
    rows = []
    for vectors, mask in zip(hidden, attention_mask, strict=True):
        vectors = vectors[mask.bool()]
        rows.append(vectors.mean(0) if len(vectors) else vectors.new_zeros(hidden.shape[-1]))
    return torch.stack(rows)
