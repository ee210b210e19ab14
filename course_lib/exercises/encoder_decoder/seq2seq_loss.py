"""What `encoder_decoder.seq2seq_loss` demands."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from course_lib import objectives
from course_lib.checks.exercise import Case, Exercise, backward_of

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
    yield case("gaps of -100 between labels", torch.tensor([[-100, 3, -100, 1], [2, -100, 0, 5]]))
    yield case("one text has no label", torch.tensor([[5, 2, 4], [-100, -100, -100]]))
    yield case("no label at all", torch.full((2, 3), -100))
    yield case("large logits", ignored, scale=300.0)
    yield case("double precision", ignored, dtype=torch.float64)
    yield case("the gradient", ignored, observe=backward_of(0))
    yield case("the gradient without a label", torch.full((1, 2), -100), observe=backward_of(0))
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
def gives_a_bare_zero_without_labels(logits, labels):
    """With no labelled token you return a new tensor with a 0 in it. It hangs on nothing, so
    `backward()` stops with an error there. A sum over no labels, divided by 1, is a 0 that still
    hangs on the logits."""
    if (labels == -100).all():
        return torch.tensor(0.0, dtype=logits.dtype)
    return objectives.seq2seq_loss(logits, labels)


@seq2seq_loss.misconception
def lets_no_gradient_through(logits, labels):
    """The number is right, but it is cut off from the logits (`detach`, `no_grad`, or a new tensor
    made of a Python number), so nothing can be learned from it. Stay with tensor operations."""
    return objectives.seq2seq_loss(logits, labels).detach()


@seq2seq_loss.misconception
def ends_at_the_first_gap(logits, labels):
    """After the first -100 of a text you count nothing more. Labels may come after a gap: leave out
    only the -100s."""
    return objectives.seq2seq_loss(logits, labels.masked_fill((labels == -100).cumsum(1) > 0, -100))


@seq2seq_loss.misconception
def normalises_over_the_positions(logits, labels):
    """Your softmax runs over the positions of the text. It should run over the vocabulary, the last
    axis: at each position the tokens share out one probability."""
    kept = labels != -100
    chosen = logits.log_softmax(1).gather(-1, labels.masked_fill(~kept, 0)[..., None])[..., 0]
    return -chosen[kept].sum() / kept.sum().clamp(min=1)


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
