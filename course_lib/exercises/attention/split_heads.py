"""What `attention.split_heads` demands."""

from __future__ import annotations

import torch

from course_lib import attention
from course_lib.checks.exercise import Case, Exercise, gradient_of, refuses

split_heads = Exercise("attention.split_heads", points=2, reference=attention.split_heads)


@split_heads.cases
def _(draw):
    counted = torch.arange(12.0).reshape(1, 2, 6)
    yield Case("two tokens of six channels, counted through", {"x": counted, "n_heads": 3})
    yield Case("the same, two heads", {"x": counted, "n_heads": 2})
    yield Case("one token", {"x": draw.normal(1, 1, 4), "n_heads": 2})
    yield Case("a batch", {"x": draw.normal(2, 3, 8), "n_heads": 2})
    yield Case("a single head", {"x": draw.normal(2, 3, 4), "n_heads": 1})
    yield Case("as many heads as channels", {"x": draw.normal(2, 3, 4), "n_heads": 4})
    yield Case("more tokens than channels", {"x": draw.normal(2, 7, 6), "n_heads": 2})
    yield Case("the gradient", {"x": draw.normal(1, 2, 6), "n_heads": 3}, gradient_of(0))
    yield refuses("heads that do not divide the width", {"x": counted, "n_heads": 4}, "n_heads")
    if draw.hidden:
        yield Case("a larger batch", {"x": draw.normal(3, 5, 24), "n_heads": 6})


@split_heads.misconception
def reshapes_straight_into_heads(x, n_heads):
    """The shape is right, but the numbers are in the wrong places: reshaping into [batch, heads,
    time, d_k] at once cuts the text into pieces and gives each head another piece. Cut the
    channels first, [batch, time, heads, d_k], then swap the two middle axes."""
    batch, time, width = x.shape
    return x.reshape(batch, n_heads, time, width // n_heads)


@split_heads.misconception
def deals_channels_out_like_cards(x, n_heads):
    """Yours gives head 0 every n-th channel. Here a head takes a run of neighbouring channels: let
    the axis of the heads come before the axis of the channels of a head when you cut."""
    batch, time, width = x.shape
    return x.reshape(batch, time, width // n_heads, n_heads).permute(0, 3, 1, 2)


@split_heads.misconception
def leaves_the_heads_behind_the_time(x, n_heads):
    """The channels are cut well, but the heads still stand behind the time: [batch, time, heads,
    d_k]. Attention compares along the last two axes, so bring the heads forward."""
    batch, time, width = x.shape
    return x.reshape(batch, time, n_heads, width // n_heads)


@split_heads.misconception
def takes_n_heads_for_the_width_of_a_head(x, n_heads):
    """Yours makes heads of `n_heads` channels each. There are `n_heads` heads, and each has width /
    n_heads channels."""
    batch, time, width = x.shape
    return x.reshape(batch, time, width // n_heads, n_heads).transpose(1, 2)


@split_heads.misconception
def folds_the_heads_into_the_batch(x, n_heads):
    """The heads are right, but they are mixed into the batch: [batch * heads, time, d_k]. Keep the
    two apart: [batch, heads, time, d_k]."""
    batch, time, width = x.shape
    heads = x.reshape(batch, time, n_heads, width // n_heads).transpose(1, 2)
    return heads.reshape(batch * n_heads, time, width // n_heads)


@split_heads.misconception
def puts_the_heads_first(x, n_heads):
    """The heads are cut well, but they come before the batch. The order is [batch, heads, time,
    d_k]."""
    return torch.stack(x.chunk(n_heads, dim=-1))


@split_heads.misconception
def splits_the_time(x, n_heads):
    """You share out the tokens among the heads, so each head sees a part of the text. It is the
    channels that are shared out: every head sees every token."""
    batch, time, width = x.shape
    return x.reshape(batch, n_heads, time // n_heads, width)


@split_heads.misconception
def swaps_time_and_channels(x, n_heads):
    """The heads are right, but within them time and channels have changed places: [batch, heads,
    d_k, time]. The channels come last."""
    return attention.split_heads(x, n_heads).transpose(2, 3)


@split_heads.alternative
def by_stacking_chunks(x, n_heads):
    """Cut into chunks, stack them on a new axis."""
    return torch.stack(_divided(x, n_heads).chunk(n_heads, dim=-1), dim=1)


@split_heads.alternative
def by_unflatten_and_permute(x, n_heads):
    """`unflatten` cuts an axis."""
    return _divided(x, n_heads).unflatten(-1, (n_heads, -1)).permute(0, 2, 1, 3)


@split_heads.alternative
def one_head_after_the_other(x, n_heads):
    """A slice of channels for each head."""
    d_k = _divided(x, n_heads).shape[-1] // n_heads
    return torch.stack([x[..., h * d_k : (h + 1) * d_k] for h in range(n_heads)], 1)


def _divided(x, n_heads):
    if x.shape[-1] % n_heads != 0:
        raise ValueError(f"n_heads must divide the width, got {n_heads}")
    return x
