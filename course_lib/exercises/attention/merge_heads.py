"""What `attention.merge_heads` demands."""

from __future__ import annotations

import torch

from course_lib import attention
from course_lib.checks.exercise import Case, Exercise, gradient_of

merge_heads = Exercise("attention.merge_heads", points=1, reference=attention.merge_heads)


@merge_heads.cases
def _(draw):
    counted = torch.arange(12.0).reshape(1, 3, 2, 2)
    yield Case("three heads, two tokens, counted through", {"x": counted})
    yield Case("two heads, three tokens", {"x": draw.normal(1, 2, 3, 2)})
    yield Case("one token", {"x": draw.normal(1, 2, 1, 2)})
    yield Case("a batch", {"x": draw.normal(2, 3, 5, 4)})
    yield Case("a single head", {"x": draw.normal(2, 1, 3, 4)})
    yield Case("heads of one channel", {"x": draw.normal(2, 4, 3, 1)})
    split = attention.split_heads(draw.normal(2, 5, 6), 3)
    yield Case("what `split_heads` returned", {"x": split})
    yield Case("the gradient", {"x": draw.normal(1, 2, 3, 2)}, gradient_of(0))
    if draw.hidden:
        yield Case("more heads", {"x": draw.normal(3, 6, 7, 5)})


@merge_heads.misconception
def reshapes_without_moving_the_axes_back(x):
    """Time and heads have to change places before the channels are joined: [batch, time, heads,
    d_k]. Without that, a row of your result holds one head at several moments."""
    batch, heads, time, d_k = x.shape
    return x.reshape(batch, time, heads * d_k)


@merge_heads.misconception
def uses_view_on_a_transposed_tensor(x):
    """After `transpose` the numbers lie in memory in the old order, and `view` refuses to join
    axes that are not neighbours there. `reshape` and `flatten` copy when they have to."""
    batch, heads, time, d_k = x.shape
    return x.transpose(1, 2).view(batch, time, heads * d_k)


@merge_heads.misconception
def averages_the_heads(x):
    """The heads are put side by side, not averaged: each has found something of its own, and the
    projection that follows decides how to mix. The width becomes heads * d_k."""
    return x.mean(dim=1)


@merge_heads.misconception
def adds_the_heads_up(x):
    """The heads are put side by side, not added: each has found something of its own, and the
    projection that follows decides how to mix. The width becomes heads * d_k."""
    return x.sum(dim=1)


@merge_heads.misconception
def interleaves_the_channels(x):
    """Yours takes the first channel of every head, then the second of every head. The channels of a
    head stay together: join [heads, d_k], in this order."""
    return x.permute(0, 2, 3, 1).flatten(2)


@merge_heads.misconception
def stops_before_joining(x):
    """The axes are in the right order, [batch, time, heads, d_k]. Now join the last two into one,
    the width."""
    return x.transpose(1, 2)


@merge_heads.misconception
def keeps_one_head_alone(x):
    """You keep the first head and lose the others. Put the channels of all heads side by side."""
    return x[:, 0]


@merge_heads.misconception
def joins_time_and_heads(x):
    """You join the heads with the time: [batch, time * heads, d_k]. It is the channels that become
    more, not the tokens: join heads and d_k."""
    return x.transpose(1, 2).flatten(1, 2)


@merge_heads.alternative
def by_concatenating_heads(x):
    """Each head's channels, one after the other."""
    return torch.cat(x.unbind(dim=1), dim=-1)


@merge_heads.alternative
def by_permute_and_reshape(x):
    """The long way round."""
    batch, heads, time, d_k = x.shape
    return x.permute(0, 2, 1, 3).contiguous().view(batch, time, heads * d_k)
