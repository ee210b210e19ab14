"""What `encoder.masked_lm_loss` demands."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from course_lib import objectives
from course_lib.checks.exercise import Case, Exercise, gradient_of
from course_lib.exercises.encoder.shared import costs_of_labels, mean_over_labels
from course_lib.exercises.shared import gradient_that_flows

masked_lm_loss = Exercise(
    "encoder.masked_lm_loss", points=2, reference=objectives.masked_lm_loss, tolerance=1e-4
)


@masked_lm_loss.cases
def _(draw):
    def case(about, shape, hidden=0.5, scale=1.0, **options):
        batch, time, vocab = shape
        logits, labels = draw.normal(*shape, scale=scale), draw.ids(vocab, batch, time)
        seen = torch.rand(batch, time, generator=draw.generator) >= hidden
        seen[0, 0] = False  # at least one label
        return Case(about, {"logits": logits, "labels": labels.masked_fill(seen, -100)}, **options)

    yield case("one hidden token", (1, 1, 3))
    yield case("a vocabulary of 1,000", (1, 2, 1000), hidden=1.1)
    yield case("every token hidden", (1, 4, 3), hidden=1.1)
    logits, labels = draw.normal(1, 3, 4), draw.ids(4, 1, 3)
    labels[0, 0] = labels[0, 2] = -100
    yield Case("a single hidden token in the middle", {"logits": logits, "labels": labels})
    yield case("some tokens of two texts", (2, 5, 4), scale=2.0)
    uneven = draw.ids(4, 3, 5)
    uneven[1, 1:], uneven[2] = -100, -100
    arguments = {"logits": draw.normal(3, 5, 4, scale=3.0), "labels": uneven}
    yield Case("texts with five, one and no hidden tokens", arguments)
    nothing = {"logits": draw.normal(2, 3, 4), "labels": torch.full((2, 3), -100)}
    yield Case("nothing is hidden", nothing)
    yield Case("the gradient when nothing is hidden", nothing, gradient_that_flows(0))
    logits, labels = draw.normal(2, 4, 5, scale=300.0), draw.ids(5, 2, 4)
    logits[0, 0, labels[0, 0]] = logits[0, 0].min() - 200  # exp gives 0 here, whatever was drawn
    yield Case("large logits", {"logits": logits, "labels": labels})
    double = {"logits": draw.normal(2, 4, 3).double(), "labels": draw.ids(3, 2, 4)}
    yield Case("double precision", double)
    yield case("the gradient with respect to the logits", (2, 4, 3), observe=gradient_of(0))
    if draw.hidden:
        yield case("many texts", (7, 20, 50), hidden=0.15, scale=4.0)


@masked_lm_loss.misconception
def shifts_the_labels(logits, labels):
    """You compare each position with the label of the next one. That is how a model learns to
    write; here the hidden token stands at the position itself, so nothing is shifted."""
    return mean_over_labels(costs_of_labels(logits[:, :-1], labels[:, 1:]), labels[:, 1:])


@masked_lm_loss.misconception
def divides_by_all_positions(logits, labels):
    """The sum is right, but you divide by the number of all positions. Only labelled ones count:
    otherwise hiding fewer tokens would look like guessing better."""
    return costs_of_labels(logits, labels).masked_fill(labels == -100, 0).mean()


@masked_lm_loss.misconception
def takes_minus_100_for_the_first_id(logits, labels):
    """You turn -100 into 0 and then count these positions as if id 0 had been hidden there. Leave
    them out altogether."""
    return costs_of_labels(logits, labels).mean()


@masked_lm_loss.misconception
def averages_each_text_first(logits, labels):
    """You take the mean of each text and then the mean of these, so a token of a text with few
    hidden tokens weighs more. Every labelled token of the batch weighs the same."""
    labelled = labels != -100
    costs = costs_of_labels(logits, labels).masked_fill(~labelled, 0)
    return (costs.sum(1) / labelled.sum(1).clamp(min=1)).mean()


@masked_lm_loss.misconception
def sums_and_does_not_average(logits, labels):
    """This is the sum. Divide by the number of labelled tokens, so that the loss does not depend on
    the size of the batch."""
    return costs_of_labels(logits, labels).masked_fill(labels == -100, 0).sum()


@masked_lm_loss.misconception
def gives_nan_when_nothing_is_hidden(logits, labels):
    """Without a label you divide 0 by 0. The loss of nothing is 0: divide by at least 1. (torch's
    own `cross_entropy` gives NaN there too.)"""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)


@masked_lm_loss.misconception
def gives_a_constant_when_nothing_is_hidden(logits, labels):
    """Without a label you return a new tensor, a bare 0. The value is right, but no gradient flows
    back from it, and `backward()` stops with an error. Let the 0 come from the logits: a sum over
    no positions is 0 by itself."""
    if (labels != -100).sum() == 0:
        return logits.new_zeros(())
    return mean_over_labels(costs_of_labels(logits, labels), labels)


@masked_lm_loss.misconception
def shifts_the_labels_the_other_way(logits, labels):
    """You compare each position with the label of the one before. The hidden token stands at the
    position itself: nothing is shifted."""
    return mean_over_labels(costs_of_labels(logits[:, 1:], labels[:, :-1]), labels[:, :-1])


@masked_lm_loss.misconception
def takes_softmax_twice(logits, labels):
    """Your logits go through softmax before they go into something that takes softmax itself
    (`cross_entropy`, `log_softmax`). Give it the raw logits."""
    return mean_over_labels(costs_of_labels(logits.softmax(-1), labels), labels)


@masked_lm_loss.misconception
def takes_the_logarithm_of_zero(logits, labels):
    """You take softmax first and its logarithm afterwards. A very unlikely token has probability 0
    in a computer, and its logarithm is minus infinity. `log_softmax` does both at once."""
    log_probs = logits.softmax(-1).log()
    costs = -log_probs.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return mean_over_labels(costs, labels)


@masked_lm_loss.misconception
def forgets_the_logarithm(logits, labels):
    """You average minus the probability of the right token. The loss is minus its *logarithm*,
    which makes a confident error expensive."""
    probs = logits.softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return mean_over_labels(-probs, labels)


@masked_lm_loss.misconception
def forgets_the_minus(logits, labels):
    """This is the mean log-probability, which training would make smaller and smaller. The loss is
    minus that."""
    return -mean_over_labels(costs_of_labels(logits, labels), labels)


@masked_lm_loss.misconception
def forgets_the_softmax(logits, labels):
    """You take minus the logit of the right token. A logit alone says nothing: only beside the
    others does it become a probability. Use `log_softmax`."""
    return mean_over_labels(-logits.gather(-1, labels.clamp(min=0)[..., None])[..., 0], labels)


@masked_lm_loss.misconception
def shares_out_over_the_positions(logits, labels):
    """Your softmax runs along the time axis, so the positions compete with each other. The words of
    the vocabulary compete at each position: take the last axis."""
    log_probs = logits.log_softmax(1)
    costs = -log_probs.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return mean_over_labels(costs, labels)


@masked_lm_loss.misconception
def measures_in_bits(logits, labels):
    """Your logarithm has base 2, so this is the loss in bits. This course measures in nats: the
    natural logarithm."""
    return mean_over_labels(costs_of_labels(logits, labels), labels) / math.log(2)


@masked_lm_loss.misconception
def gives_back_a_number(logits, labels):
    """The value is right, but it is a plain number, and nothing can be learned from that: the way
    back to the logits is cut. Return the tensor, without `.item()` or `float`."""
    return mean_over_labels(costs_of_labels(logits, labels), labels).item()


@masked_lm_loss.alternative
def with_cross_entropy(logits, labels):
    """torch's own, summed."""
    total = F.cross_entropy(
        logits.transpose(1, 2), labels, ignore_index=-100, reduction="sum"
    )  # [batch, vocab, time]
    return total / max(1, int((labels != -100).sum()))


@masked_lm_loss.alternative
def through_log_sum_exp(logits, labels):
    """-log softmax = logsumexp - logit."""
    batch, time = (labels != -100).nonzero(as_tuple=True)
    if len(batch) == 0:
        return logits.sum() * 0
    rows = logits[batch, time]
    right = rows[torch.arange(len(rows)), labels[batch, time]]
    return (rows.logsumexp(-1) - right).mean()


@masked_lm_loss.alternative
def with_one_hot(logits, labels):
    """Everything is scored, and what has no label multiplied by zero."""
    labelled = (labels != -100).to(logits.dtype)
    right = F.one_hot(labels.clamp(min=0), logits.shape[-1]).to(logits.dtype)
    costs = -(logits.log_softmax(-1) * right).sum(-1)
    return (costs * labelled).sum() / labelled.sum().clamp(min=1)
