"""What `attention.padding_mask` demands."""

from __future__ import annotations

import torch

from course_lib import attention
from course_lib.checks.exercise import Case, Exercise

padding_mask = Exercise("attention.padding_mask", points=1, reference=attention.padding_mask)


@padding_mask.cases
def _(draw):
    def rows(*lengths, left=False, width=None):
        width = width or max(lengths)
        mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
        return mask.flip(1) if left else mask

    yield Case("one text, no padding", {"attention_mask": rows(3)})
    yield Case("two texts, the second one padded", {"attention_mask": rows(3, 2)})
    yield Case("texts of one place", {"attention_mask": rows(1, 0, width=1)})
    yield Case("padding on the left", {"attention_mask": rows(1, 4, 2, left=True)})
    yield Case("a row of padding alone", {"attention_mask": rows(0, 2, width=3)})
    yield Case("booleans", {"attention_mask": rows(5, 3).bool()})
    lengths = [draw.random.randint(1, 7) for _ in range(4)]
    yield Case("four texts", {"attention_mask": rows(*lengths, width=7)})
    if draw.hidden:
        yield Case("any zeros and ones", {"attention_mask": draw.ids(2, 6, 9)})


@padding_mask.misconception
def true_means_padding(attention_mask):
    """Here True means "may attend". Yours is True for the padding, as the `key_padding_mask` of
    `torch.nn.MultiheadAttention`: turn it round."""
    return (attention_mask == 0)[:, None, None, :]


@padding_mask.misconception
def leaves_out_the_axes_of_heads_and_targets(attention_mask):
    """The values are right, but the shape is [batch, source]. Beside scores of shape [batch,
    heads, target, source] torch would read its first axis as targets. Put two axes of size 1
    between the two."""
    return attention_mask.bool()


@padding_mask.misconception
def leaves_out_the_axis_of_the_heads(attention_mask):
    """One axis is missing: scores have four, [batch, heads, target, source], and yours has three.
    Lined up from the right, its batch would meet the heads."""
    return attention_mask.bool()[:, None, :]


@padding_mask.misconception
def hides_the_queries_and_not_the_keys(attention_mask):
    """The padding has to be hidden as a key, from whoever looks: it belongs on the last axis. Yours
    has it on the axis of the targets."""
    return attention_mask.bool()[:, None, :, None]


@padding_mask.misconception
def puts_the_keys_right_after_the_batch(attention_mask):
    """The two new axes stand at the end. The keys belong on the last axis: [batch, 1, 1,
    source]."""
    return attention_mask.bool()[:, :, None, None]


@padding_mask.misconception
def blocks_the_rows_of_padding_as_well(attention_mask):
    """Yours is [batch, 1, source, source] and forbids padded queries to look at anything. Nobody
    reads what they find, so it is enough, and cheaper, to hide the keys: [batch, 1, 1,
    source]."""
    kept = attention_mask.bool()
    return (kept[:, :, None] & kept[:, None, :])[:, None]


@padding_mask.misconception
def gives_numbers_and_not_booleans_for_padding(attention_mask):
    """The shape and the pattern are right, but these are still the tokenizer's numbers. A mask is
    boolean here: `.bool()`."""
    return attention_mask.long()[:, None, None, :]


@padding_mask.misconception
def gives_what_is_added_to_the_scores_for_padding(attention_mask):
    """This is the other kind of mask, to be added to the scores (0 or a very negative number).
    Here a mask is boolean, True where a query may attend."""
    return (1.0 - attention_mask.float()[:, None, None, :]) * -1e9


@padding_mask.alternative
def one_axis_after_the_other(attention_mask):
    """`unsqueeze` twice."""
    return (attention_mask == 1).unsqueeze(1).unsqueeze(1)


@padding_mask.alternative
def by_view(attention_mask):
    """The sizes written out."""
    batch, source = attention_mask.shape
    return attention_mask.reshape(batch, 1, 1, source) != 0
