"""What the exercises of notebook 07 demand."""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import encoder_decoder, objectives
from course_lib.attention import causal_mask, padding_mask
from course_lib.checks.exercise import Case, Exercise, gradient_of
from course_lib.encoder_decoder import EncoderDecoderConfig

# --- shift_right ---------------------------------------------------------------------------

shift_right = Exercise("encoder_decoder.shift_right", points=1, reference=objectives.shift_right)


@shift_right.cases
def _(draw):
    def case(about, labels, start_id=1, pad_id=0):
        return Case(about, {"labels": labels, "start_id": start_id, "pad_id": pad_id})

    labels = draw.ids(50, 3, 6)
    ignored = labels.clone()
    ignored[0, 4:] = ignored[2, 1:] = -100
    yield case("one row", torch.tensor([[7, 8, 9]]))
    yield case("several rows of different ids", labels)
    yield case("labels of -100 at the end", ignored)
    yield case("a row of -100 alone", torch.tensor([[5, 6], [-100, -100]]))
    yield case("another start and another padding id", ignored, start_id=40, pad_id=41)
    yield case("one label a row", torch.tensor([[4], [-100]]))
    yield case("the label 0 is a label like others", torch.tensor([[0, 3, 0, -100]]), pad_id=9)
    if draw.hidden:
        longer = draw.ids(90, 5, 11).masked_fill(draw.normal(5, 11) > 1, -100)
        yield case("labels of -100 anywhere", longer, start_id=77, pad_id=3)


def _start(labels, start_id):
    return torch.full_like(labels[:, :1], start_id)


@shift_right.misconception
def rolls_the_last_label_to_the_front(labels, start_id, pad_id=0):
    """In yours each row begins with its own last label. The decoder would be shown the end of the
    answer before it begins: the start token belongs there."""
    shifted = labels.roll(1, dims=1)
    return shifted.masked_fill(shifted == -100, pad_id)


@shift_right.misconception
def shifts_left(labels, start_id, pad_id=0):
    """Your rows move to the left. Then the decoder reads, at each position, a label *later* than
    the one it is to guess. It has to read the one before: move to the right."""
    shifted = torch.cat([labels[:, 1:], _start(labels, start_id)], dim=1)
    return shifted.masked_fill(shifted == -100, pad_id)


@shift_right.misconception
def keeps_the_last_label(labels, start_id, pad_id=0):
    """Your rows are one longer than the labels. The last label is only written, never read: after
    it nothing is left to guess. Drop it."""
    shifted = torch.cat([_start(labels, start_id), labels], dim=1)
    return shifted.masked_fill(shifted == -100, pad_id)


@shift_right.misconception
def overwrites_the_first_label(labels, start_id, pad_id=0):
    """You put the start token in place of the first label. Nothing has moved: the decoder still
    reads, at each position, the very label it is to guess. Put it in front, and drop the last."""
    shifted = torch.cat([_start(labels, start_id), labels[:, 1:]], dim=1)
    return shifted.masked_fill(shifted == -100, pad_id)


@shift_right.misconception
def leaves_minus_one_hundred(labels, start_id, pad_id=0):
    """-100 is still there. It marks what the loss skips, but here it would be looked up in the
    token table, which has no such row. Turn it into `pad_id`."""
    return torch.cat([_start(labels, start_id), labels[:, :-1]], dim=1)


@shift_right.misconception
def pads_with_zero_whatever_is_asked(labels, start_id, pad_id=0):
    """You turn -100 into 0 always. Which id means padding is for the caller to say: `pad_id`."""
    return objectives.shift_right(labels, start_id, 0)


@shift_right.misconception
def starts_with_padding(labels, start_id, pad_id=0):
    """Your rows begin with `pad_id`. (T5 does use its padding id as the start, but then it is
    given as `start_id`.)"""
    return objectives.shift_right(labels, pad_id, pad_id)


@shift_right.misconception
def takes_the_label_zero_for_padding(labels, start_id, pad_id=0):
    """You replace everything that is not positive, and so the token 0 as well. Only -100 is to be
    replaced."""
    shifted = objectives.shift_right(labels, start_id, -100)
    return shifted.masked_fill(shifted <= 0, pad_id)


@shift_right.alternative
def by_assignment(labels, start_id, pad_id=0):
    """An empty tensor, filled in two steps."""
    shifted = torch.empty_like(labels)
    shifted[:, 1:] = labels[:, :-1]
    shifted[:, 0] = start_id
    shifted[shifted == -100] = pad_id
    return shifted


@shift_right.alternative
def with_padding_and_where(labels, start_id, pad_id=0):
    """`F.pad` adds a column in front and takes one off at the end."""
    shifted = F.pad(labels, (1, -1), value=start_id)
    return torch.where(shifted.eq(-100), pad_id, shifted)


# --- seq2seq_loss --------------------------------------------------------------------------

seq2seq_loss = Exercise("encoder_decoder.seq2seq_loss", points=2, reference=objectives.seq2seq_loss)


@seq2seq_loss.cases
def _(draw):
    def case(about, labels, vocab=7, scale=2.0, dtype=torch.float32, **options):
        logits = draw.normal(*labels.shape, vocab, scale=scale).to(dtype)
        return Case(about, {"logits": logits, "labels": labels}, **options)

    labels = draw.ids(7, 3, 5)
    ignored = labels.clone()
    ignored[0, 3:] = ignored[1, 1:] = -100
    shares = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]])
    yield Case(
        "two tokens with shares 0.5 and 0.8",
        {"logits": shares.log(), "labels": torch.tensor([[0, 2]])},
    )
    yield case("one token", torch.tensor([[3]]))
    yield case("several texts", labels)
    yield case("texts of different length", ignored)
    yield case("one text has no label", torch.tensor([[5, 2, 4], [-100, -100, -100]]))
    yield case("no label at all", torch.full((2, 3), -100))
    yield case("large logits", ignored, scale=300.0)
    yield case("double precision", ignored, dtype=torch.float64)
    yield case("the gradient", ignored, observe=gradient_of(0))
    yield case("the gradient without a label", torch.full((1, 2), -100), observe=gradient_of(0))
    if draw.hidden:
        longer = draw.ids(20, 4, 9).masked_fill(draw.normal(4, 9) > 0.5, -100)
        longer[0, 0] = 3
        yield case("labels of -100 anywhere", longer, vocab=20)


@seq2seq_loss.misconception
def shifts_once_more(logits, labels):
    """Your logits are compared with the *next* label, as in `causal_lm_loss`. There the model reads
    the very ids it is judged by; here it reads `shift_right(labels)`, and the shift is done."""
    return objectives.seq2seq_loss(logits[:, :-1], labels[:, 1:])


@seq2seq_loss.misconception
def is_nan_without_labels(logits, labels):
    """With no labelled token at all your mean is 0 / 0, which is NaN. Here it is to be 0: divide
    the sum by the number of labels, or by 1 if there are none."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


@seq2seq_loss.misconception
def divides_by_all_positions(logits, labels):
    """You divide by the number of positions, those with -100 included. Then a batch with more
    padding has a lower loss. Divide by the number of labels."""
    total = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    return total / max(labels.numel(), 1)


@seq2seq_loss.misconception
def takes_the_mean_of_the_means(logits, labels):
    """You take the mean of each text, then the mean of these. A token in a short text then counts
    more than one in a long text. Add up all tokens of the batch, and divide once."""
    per_row = [
        objectives.seq2seq_loss(logits[i : i + 1], labels[i : i + 1]) for i in range(len(labels))
    ]
    return torch.stack(per_row).mean()


@seq2seq_loss.misconception
def returns_the_sum(logits, labels):
    """This is the sum over all labelled tokens. Asked for is their mean."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")


@seq2seq_loss.misconception
def takes_ignored_labels_for_token_zero(logits, labels):
    """Where the label is -100 you train the model to write token 0. Those positions must not count
    at all, neither above nor below the bar."""
    return F.cross_entropy(logits.flatten(0, 1), labels.clamp(min=0).flatten())


@seq2seq_loss.misconception
def applies_softmax_first(logits, labels):
    """`F.cross_entropy` takes logits and applies softmax itself. You gave it probabilities, so
    softmax was applied twice."""
    return objectives.seq2seq_loss(logits.softmax(-1), labels)


@seq2seq_loss.misconception
def overflows_on_large_logits(logits, labels):
    """You take exp, divide and take the log. With large logits exp overflows to infinity, or a
    share becomes 0 and its log minus infinity. `log_softmax` does both steps in one, safely."""
    shares = logits.exp() / logits.exp().sum(-1, keepdim=True)
    kept = labels != -100
    chosen = shares.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return -chosen[kept].log().sum() / kept.sum().clamp(min=1)


@seq2seq_loss.misconception
def has_the_wrong_sign(logits, labels):
    """Yours is negative: the mean log-probability. A loss is to be made small, so turn its sign."""
    return -objectives.seq2seq_loss(logits, labels)


@seq2seq_loss.misconception
def is_a_plain_number(logits, labels):
    """You return a Python number, and no gradient can flow back through it. Return the tensor."""
    return objectives.seq2seq_loss(logits, labels).item()


@seq2seq_loss.misconception
def counts_in_bits(logits, labels):
    """Yours is in bits (logarithms to base 2). This course counts in nats (natural logarithms)."""
    return objectives.seq2seq_loss(logits, labels) / math.log(2)


@seq2seq_loss.alternative
def by_gathering(logits, labels):
    """`log_softmax`, and the number at each label picked out."""
    log_probs = logits.log_softmax(-1)
    kept = labels != -100
    chosen = log_probs.gather(-1, labels.masked_fill(~kept, 0)[..., None])[..., 0]
    return -(chosen * kept).sum() / max(1, int(kept.sum()))


@seq2seq_loss.alternative
def token_by_token(logits, labels):
    """Only the labelled rows, and log-sum-exp by hand."""
    kept = labels != -100
    rows, chosen = logits[kept], labels[kept]
    if len(chosen) == 0:
        return rows.sum()
    return (rows.logsumexp(-1) - rows[torch.arange(len(chosen)), chosen]).mean()


@seq2seq_loss.alternative
def with_torchs_own_mean(logits, labels):
    """torch's mean where there is a label."""
    if (labels == -100).all():
        return 0 * logits.sum()
    return F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100)


# --- CrossAttentionBlock -------------------------------------------------------------------

CrossAttentionBlock = Exercise(
    "encoder_decoder.CrossAttentionBlock",
    points=3,
    reference=encoder_decoder.CrossAttentionBlock,
)


def _random_state(shapes, seed):
    """Weights that follow from a seed and from the reference's shapes alone."""
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.5 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def _shapes(module):
    return {name: list(value.shape) for name, value in module.state_dict().items()}


@cache
def _right_shapes(reference, *sizes):
    """Kept, since building a model takes longer than running it."""
    return _shapes(reference(*sizes))


def _block_shapes(solution, width, n_heads, ffn_width):
    return _shapes(solution(width, n_heads, ffn_width))


def _block(solution, width, n_heads, ffn_width, weights_seed):
    sizes = (width, n_heads, ffn_width)
    block = solution(*sizes)
    shapes = _right_shapes(encoder_decoder.CrossAttentionBlock, *sizes)
    block.load_state_dict(_random_state(shapes, weights_seed))
    return block


def _block_output(solution, width, n_heads, ffn_width, weights_seed, x, context):
    return _block(solution, width, n_heads, ffn_width, weights_seed)(x, context)


def _masked_block_output(
    solution, width, n_heads, ffn_width, weights_seed, x, context, mask, context_mask
):
    block = _block(solution, width, n_heads, ffn_width, weights_seed)
    return block(x, context, mask, context_mask)


def _block_gradient(position):
    def observe(solution, width, n_heads, ffn_width, weights_seed, x, context):
        block = _block(solution, width, n_heads, ffn_width, weights_seed)
        return gradient_of(position)(block, x, context)

    return observe


@CrossAttentionBlock.cases
def _(draw):
    sizes = {"width": 6, "n_heads": 2, "ffn_width": 10}

    def case(about, x, context, observe=_block_output, **masks):
        seed = draw.random.randrange(10_000)
        arguments = {**sizes, "weights_seed": seed, "x": x, "context": context, **masks}
        return Case(about, arguments, observe)

    yield Case("the names and shapes of its parameters", sizes, _block_shapes)
    yield case("two tokens look at three", draw.normal(1, 2, 6), draw.normal(1, 3, 6))
    yield case("several texts", draw.normal(2, 4, 6), draw.normal(2, 3, 6))
    yield case("as many tokens on both sides", draw.normal(2, 3, 6), draw.normal(2, 3, 6))
    yield case(
        "a long context of large vectors", draw.normal(1, 2, 6), draw.normal(1, 7, 6, scale=9)
    )
    yield case("large vectors in the stream", draw.normal(2, 2, 6, scale=20), draw.normal(2, 5, 6))
    padding = padding_mask(torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]))
    masks = {"mask": causal_mask(4), "context_mask": padding}
    inputs = draw.normal(2, 4, 6), draw.normal(2, 4, 6)
    yield case("with a causal mask and a padded context", *inputs, _masked_block_output, **masks)
    masks = {"mask": causal_mask(3), "context_mask": None}
    inputs = draw.normal(2, 3, 6), draw.normal(2, 5, 6)
    yield case("with a causal mask alone", *inputs, _masked_block_output, **masks)
    masks = {"mask": None, "context_mask": padding}
    inputs = draw.normal(2, 3, 6), draw.normal(2, 4, 6)
    yield case("with a padded context alone", *inputs, _masked_block_output, **masks)
    inputs = draw.normal(1, 3, 6), draw.normal(1, 4, 6)
    yield case("the gradient with respect to x", *inputs, _block_gradient(0))
    yield case("the gradient with respect to the context", *inputs, _block_gradient(1))
    if draw.hidden:
        sizes = {"width": 12, "n_heads": 3, "ffn_width": 8}
        yield case("more heads, longer texts", draw.normal(3, 7, 12), draw.normal(3, 9, 12))


class _CrossBlock(encoder_decoder.CrossAttentionBlock):
    """The right steps one by one; the misconceptions put them together."""

    def look_at_itself(self, x, mask):
        return self.attention(self.norm1(x), mask=mask)

    def look_across(self, x, context, context_mask):
        return self.cross_attention(self.cross_norm(x), context, context_mask)

    def think(self, x):
        return self.feed_forward(self.norm2(x))


@CrossAttentionBlock.misconception
class ForgetsTheResidualOfTheCrossAttention(_CrossBlock):
    """What comes from the context replaces the stream, and all that the block knew about the text
    it writes is gone. Add it: x = x + cross_attention(...)."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = self.look_across(x, context, context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class ForgetsAllResiduals(_CrossBlock):
    """Each of your three steps replaces the stream. Each should be *added* to it."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = self.look_at_itself(x, mask)
        x = self.look_across(x, context, context_mask)
        return self.think(x)


@CrossAttentionBlock.misconception
class ForgetsTheLastResidual(_CrossBlock):
    """What your feed-forward returns replaces the stream, and with it all that the two attentions
    have brought. Add it, as after the other two steps."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.look_across(x, context, context_mask)
        return self.think(x)


@CrossAttentionBlock.misconception
class NormalisesTheStreamItself(_CrossBlock):
    """You write x = norm(x) and go on with that, so the stream is overwritten before each step. The
    norm belongs to what a step reads: x = x + step(norm(x)), and the stream on the left stays."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = self.norm1(x)
        x = x + self.attention(x, mask=mask)
        x = self.cross_norm(x)
        x = x + self.cross_attention(x, context, context_mask)
        x = self.norm2(x)
        return x + self.feed_forward(x)


@CrossAttentionBlock.misconception
class LooksAcrossFirst(_CrossBlock):
    """Your block looks at the context before it looks at its own text. The other way round: first
    self-attention, so that a token knows where the sentence stands, then the look across."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_across(x, context, context_mask)
        x = x + self.look_at_itself(x, mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class LooksAcrossLast(_CrossBlock):
    """Your cross-attention comes after the feed-forward. It stands between the self-attention and
    the feed-forward, which then works on what both have brought."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.think(x)
        return x + self.look_across(x, context, context_mask)


@CrossAttentionBlock.misconception
class LooksBothWaysAtOnce(_CrossBlock):
    """Both attentions read the same x, side by side. One after the other: the cross-attention reads
    the stream to which the self-attention has already added."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask) + self.look_across(x, context, context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class NeverLooksAcross(_CrossBlock):
    """The context plays no part in your block: it is the block of notebook 04. Add the step with
    `cross_attention`."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class ForgetsToHandOverTheContext(_CrossBlock):
    """Your cross-attention gets x alone, so it looks at its own text once more. Keys and values are
    to come from `context`: its second argument."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.cross_attention(self.cross_norm(x))
        return x + self.think(x)


@CrossAttentionBlock.misconception
class AsksFromTheContext(_CrossBlock):
    """Here the context asks and the text that is written answers. The other way round: queries come
    from x (the first argument), keys and values from the context (the second)."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.cross_attention(context, self.cross_norm(x), context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class NormalisesTheContextToo(_CrossBlock):
    """You send the context through `cross_norm` as well. The encoder has normalised it already, at
    its end; the norms of a block are for its own stream."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.look_across(x, self.cross_norm(context), context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class NormalisesTheContextAlone(_CrossBlock):
    """You normalise the context and not the stream. It is the stream that needs it: the norm stands
    before what each step reads of x. The encoder has normalised the context already."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.cross_attention(x, self.cross_norm(context), context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class ForgetsTheCrossNorm(_CrossBlock):
    """Your cross-attention reads the stream as it is. As before each step of a pre-norm block, a
    norm stands before it: `cross_norm`."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.cross_attention(x, context, context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class UsesNormsInOrderOfTheirNames(_CrossBlock):
    """Your cross-attention goes through `norm2` and the feed-forward through `cross_norm`. They are
    exchanged: `cross_norm` belongs to the cross-attention."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.cross_attention(self.norm2(x), context, context_mask)
        return x + self.feed_forward(self.cross_norm(x))


@CrossAttentionBlock.misconception
class UsesNormOneForBothAttentions(_CrossBlock):
    """Both attentions go through `norm1`. The cross-attention has a norm with weights of its own,
    `cross_norm`."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.cross_attention(self.norm1(x), context, context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class UsesTheSelfAttentionTwice(_CrossBlock):
    """You look across with `attention`. The look at the other text has projections of its own:
    `cross_attention`."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.attention(self.cross_norm(x), context, context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class NormalisesAfterAdding(_CrossBlock):
    """This is a post-norm block: it normalises the stream after each addition. Here the norm comes
    before each step, and the stream itself stays as it is."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = self.norm1(x + self.attention(x, mask=mask))
        x = self.cross_norm(x + self.cross_attention(x, context, context_mask))
        return self.norm2(x + self.feed_forward(x))


@CrossAttentionBlock.misconception
class ForgetsTheContextMask(_CrossBlock):
    """`context_mask` never reaches the cross-attention, so the padding of the source is read like
    words. Hand it on."""

    def forward(self, x, context, mask=None, context_mask=None):
        return super().forward(x, context, mask)


@CrossAttentionBlock.misconception
class ForgetsTheMask(_CrossBlock):
    """`mask` never reaches the self-attention: a token may then look at those that come after it.
    Hand it on by name, mask=mask."""

    def forward(self, x, context, mask=None, context_mask=None):
        return super().forward(x, context, None, context_mask)


@CrossAttentionBlock.misconception
class ForgetsBothMasks(_CrossBlock):
    """Neither mask reaches its attention. `mask` belongs to the self-attention, `context_mask` to
    the cross-attention."""

    def forward(self, x, context, mask=None, context_mask=None):
        return super().forward(x, context)


@CrossAttentionBlock.misconception
class SwapsTheMasks(_CrossBlock):
    """Your two masks are exchanged: `mask` says who in x may look at whom in x, `context_mask` who
    may look at whom in the context."""

    def forward(self, x, context, mask=None, context_mask=None):
        return super().forward(x, context, context_mask, mask)


@CrossAttentionBlock.misconception
class HidesTheFutureOfTheContext(_CrossBlock):
    """Your cross-attention gets the mask of the self-attention. The source is all there from the
    beginning, its end included: only `context_mask` limits the look at it."""

    def forward(self, x, context, mask=None, context_mask=None):
        return super().forward(x, context, mask, mask)


@CrossAttentionBlock.misconception
class HandsTheMaskOverAsContext(_CrossBlock):
    """`self.attention(x, mask)` gives the mask to the second argument of `MultiHeadAttention`,
    which is `context`. Name it: mask=mask."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.attention(self.norm1(x), mask)
        x = x + self.look_across(x, context, context_mask)
        return x + self.think(x)


@CrossAttentionBlock.alternative
class FromItsParts(nn.Module):
    """Without inheritance, with a short name for each step."""

    def __init__(self, width, n_heads, ffn_width):
        super().__init__()
        self.attention = encoder_decoder.MultiHeadAttention(width, n_heads)
        self.cross_attention = encoder_decoder.MultiHeadAttention(width, n_heads)
        self.ffn_in, self.ffn_out = nn.Linear(width, ffn_width), nn.Linear(ffn_width, width)
        self.norm1, self.norm2, self.cross_norm = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x, context, mask=None, context_mask=None):
        read = self.norm1(x)
        x = x + self.attention(read, read, mask)
        asked = self.cross_attention(self.cross_norm(x), context=context, mask=context_mask)
        x = x + asked
        return x + self.ffn_out(F.gelu(self.ffn_in(self.norm2(x))))


@CrossAttentionBlock.alternative
class AddsUpTheSteps(encoder_decoder.CrossAttentionBlock):
    """The stream as a running sum in place of a copy."""

    def forward(self, x, context, mask=None, context_mask=None):
        stream = x.clone()
        stream += self.attention(self.norm1(stream.clone()), mask=mask)
        stream = stream + self.cross_attention(self.cross_norm(stream), context, context_mask)
        return torch.add(stream, self.feed_forward(self.norm2(stream)))


# --- EncoderDecoder ------------------------------------------------------------------------

EncoderDecoder = Exercise(
    "encoder_decoder.EncoderDecoder", points=4, reference=encoder_decoder.EncoderDecoder
)


def _config(sizes):
    return EncoderDecoderConfig(
        vocab_size=13, max_length=9, width=8, n_heads=2, ffn_width=12, **sizes
    )


def _model_shapes(solution, **sizes):
    return _shapes(solution(_config(sizes)))


def _model(solution, sizes, weights_seed):
    model = solution(_config(sizes))
    shapes = _right_shapes(encoder_decoder.EncoderDecoder, _config(sizes))
    model.load_state_dict(_random_state(shapes, weights_seed))
    return model


def _shapes_of_model(solution, n_layers, tied, pad_id):
    return _model_shapes(solution, n_layers=n_layers, tied=tied, pad_id=pad_id)


def _logits(solution, n_layers, tied, pad_id, weights_seed, source_ids, target_ids):
    sizes = {"n_layers": n_layers, "tied": tied, "pad_id": pad_id}
    return _model(solution, sizes, weights_seed)(source_ids, target_ids)


def _in_two_steps(solution, n_layers, tied, pad_id, weights_seed, source_ids, target_ids):
    sizes = {"n_layers": n_layers, "tied": tied, "pad_id": pad_id}
    model = _model(solution, sizes, weights_seed)
    context = model.encode(source_ids)
    return context, model.decode(target_ids, context, source_ids)


@EncoderDecoder.cases
def _(draw):
    def ids(*shape):
        return 1 + draw.ids(12, *shape)  # no 0, the padding

    def case(about, source, target, observe=_logits, n_layers=1, tied=True, pad_id=0):
        sizes = {"n_layers": n_layers, "tied": tied, "pad_id": pad_id}
        arguments = {**sizes, "weights_seed": draw.random.randrange(10_000)}
        return Case(about, {**arguments, "source_ids": source, "target_ids": target}, observe)

    sizes = {"n_layers": 2, "tied": True, "pad_id": 0}
    yield Case("the names and shapes of its parameters", sizes, _shapes_of_model)
    yield case("one block each, short texts", ids(1, 3), ids(1, 2))
    yield case("two blocks each, several texts", ids(3, 4), ids(3, 6), n_layers=2)
    yield case("as many tokens on both sides", ids(2, 5), ids(2, 5))
    padded = ids(3, 5)
    padded[0, 3:] = padded[1, 1:] = 0
    yield case("sources of different length", padded, ids(3, 4))
    finished = ids(2, 6)
    finished[0, 3:] = 0
    yield case("a target with padding at its end", ids(2, 3), finished)
    yield case("another padding id", padded.masked_fill(padded == 0, 11), ids(3, 4), pad_id=11)
    yield case("a head of its own", ids(2, 3), ids(2, 4), tied=False)
    yield case("reading and writing as two steps", padded, ids(3, 4), _in_two_steps)
    if draw.hidden:
        longer = ids(4, 9)
        longer[2, 4:] = 0
        yield case("three blocks each, longer texts", longer, ids(4, 8), n_layers=3)


class _Model(encoder_decoder.EncoderDecoder):
    """The right steps one by one; the misconceptions change one."""

    def padding(self, source_ids):
        return padding_mask(source_ids != self.config.pad_id)

    def read(self, source_ids, mask):
        x = self.embed(source_ids)
        for block in self.encoder:
            x = block(x, mask)
        return self.encoder_norm(x)

    def write(self, target_ids, context, mask, context_mask):
        x = self.embed(target_ids)
        for block in self.decoder:
            x = block(x, context, mask, context_mask)
        return self.unembed(self.decoder_norm(x))


@EncoderDecoder.misconception
class TheDecoderLooksAhead(_Model):
    """Your decoder has no causal mask. While it learns it reads the whole right answer, and each
    position sees the very token it is to guess. Give its blocks `causal_mask`."""

    def decode(self, target_ids, context, source_ids):
        return self.write(target_ids, context, None, self.padding(source_ids))


@EncoderDecoder.misconception
class TheEncoderLooksOnlyBack(_Model):
    """Your encoder has a causal mask. The source is all there before the writing begins, so each of
    its tokens may look at every other: only padding is hidden."""

    def encode(self, source_ids):
        mask = causal_mask(source_ids.shape[1]) & self.padding(source_ids)
        return self.read(source_ids, mask)


@EncoderDecoder.misconception
class IgnoresPadding(_Model):
    """Padding of the source is read like words, by the encoder and by the decoder. What a sentence
    means then depends on how long its neighbours in the batch are. Make a `padding_mask` and give
    it to both."""

    def encode(self, source_ids):
        return self.read(source_ids, None)

    def decode(self, target_ids, context, source_ids):
        return self.write(target_ids, context, causal_mask(target_ids.shape[1]), None)


@EncoderDecoder.misconception
class IgnoresPaddingWhileReading(_Model):
    """Your encoder's tokens look at padding. (The decoder's do not.) Give the encoder's blocks the
    padding mask too."""

    def encode(self, source_ids):
        return self.read(source_ids, None)


@EncoderDecoder.misconception
class IgnoresPaddingWhileWriting(_Model):
    """Your encoder hides padding from itself, but the decoder's cross-attention looks at it. The
    vectors at padding are still there in the context: hide them once more, with `context_mask`."""

    def decode(self, target_ids, context, source_ids):
        return self.write(target_ids, context, causal_mask(target_ids.shape[1]), None)


@EncoderDecoder.misconception
class TakesPaddingForZero(_Model):
    """You compare with 0. Which id means padding stands in the config: `self.config.pad_id`."""

    def padding(self, source_ids):
        return padding_mask(source_ids != 0)

    def encode(self, source_ids):
        return self.read(source_ids, self.padding(source_ids))

    def decode(self, target_ids, context, source_ids):
        mask = causal_mask(target_ids.shape[1])
        return self.write(target_ids, context, mask, self.padding(source_ids))


@EncoderDecoder.misconception
class LooksAtPaddingAlone(_Model):
    """Your padding mask is the wrong way round: True means "may attend", so it is True where the id
    is *not* the padding id."""

    def padding(self, source_ids):
        return padding_mask(source_ids == self.config.pad_id)

    def encode(self, source_ids):
        return self.read(source_ids, self.padding(source_ids))

    def decode(self, target_ids, context, source_ids):
        mask = causal_mask(target_ids.shape[1])
        return self.write(target_ids, context, mask, self.padding(source_ids))


@EncoderDecoder.misconception
class HidesPaddingOfTheTargetToo(_Model):
    """You hide padding in the target as well. It stands at the end, where the causal mask hides it
    from every real token already. Hiding it again changes what comes out at the padding, and takes
    the start token away from models that use the padding id for it, as T5 does."""

    def decode(self, target_ids, context, source_ids):
        mask = causal_mask(target_ids.shape[1]) & self.padding(target_ids)
        return self.write(target_ids, context, mask, self.padding(source_ids))


@EncoderDecoder.misconception
class ForgetsTheEncoderNorm(_Model):
    """The context leaves your encoder as it is. In a pre-norm model the stream has been normalised
    by nobody at that point: apply `encoder_norm` at the end of `encode`."""

    def encode(self, source_ids):
        x = self.embed(source_ids)
        for block in self.encoder:
            x = block(x, self.padding(source_ids))
        return x


@EncoderDecoder.misconception
class ForgetsTheDecoderNorm(_Model):
    """The stream goes into the head as it is. As in every pre-norm model, a last norm stands before
    the head: `decoder_norm`."""

    def decode(self, target_ids, context, source_ids):
        mask, x = causal_mask(target_ids.shape[1]), self.embed(target_ids)
        for block in self.decoder:
            x = block(x, context, mask, self.padding(source_ids))
        return self.unembed(x)


@EncoderDecoder.misconception
class GoesThroughTheWrongNorm(_Model):
    """Reader and writer share one norm in yours. Each has a norm with weights of its own:
    `encoder_norm` at the end of `encode`, `decoder_norm` at the end of `decode`."""

    def decode(self, target_ids, context, source_ids):
        mask, x = causal_mask(target_ids.shape[1]), self.embed(target_ids)
        for block in self.decoder:
            x = block(x, context, mask, self.padding(source_ids))
        return self.unembed(self.encoder_norm(x))


@EncoderDecoder.misconception
class LooksAtTheEmbeddedSource(_Model):
    """Your decoder looks at the embedded source, before any block has read it. The context is what
    comes out at the *end* of the encoder."""

    def encode(self, source_ids):
        return self.encoder_norm(self.embed(source_ids))


@EncoderDecoder.misconception
class GoesUpInStep(_Model):
    """In yours each decoder block looks at the encoder block of its own height, as some drawings
    suggest. Every decoder block looks at the same context: the *last* output of the encoder."""

    def forward(self, source_ids, target_ids):
        padding, mask = self.padding(source_ids), causal_mask(target_ids.shape[1])
        context, x = self.embed(source_ids), self.embed(target_ids)
        for reader, writer in zip(self.encoder, self.decoder):
            context = reader(context, padding)
            x = writer(x, self.encoder_norm(context), mask, padding)
        return self.unembed(self.decoder_norm(x))


@EncoderDecoder.misconception
class HandsEveryBlockTheSameText(_Model):
    """Each of your encoder's blocks reads the embedded text, and only what the last one makes of it
    is kept. A block goes on from where the block before it stopped: x = block(x, mask)."""

    def encode(self, source_ids):
        x = self.embed(source_ids)
        for block in self.encoder:
            read = block(x, self.padding(source_ids))
        return self.encoder_norm(read)


@EncoderDecoder.misconception
class HidesTheRestOfTheSource(_Model):
    """Your cross-attention gets a causal mask too, so the first words are written with only a part
    of the source in sight. The source is all there before the writing begins: `context_mask` hides
    its padding and nothing else."""

    def decode(self, target_ids, context, source_ids):
        target, source = target_ids.shape[1], source_ids.shape[1]
        context_mask = self.padding(source_ids) & causal_mask(target, source)
        return self.write(target_ids, context, causal_mask(target), context_mask)


@EncoderDecoder.misconception
class ShiftsInsideTheModel(_Model):
    """Your model shifts the target itself. What it is given is shifted already (`shift_right`), and
    while it writes there is nothing to shift. Models never shift in this course."""

    def forward(self, source_ids, target_ids):
        return super().forward(source_ids, objectives.shift_right(target_ids, 1))


@EncoderDecoder.misconception
class ReturnsProbabilities(_Model):
    """You end with a softmax. Return the logits: the loss applies softmax itself."""

    def decode(self, target_ids, context, source_ids):
        return super().decode(target_ids, context, source_ids).softmax(-1)


@EncoderDecoder.misconception
class StopsAtTheVectors(_Model):
    """You return the decoder's vectors. One step is missing: `unembed` turns them into a score for
    each token of the vocabulary."""

    def unembed(self, x):
        return x


@EncoderDecoder.misconception
class SwapsSourceAndTarget(_Model):
    """You encode the target and decode the source. The source is what is read, the target what is
    written."""

    def forward(self, source_ids, target_ids):
        return super().forward(target_ids, source_ids)


@EncoderDecoder.alternative
class AllInOne(encoder_decoder.EncoderDecoder):
    """The masks written out, positions looked up by hand."""

    def embed(self, ids):
        positions = torch.arange(ids.shape[1])
        return self.token_embedding(ids) + self.position_embedding(positions)

    def encode(self, source_ids):
        x = self.embed(source_ids)
        mask = (source_ids != self.config.pad_id)[:, None, None]
        for block in self.encoder:
            x = block(x, mask=mask)
        return self.encoder_norm(x)

    def decode(self, target_ids, context, source_ids):
        x, time = self.embed(target_ids), torch.arange(target_ids.shape[1])
        past = (time[:, None] >= time)[None, None]
        seen = (source_ids != self.config.pad_id)[:, None, None]
        for block in self.decoder:
            x = block(x, context, mask=past, context_mask=seen)
        return self.unembed(self.decoder_norm(x))


@EncoderDecoder.alternative
class WithMasksAtFullSize(encoder_decoder.EncoderDecoder):
    """Masks of [batch, 1, target, source], nothing left to broadcasting over targets."""

    def encode(self, source_ids):
        length = source_ids.shape[1]
        mask = padding_mask(source_ids.ne(self.config.pad_id)).expand(-1, 1, length, length)
        x = self.embed(source_ids)
        for block in self.encoder:
            x = block(x, mask)
        return self.encoder_norm(x)

    def decode(self, target_ids, context, source_ids):
        batch, length = target_ids.shape
        mask = causal_mask(length).expand(batch, 1, length, length)
        seen = padding_mask(source_ids.ne(self.config.pad_id)).expand(-1, 1, length, -1)
        x = self.embed(target_ids)
        for block in self.decoder:
            x = block(x, context, mask, seen)
        return self.unembed(self.decoder_norm(x))


# --- greedy_translate ----------------------------------------------------------------------

greedy_translate = Exercise(
    "encoder_decoder.greedy_translate", points=3, reference=encoder_decoder.greedy_translate
)

_VOCAB = 20


class _Scripted:
    """Stands in for a trained model. What it scores highest follows from the source and from all
    that is written so far; row r ends after as many tokens as its first source id says, and would
    go on after that."""

    def __init__(self, end_id):
        self.end_id = end_id

    def __call__(self, source_ids, target_ids):
        places = torch.arange(1, target_ids.shape[1] + 1)
        mix = (target_ids * places**2).cumsum(1) + 3 * source_ids.sum(1, keepdim=True) + places
        best = mix % _VOCAB
        best = torch.where(best == self.end_id, (best + 1) % _VOCAB, best)
        best = torch.where(places == source_ids[:, :1] + 1, self.end_id, best)
        return 1 - (torch.arange(_VOCAB) - best[..., None]).abs() / 4.0


def _written(solution, source_ids, start_id, end_id, max_length):
    return solution(_Scripted(end_id), source_ids, start_id, end_id, max_length)


@greedy_translate.cases
def _(draw):
    def case(about, lengths, max_length=12, start_id=1, end_id=2):
        source = torch.cat([torch.tensor(lengths)[:, None], 3 + draw.ids(9, len(lengths), 3)], 1)
        ids = {"start_id": start_id, "end_id": end_id, "max_length": max_length}
        return Case(about, {"source_ids": source, **ids}, _written)

    yield case("one row of three tokens", [3])
    yield case("rows that end at different steps", [4, 1, 6])
    yield case("a row that ends at once", [0, 3])
    yield case("all rows end at once", [0, 0])
    yield case("a row that is cut off", [2, 9], max_length=5)
    yield case("the end comes just in time", [4, 2], max_length=5)
    yield case("one token at most", [3, 0], max_length=1)
    yield case("other special ids", [5, 2, 3], start_id=17, end_id=0)
    yield case("start and end are the same id", [3, 5], start_id=2)
    if draw.hidden:
        yield case("many rows", [draw.random.randrange(15) for _ in range(12)], max_length=14)


def _write(model, source_ids, start_id, end_id, max_length, scores=None, fill=None, stop=None):
    """The right loop, with parts that a misconception can replace."""
    scores = scores or (lambda model, source, target: model(source, target)[:, -1])
    target = source_ids.new_full((len(source_ids), 1), start_id)
    finished = torch.zeros(len(source_ids), dtype=torch.bool)
    for _ in range(max_length):
        token = scores(model, source_ids, target).argmax(-1)
        token = token.masked_fill(finished, end_id if fill is None else fill)
        target = torch.cat([target, token[:, None]], dim=1)
        finished = finished | (token == end_id)
        if (stop or torch.all)(finished):
            break
    return target[:, 1:]


@greedy_translate.misconception
def keeps_the_start_token(model, source_ids, start_id, end_id, max_length):
    """Your rows begin with the start token. It only gets the writing going; leave it out of what
    you return."""
    written = _write(model, source_ids, start_id, end_id, max_length)
    return torch.cat([torch.full_like(written[:, :1], start_id), written], dim=1)


@greedy_translate.misconception
def goes_on_writing_finished_rows(model, source_ids, start_id, end_id, max_length):
    """Rows that have ended go on being written as long as another row needs. What comes after the
    end token means nothing: fill a finished row up with the end token."""
    target = source_ids.new_full((len(source_ids), 1), start_id)
    finished = torch.zeros(len(source_ids), dtype=torch.bool)
    for _ in range(max_length):
        token = model(source_ids, target)[:, -1].argmax(-1)
        target = torch.cat([target, token[:, None]], dim=1)
        finished = finished | (token == end_id)
        if finished.all():
            break
    return target[:, 1:]


@greedy_translate.misconception
def waits_until_all_end_at_once(model, source_ids, start_id, end_id, max_length):
    """You stop when all rows write the end token *at the same step*, and rows seldom do. Remember
    for each row whether it has ended at some step."""
    target = source_ids.new_full((len(source_ids), 1), start_id)
    for _ in range(max_length):
        token = model(source_ids, target)[:, -1].argmax(-1)
        target = torch.cat([target, token[:, None]], dim=1)
        if (token == end_id).all():
            break
    return target[:, 1:]


@greedy_translate.misconception
def stops_when_one_row_ends(model, source_ids, start_id, end_id, max_length):
    """You stop as soon as one row has ended, and the others are cut off in the middle. Go on until
    all have ended."""
    return _write(model, source_ids, start_id, end_id, max_length, stop=torch.any)


@greedy_translate.misconception
def always_takes_all_the_steps(model, source_ids, start_id, end_id, max_length):
    """You always take `max_length` steps. Stop when every row has ended: the columns after that
    hold nothing but end tokens, and each has cost a run of the model."""
    return _write(
        model, source_ids, start_id, end_id, max_length, stop=lambda finished: finished.numel() == 0
    )


@greedy_translate.misconception
def fills_up_with_zero(model, source_ids, start_id, end_id, max_length):
    """You fill finished rows up with 0. Asked for is the end token."""
    return _write(model, source_ids, start_id, end_id, max_length, fill=0)


@greedy_translate.misconception
def shows_the_model_only_the_last_token(model, source_ids, start_id, end_id, max_length):
    """The model gets the newest token alone and has forgotten all that it wrote before. Give it the
    whole target so far. (A cache, as in notebook 06, would remember; this model has none.)"""
    return _write(
        model, source_ids, start_id, end_id, max_length, lambda m, s, t: m(s, t[:, -1:])[:, -1]
    )


@greedy_translate.misconception
def takes_the_first_position(model, source_ids, start_id, end_id, max_length):
    """You take the logits of the first position, so every step guesses the first token again. The
    next token is scored at the last position: [:, -1]."""
    return _write(model, source_ids, start_id, end_id, max_length, lambda m, s, t: m(s, t)[:, 0])


@greedy_translate.misconception
def counts_the_start_token(model, source_ids, start_id, end_id, max_length):
    """You write one token too few when the room is short: `max_length` counts what is returned, and
    the start token is not."""
    if max_length == 1:
        return source_ids[:, :0]
    return _write(model, source_ids, start_id, end_id, max_length - 1)


@greedy_translate.misconception
def begins_with_the_source(model, source_ids, start_id, end_id, max_length):
    """Your target begins with the first token of the source. The source is read by the encoder; the
    target begins with `start_id`."""
    first = {tuple(row): row[:1] for row in source_ids.tolist()}
    rows = torch.tensor([first[tuple(row)] for row in source_ids.tolist()])
    target, finished = rows, torch.zeros(len(rows), dtype=torch.bool)
    for _ in range(max_length):
        token = model(source_ids, target)[:, -1].argmax(-1).masked_fill(finished, end_id)
        target = torch.cat([target, token[:, None]], dim=1)
        finished = finished | (token == end_id)
        if finished.all():
            break
    return target[:, 1:]


@greedy_translate.misconception
def takes_the_start_for_an_end(model, source_ids, start_id, end_id, max_length):
    """You look for the end token in the whole target, the start included. Where start and end are
    the same id, as in some models, nothing is ever written. Look at the new tokens alone."""
    target = source_ids.new_full((len(source_ids), 1), start_id)
    for _ in range(max_length):
        finished = (target == end_id).any(1)
        if finished.all():
            break
        token = model(source_ids, target)[:, -1].argmax(-1).masked_fill(finished, end_id)
        target = torch.cat([target, token[:, None]], dim=1)
    return target[:, 1:]


@greedy_translate.misconception
def takes_the_least_likely(model, source_ids, start_id, end_id, max_length):
    """You take the token with the lowest score. Greedy means the highest: `argmax`."""
    return _write(model, source_ids, start_id, end_id, max_length, lambda m, s, t: -m(s, t)[:, -1])


@greedy_translate.misconception
def leaves_out_the_end(model, source_ids, start_id, end_id, max_length):
    """You stop before the end token is written down. It belongs to the text: whoever reads your
    rows sees by it that a text was finished and not cut off."""
    target = source_ids.new_full((len(source_ids), 1), start_id)
    finished = torch.zeros(len(source_ids), dtype=torch.bool)
    for _ in range(max_length):
        token = model(source_ids, target)[:, -1].argmax(-1).masked_fill(finished, end_id)
        finished = finished | (token == end_id)
        if finished.all():
            break
        target = torch.cat([target, token[:, None]], dim=1)
    return target[:, 1:]


@greedy_translate.alternative
def row_by_row(model, source_ids, start_id, end_id, max_length):
    """Each row by itself, then filled up."""
    rows = []
    for source in source_ids:
        row = [start_id]
        while len(row) <= max_length and (len(row) == 1 or row[-1] != end_id):
            row.append(int(model(source[None], torch.tensor([row]))[0, -1].argmax()))
        rows.append(row[1:])
    longest = max(map(len, rows))
    return torch.tensor([row + [end_id] * (longest - len(row)) for row in rows])


@greedy_translate.alternative
def tidied_up_at_the_end(model, source_ids, start_id, end_id, max_length):
    """Write on, and overwrite what comes after the first end of each row."""
    target = torch.full((len(source_ids), 1), start_id)
    while target.shape[1] <= max_length and not (target[:, 1:] == end_id).any(1).all():
        best = model(source_ids, target)[:, -1:].argmax(-1)
        target = torch.cat([target, best], dim=1)
    written = target[:, 1:]
    ended_before = (written == end_id).cumsum(1) - (written == end_id).long() > 0
    return written.masked_fill(ended_before, end_id)


# --- corrupt_spans -------------------------------------------------------------------------

corrupt_spans = Exercise(
    "encoder_decoder.corrupt_spans", points=2, reference=objectives.corrupt_spans
)

_SENTINELS = [90, 91, 92, 93, 94, 95]


@corrupt_spans.cases
def _(draw):
    def case(about, ids, spans, sentinel_ids=_SENTINELS):
        return Case(about, {"ids": ids, "spans": spans, "sentinel_ids": sentinel_ids})

    ids = draw.ids(80, 12).tolist()
    yield case("one token in the middle", [10, 11, 12], [(1, 2)])
    yield case("two spans", [10, 11, 12, 13, 14, 15, 16], [(1, 3), (5, 6)])
    yield case("a span at the start, one at the end", ids, [(0, 2), (9, 12)])
    yield case("spans of different length", ids, [(1, 2), (3, 7), (9, 11)])
    yield case("one token between two spans", ids, [(2, 4), (5, 8)])
    yield case("nothing is cut out", ids[:4], [])
    yield case("all is cut out", ids[:4], [(0, 4)])
    yield case("sentinels that are not in order", ids, [(1, 3), (6, 8)], [99, 7000, 5000, 6000])
    yield case("no more sentinels than needed", ids, [(1, 3), (6, 8)], [97, 98, 96])
    yield case("a text that repeats itself", [5, 5, 5, 6, 5, 5, 5], [(0, 1), (2, 4)])
    if draw.hidden:
        spans, position = [], draw.random.randrange(3)
        while len(spans) < 5:
            end = position + draw.random.randrange(1, 5)
            spans.append((position, end))
            position = end + draw.random.randrange(1, 4)
        yield case("a longer text", draw.ids(80, 50).tolist(), spans)


def _pieces(ids, spans):
    """(what stands before each span, the span), and the rest of the text."""
    starts = [0, *(end for _, end in spans)]
    before = [list(ids[a:b]) for a, (b, _) in zip(starts, spans)]
    return list(zip(before, [list(ids[a:b]) for a, b in spans])), list(ids[starts[-1] :])


@corrupt_spans.misconception
def forgets_the_last_sentinel(ids, spans, sentinel_ids):
    """Your target ends with its last span. One more sentinel ends it, so that whoever reads the
    target knows that the span is complete."""
    corrupted, target = objectives.corrupt_spans(ids, spans, sentinel_ids)
    return corrupted, target[:-1]


@corrupt_spans.misconception
def includes_the_end(ids, spans, sentinel_ids):
    """Your spans are one token too long. A span (start, end) is half-open, as in Python's slices:
    `ids[end]` is not part of it."""
    longer = [(start, end + 1) for start, end in spans]
    pieces, rest = _pieces(ids, longer)
    corrupted, target = [], []
    for (before, span), sentinel in zip(pieces, sentinel_ids):
        corrupted += [*before, sentinel]
        target += [sentinel, *span]
    return corrupted + rest, [*target, sentinel_ids[len(spans)]]


@corrupt_spans.misconception
def hides_each_token_by_itself(ids, spans, sentinel_ids):
    """You put one sentinel for every token that is cut out, as BERT's [MASK] does. Here a whole
    span is replaced by a single sentinel: how long it was is for the model to find out."""
    corrupted, target = list(ids), []
    for (start, end), sentinel in zip(spans, sentinel_ids):
        corrupted[start:end] = [sentinel] * (end - start)
        target += [sentinel, *ids[start:end]]
    return corrupted, [*target, sentinel_ids[len(spans)]]


@corrupt_spans.misconception
def uses_one_sentinel_for_all(ids, spans, sentinel_ids):
    """Every span gets the first sentinel. With several holes nobody could tell which answer belongs
    to which hole: span i takes `sentinel_ids[i]`."""
    return (
        objectives.corrupt_spans(ids, spans, sentinel_ids)
        if not spans
        else tuple(
            [sentinel_ids[0] if i in sentinel_ids else i for i in part]
            for part in objectives.corrupt_spans(ids, spans, sentinel_ids)
        )
    )


@corrupt_spans.misconception
def leaves_no_trace_of_the_span(ids, spans, sentinel_ids):
    """The spans are gone from your corrupted text without a trace. A sentinel stands where each one
    was."""
    corrupted, target = objectives.corrupt_spans(ids, spans, sentinel_ids)
    return [i for i in corrupted if i not in sentinel_ids], target


@corrupt_spans.misconception
def asks_for_the_whole_text(ids, spans, sentinel_ids):
    """Your target is the whole text. (BART is trained that way.) T5 asks for what is missing and no
    more, which makes the targets short and the training cheap: sentinels and spans."""
    corrupted, _ = objectives.corrupt_spans(ids, spans, sentinel_ids)
    return corrupted, list(ids)


@corrupt_spans.misconception
def answers_without_sentinels(ids, spans, sentinel_ids):
    """Your target holds the spans and no sentinels between them. Where does one end and the next
    begin? Each span is preceded by its sentinel."""
    corrupted, target = objectives.corrupt_spans(ids, spans, sentinel_ids)
    return corrupted, [i for i in target if i not in sentinel_ids]


@corrupt_spans.misconception
def puts_the_sentinel_after_its_span(ids, spans, sentinel_ids):
    """In your target each sentinel stands behind its span. It comes first: it says which hole the
    tokens after it fill."""
    corrupted, _ = objectives.corrupt_spans(ids, spans, sentinel_ids)
    target = []
    for (start, end), sentinel in zip(spans, sentinel_ids):
        target += [*ids[start:end], sentinel]
    return corrupted, [*target, sentinel_ids[len(spans)]]


@corrupt_spans.misconception
def loses_its_place(ids, spans, sentinel_ids):
    """After the first span you cut in the wrong place. Your text became shorter, and the spans
    still count from the beginning of the *original*. Build a new list from pieces of the old one,
    or work from the last span to the first."""
    corrupted, target = list(ids), []
    for (start, end), sentinel in zip(spans, sentinel_ids):
        target += [sentinel, *corrupted[start:end]]
        corrupted[start:end] = [sentinel]
    return corrupted, [*target, sentinel_ids[len(spans)]]


@corrupt_spans.misconception
def drops_what_follows_the_last_span(ids, spans, sentinel_ids):
    """Your corrupted text ends with its last sentinel. What stands after the last span belongs to
    it too."""
    corrupted, target = objectives.corrupt_spans(ids, spans, sentinel_ids)
    rest = len(ids) - (spans[-1][1] if spans else 0)
    return corrupted[: len(corrupted) - rest], target


@corrupt_spans.misconception
def ends_with_the_last_of_all_sentinels(ids, spans, sentinel_ids):
    """Your target ends with the last sentinel of the list. It should end with the next one that is
    not used yet: `sentinel_ids[len(spans)]`."""
    corrupted, target = objectives.corrupt_spans(ids, spans, sentinel_ids)
    return corrupted, [*target[:-1], sentinel_ids[-1]]


@corrupt_spans.misconception
def ends_with_the_last_sentinel_again(ids, spans, sentinel_ids):
    """Your target ends with the sentinel of its last span once more. One that has not been used yet
    ends it: `sentinel_ids[len(spans)]`."""
    corrupted, target = objectives.corrupt_spans(ids, spans, sentinel_ids)
    return corrupted, [*target[:-1], sentinel_ids[len(spans) - 1]]


@corrupt_spans.misconception
def returns_target_first(ids, spans, sentinel_ids):
    """Both lists are right, in the wrong order: first the corrupted text, then the target."""
    return objectives.corrupt_spans(ids, spans, sentinel_ids)[::-1]


@corrupt_spans.alternative
def from_the_end(ids, spans, sentinel_ids):
    """Cut from the last span to the first, so that no place moves."""
    corrupted, target = list(ids), [sentinel_ids[len(spans)]]
    for i in reversed(range(len(spans))):
        start, end = spans[i]
        target = [sentinel_ids[i]] + list(ids[start:end]) + target
        corrupted[start:end] = [sentinel_ids[i]]
    return corrupted, target


@corrupt_spans.alternative
def token_by_token(ids, spans, sentinel_ids):  # noqa: F811
    """One walk through the text, asking of each token which span it is in."""
    corrupted, target = [], []
    for place, token in enumerate(ids):
        inside = [i for i, (start, end) in enumerate(spans) if start <= place < end]
        if not inside:
            corrupted.append(token)
            continue
        if place == spans[inside[0]][0]:
            corrupted.append(sentinel_ids[inside[0]])
            target.append(sentinel_ids[inside[0]])
        target.append(token)
    return corrupted, target + [sentinel_ids[len(spans)]]


# --- fill_spans ----------------------------------------------------------------------------

fill_spans = Exercise("encoder_decoder.fill_spans", points=2, reference=objectives.fill_spans)


@fill_spans.cases
def _(draw):
    def case(about, corrupted, target, sentinel_ids=_SENTINELS):
        arguments = {"corrupted": corrupted, "target": target, "sentinel_ids": sentinel_ids}
        return Case(about, arguments)

    ids = draw.ids(80, 12).tolist()
    some, more = ids[:5], ids[5:]
    yield case("one hole", [10, 90, 12], [90, 11, 91])
    yield case("two holes", [10, 90, 13, 14, 91, 16], [90, 11, 12, 91, 15, 92])
    yield case("without the last sentinel", [10, 90, 13, 14, 91, 16], [90, 11, 12, 91, 15])
    yield case("a long span without the last sentinel", [1, 90, 2], [90, *ids])
    yield case("holes at the start and at the end", [90, *some, 91], [90, 7, 91, 8, 9, 92])
    yield case("a long span", [1, 90, 2], [90, *ids, 91])
    yield case("no hole", some, [90])
    yield case("no hole and an empty target", some, [])
    yield case("everything is a hole", [90], [90, *some, 91])
    yield case("an empty answer", [1, 90, 2, 91, 3], [90, 91, 4, 92])
    other = [99, 7000, 5000, 6000]
    target = [99, *some, 7000, *more, 5000]
    yield case("sentinels that are not in order", [1, 99, 2, 7000, 3], target, other)
    yield case("sentinels among the smallest ids", [40, 3, 50, 4], [3, 41, 42, 4, 51, 5], [3, 4, 5])
    yield case("more tokens after a hole than in it", [90, *some, 91, *more], [90, 1, 91, 2])
    if draw.hidden:
        ids, spans = draw.ids(80, 40).tolist(), [(2, 5), (6, 7), (15, 22), (30, 40)]
        yield case("a longer text", *objectives.corrupt_spans(ids, spans, _SENTINELS))


def _spans_of(target, sentinel_ids):
    spans = {}
    for i in target:
        if i in sentinel_ids:
            span = spans[i] = []
        else:
            span.append(i)
    return spans


@fill_spans.misconception
def keeps_the_sentinels(corrupted, target, sentinel_ids):
    """The sentinels are still in your text, in front of the spans. A span comes in the *place* of
    its sentinel."""
    spans = _spans_of(target, sentinel_ids)
    return [j for i in corrupted for j in ([i, *spans[i]] if i in sentinel_ids else [i])]


@fill_spans.misconception
def loses_the_last_span_without_an_end(corrupted, target, sentinel_ids):
    """When the target does not end with a sentinel, your last span is lost: you store a span only
    when the next sentinel comes. A model that was cut off writes no last sentinel; what it wrote
    still counts."""
    complete = dict(list(_spans_of(target, sentinel_ids).items())[:-1])
    if target and target[-1] in sentinel_ids:
        complete = _spans_of(target, sentinel_ids)
    filled = []
    for i in corrupted:
        filled += complete.get(i, []) if i in sentinel_ids else [i]
    return filled


@fill_spans.misconception
def loses_the_last_token_without_an_end(corrupted, target, sentinel_ids):
    """You always take the last token of the target off, as if it were the closing sentinel. It may
    be missing, and then you lose a real token: look whether it is one."""
    spans = _spans_of(target[:-1], sentinel_ids)
    filled = []
    for i in corrupted:
        filled += spans.get(i, []) if i in sentinel_ids else [i]
    return filled


@fill_spans.misconception
def takes_one_token_for_each_hole(corrupted, target, sentinel_ids):
    """Each hole gets one token in yours. A span may be longer, or empty: it goes on until the next
    sentinel."""
    spans = _spans_of(target, sentinel_ids)
    return [j for i in corrupted for j in (spans[i][:1] if i in sentinel_ids else [i])]


@fill_spans.misconception
def nests_the_spans(corrupted, target, sentinel_ids):
    """Your result has lists inside the list: `append` puts the whole span in as one item. `extend`,
    or `+=`, puts in its tokens."""
    spans = _spans_of(target, sentinel_ids)
    return [spans[i] if i in sentinel_ids else i for i in corrupted]


@fill_spans.misconception
def fills_from_the_last_hole(corrupted, target, sentinel_ids):
    """Your spans land in the holes in reverse order. Which hole a span belongs to is said by the
    sentinel before it."""
    holes = [i for i in corrupted if i in sentinel_ids]
    spans = list(_spans_of(target, sentinel_ids).values())[: len(holes)]
    mirrored = dict(zip(reversed(holes), spans))
    return [j for i in corrupted for j in (mirrored[i] if i in sentinel_ids else [i])]


@fill_spans.misconception
def forgets_the_text_after_the_last_hole(corrupted, target, sentinel_ids):
    """What stands after the last hole is missing from your text."""
    holes = [place for place, i in enumerate(corrupted) if i in sentinel_ids]
    kept = corrupted[: holes[-1] + 1] if holes else []
    return objectives.fill_spans(kept, target[: len(target) if holes else 0], sentinel_ids)


@fill_spans.misconception
def returns_the_spans_alone(corrupted, target, sentinel_ids):
    """These are the spans by themselves. Asked for is the whole text, with the spans back in their
    places."""
    spans = _spans_of(target, sentinel_ids)
    return [j for i in corrupted if i in sentinel_ids for j in spans[i]]


@fill_spans.misconception
def leaves_the_holes_empty(corrupted, target, sentinel_ids):
    """The holes are closed and nothing is in them: your text is the corrupted one without its
    sentinels."""
    return [i for i in corrupted if i not in sentinel_ids]


@fill_spans.alternative
def by_looking_up_places(corrupted, target, sentinel_ids):
    """For each hole, find its sentinel in the target and read on until the next one."""
    filled = []
    for token in corrupted:
        if token not in sentinel_ids:
            filled.append(token)
            continue
        place = list(target).index(token) + 1
        while place < len(target) and target[place] not in sentinel_ids:
            filled.append(target[place])
            place += 1
    return filled


@fill_spans.alternative
def by_inserting_from_the_end(corrupted, target, sentinel_ids):
    """Cut the target at its sentinels, then put slices in, from the last to the first."""
    marks = [place for place, token in enumerate(target) if token in sentinel_ids]
    ends = [*marks[1:], len(target)]
    filled = list(corrupted)
    for place in reversed(range(len(filled))):
        if filled[place] in sentinel_ids:
            which = [target[mark] for mark in marks].index(filled[place])
            filled[place : place + 1] = target[marks[which] + 1 : ends[which]]
    return filled
