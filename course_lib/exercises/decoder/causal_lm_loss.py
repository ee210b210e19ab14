"""What `decoder.causal_lm_loss` demands."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from course_lib import objectives
from course_lib.checks.exercise import Case, Exercise, backward_of

causal_lm_loss = Exercise(
    "decoder.causal_lm_loss", points=2, reference=objectives.causal_lm_loss, tolerance=1e-4
)


@causal_lm_loss.cases
def _(draw):
    def case(about, logits, ids, ignore_index=-100, **options):
        arguments = {"logits": logits, "ids": torch.as_tensor(ids), "ignore_index": ignore_index}
        return Case(about, arguments, **options)

    yield case("one prediction", draw.normal(1, 2, 3), [[0, 2]])
    yield case("one text", draw.normal(1, 4, 3, scale=3.0), draw.ids(3, 1, 4))
    yield case("several texts", draw.normal(3, 5, 4, scale=2.0), draw.ids(4, 3, 5))
    uneven = torch.tensor([[1, 0, 2, 3, 3], [2, 1, -100, -100, -100]])
    yield case("texts of different length, filled with -100", draw.normal(2, 5, 4), uneven)
    gap = torch.tensor([[1, -100, 2, 3], [-100, 0, -100, 1]])
    yield case("gaps of -100 between labels", draw.normal(2, 4, 4), gap)
    yield case("the first id ignored: it is never predicted", draw.normal(1, 3, 4), [[-100, 1, 3]])
    yield case("id 0 is what to ignore", draw.normal(2, 3, 4), [[1, 0, 2], [0, 3, 3]], 0)
    yield case("nothing to predict: all ids ignored", draw.normal(1, 3, 4), [[-100] * 3])
    yield case("nothing to predict: texts of one token", draw.normal(2, 1, 4), [[1], [3]])
    yield case("huge logits", draw.normal(2, 4, 3, scale=1e4), draw.ids(3, 2, 4))
    yield case("double precision", draw.normal(2, 3, 5).double(), draw.ids(5, 2, 3))
    gradient = {"observe": backward_of(0)}
    yield case("the gradient", draw.normal(2, 4, 3), draw.ids(3, 2, 4), **gradient)
    yield case(
        "the gradient with nothing to predict", draw.normal(1, 2, 3), [[-100] * 2], **gradient
    )
    if draw.hidden:
        ids = draw.ids(20, 4, 9).masked_fill(draw.normal(4, 9) > 0.8, -100)
        yield case("more texts, with gaps", draw.normal(4, 9, 20, scale=3.0), ids)


def _mean_loss(predictions, labels, ignore_index=-100):
    """Mean over what is labelled; 0 without labels. predictions [..., vocab], labels [...]."""
    losses = _losses(predictions, labels, ignore_index)
    return losses.sum() / (labels != ignore_index).sum().clamp(min=1)


def _losses(predictions, labels, ignore_index):
    flat = F.cross_entropy(
        predictions.flatten(0, 1), labels.flatten(), ignore_index=ignore_index, reduction="none"
    )
    return flat.view_as(labels)


@causal_lm_loss.misconception
def does_not_shift(logits, ids, ignore_index=-100):
    """You compare the logits at a position with the id at the *same* position. The model has read
    that id already. Its logits there are about the next one: shift by one."""
    return _mean_loss(logits, ids, ignore_index)


@causal_lm_loss.misconception
def shifts_the_other_way(logits, ids, ignore_index=-100):
    """You compare the logits at a position with the id *before* it. They are about the id after
    it: the logits lose their last position, the ids their first."""
    return _mean_loss(logits[:, 1:], ids[:, :-1], ignore_index)


@causal_lm_loss.misconception
def cuts_both_at_the_end(logits, ids, ignore_index=-100):
    """You cut the last position off both, so they still stand side by side unshifted. The ids lose
    their *first* position."""
    return _mean_loss(logits[:, :-1], ids[:, :-1], ignore_index)


@causal_lm_loss.misconception
def divides_by_all_positions(logits, ids, ignore_index=-100):
    """Ignored positions still count in your divisor. The mean is over labelled tokens only."""
    return _losses(logits[:, :-1], ids[:, 1:], ignore_index).sum() / max(ids[:, 1:].numel(), 1)


@causal_lm_loss.misconception
def counts_the_first_ids_too(logits, ids, ignore_index=-100):
    """You divide by the number of ids, the first of each text included. Nothing predicts a first
    id, so it is no label. Count the labels after the shift."""
    total = _losses(logits[:, :-1], ids[:, 1:], ignore_index).sum()
    return total / (ids != ignore_index).sum().clamp(min=1)


@causal_lm_loss.misconception
def runs_from_one_text_into_the_next(logits, ids, ignore_index=-100):
    """You join the texts before you shift. Then the last logits of a text are compared with the
    first id of the next one, which is another text. Shift inside each row, then flatten."""
    predictions, labels = logits.flatten(0, 1)[:-1], ids.flatten()[1:]
    total = F.cross_entropy(predictions, labels, ignore_index=ignore_index, reduction="sum")
    return total / (labels != ignore_index).sum().clamp(min=1)


@causal_lm_loss.misconception
def takes_softmax_twice(logits, ids, ignore_index=-100):
    """You hand probabilities to a loss that expects logits: `cross_entropy` takes the softmax
    itself. Give it the logits as they are."""
    return _mean_loss(logits[:, :-1].softmax(-1), ids[:, 1:], ignore_index)


@causal_lm_loss.misconception
def takes_logits_for_log_probabilities(logits, ids, ignore_index=-100):
    """You pick the label's logit, as `nll_loss` does. A logit is no log-probability yet: take
    `log_softmax` over the vocabulary first, or leave both to `cross_entropy`."""
    labels = ids[:, 1:].flatten()
    total = F.nll_loss(
        logits[:, :-1].flatten(0, 1), labels, ignore_index=ignore_index, reduction="sum"
    )
    return total / (labels != ignore_index).sum().clamp(min=1)


@causal_lm_loss.misconception
def averages_the_means_of_the_texts(logits, ids, ignore_index=-100):
    """You take the mean of each text, then the mean of those. A short text then weighs as much as a
    long one. Every labelled *token* of the batch should weigh the same."""
    labels = ids[:, 1:]
    losses = _losses(logits[:, :-1], labels, ignore_index)
    return (losses.sum(1) / (labels != ignore_index).sum(1).clamp(min=1)).mean()


@causal_lm_loss.misconception
def sums_instead_of_averaging(logits, ids, ignore_index=-100):
    """This is the sum over all tokens. Divide by their number, or the loss grows with the batch."""
    return _losses(logits[:, :-1], ids[:, 1:], ignore_index).sum()


@causal_lm_loss.misconception
def has_no_answer_without_labels(logits, ids, ignore_index=-100):
    """With no labelled token at all you divide 0 by 0, and that is `nan`. `F.cross_entropy` with
    its usual mean does so too. The loss should be 0 there: divide by at least 1."""
    predictions, labels = logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
    return F.cross_entropy(predictions, labels, ignore_index=ignore_index)


@causal_lm_loss.misconception
def knows_only_minus_100(logits, ids, ignore_index=-100):
    """Your code ignores -100 whatever `ignore_index` says. Hand the argument on."""
    return _mean_loss(logits[:, :-1], ids[:, 1:], -100)


@causal_lm_loss.misconception
def gives_a_bare_zero_without_labels(logits, ids, ignore_index=-100):
    """With nothing to predict you return a new tensor with a 0 in it. It hangs on nothing, so
    `backward()` stops with an error there. A sum over no labels, divided by at least 1, is a 0 that
    still hangs on the logits."""
    if (ids[:, 1:] == ignore_index).all():
        return torch.tensor(0.0, dtype=logits.dtype)
    return objectives.causal_lm_loss(logits, ids, ignore_index)


@causal_lm_loss.misconception
def shifts_twice(logits, ids, ignore_index=-100):
    """You shift twice: the logits at t meet the id at t + 2. Shift once, t against t + 1."""
    return objectives.causal_lm_loss(logits[:, :-1], ids[:, 1:], ignore_index)


@causal_lm_loss.misconception
def rolls_the_ids(logits, ids, ignore_index=-100):
    """`roll` brings each text's first id to its end, so the logits of the last token are compared
    with it. Nothing follows the last token: cut its logits off, and cut the first id off."""
    return _mean_loss(logits, ids.roll(-1, 1), ignore_index)


@causal_lm_loss.misconception
def ends_at_the_first_gap(logits, ids, ignore_index=-100):
    """After the first ignored id of a text you count nothing more. Labels may come after a gap:
    leave out only the ignored ones."""
    gone = (ids[:, 1:] == ignore_index).cumsum(1) > 0
    labels = ids[:, 1:].masked_fill(gone, ignore_index)
    return _mean_loss(logits[:, :-1], labels, ignore_index)


@causal_lm_loss.misconception
def takes_the_log_of_a_softmax(logits, ids, ignore_index=-100):
    """Softmax first, then log: with large logits a probability rounds to 0, and log 0 is minus
    infinity. `log_softmax` and `cross_entropy` do both at once without that detour."""
    labels = ids[:, 1:]
    labelled = labels != ignore_index
    probs = logits[:, :-1].softmax(-1).gather(2, labels.clamp(min=0)[..., None])[..., 0]
    return -probs[labelled].log().sum() / labelled.sum().clamp(min=1)


@causal_lm_loss.misconception
def normalises_over_the_positions(logits, ids, ignore_index=-100):
    """Your softmax runs over the positions of the text. It should run over the vocabulary, the last
    axis: at each position the ids share out one probability."""
    labels = ids[:, 1:]
    labelled = labels != ignore_index
    log_probs = logits.log_softmax(1)[:, :-1]
    picked = log_probs.gather(2, labels.masked_fill(~labelled, 0)[..., None])[..., 0]
    return -(picked * labelled).sum() / labelled.sum().clamp(min=1)


@causal_lm_loss.misconception
def forgets_the_minus_sign(logits, ids, ignore_index=-100):
    """Yours is the mean log-probability, which is never above 0. A loss is to be made small: put a
    minus in front."""
    return -_mean_loss(logits[:, :-1], ids[:, 1:], ignore_index)


@causal_lm_loss.misconception
def counts_in_bits(logits, ids, ignore_index=-100):
    """Your loss is in bits: a logarithm to base 2. In this course losses are in nats, with the
    natural logarithm."""
    return _mean_loss(logits[:, :-1], ids[:, 1:], ignore_index) / math.log(2)


@causal_lm_loss.misconception
def lets_no_gradient_through(logits, ids, ignore_index=-100):
    """The number is right, but it is cut off from the logits (`detach`, `no_grad`, or a new tensor
    made of a Python number), so nothing can be learned from it. Stay with tensor operations."""
    return objectives.causal_lm_loss(logits, ids, ignore_index).detach()


@causal_lm_loss.misconception
def returns_a_python_number(logits, ids, ignore_index=-100):
    """`.item()` makes a Python number, and a number has no gradient. Return the tensor."""
    return objectives.causal_lm_loss(logits, ids, ignore_index).item()


@causal_lm_loss.alternative
def by_gathering_log_probabilities(logits, ids, ignore_index=-100):
    """Log-softmax, then pick each label's entry."""
    labels = ids[:, 1:]
    labelled = labels != ignore_index
    log_probs = logits[:, :-1].log_softmax(-1)
    picked = log_probs.gather(-1, labels.masked_fill(~labelled, 0).unsqueeze(-1)).squeeze(-1)
    return -(picked * labelled).sum() / labelled.sum().clamp(min=1)


@causal_lm_loss.alternative
def text_by_text(logits, ids, ignore_index=-100):
    """A loop over texts and positions, with logsumexp."""
    total, n = logits.sum() * 0, 0
    for row, labels in zip(logits, ids):
        for scores, label in zip(row[:-1], labels[1:].tolist()):
            if label != ignore_index:
                total, n = total + scores.logsumexp(0) - scores[label], n + 1
    return total / max(n, 1)


@causal_lm_loss.alternative
def only_what_is_labelled(logits, ids, ignore_index=-100):
    """Pick out labelled positions first; then torch's mean, unless there are none."""
    labelled = ids[:, 1:] != ignore_index
    if not labelled.any():
        return (logits * 0).sum()
    return F.cross_entropy(logits[:, :-1][labelled], ids[:, 1:][labelled])
