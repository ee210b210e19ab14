"""What `embeddings.skipgram_loss` demands."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from course_lib import embeddings
from course_lib.checks.exercise import Case, Exercise, gradient_of
from course_lib.exercises.shared import gradient_that_flows

skipgram_loss = Exercise(
    "embeddings.skipgram_loss",
    points=3,
    reference=embeddings.skipgram_loss,
    tolerance=1e-4,
)


def _skipgram_arguments(draw, batch, n, width, scale=1.0):
    return {
        "center": draw.normal(batch, width, scale=scale),
        "context": draw.normal(batch, width, scale=scale),
        "negatives": draw.normal(batch, n, width, scale=scale),
    }


@skipgram_loss.cases
def _(draw):
    yield Case("one pair, one random word", _skipgram_arguments(draw, 1, 1, 2))
    yield Case("one pair, three random words", _skipgram_arguments(draw, 1, 3, 2))
    yield Case("three pairs, one random word each", _skipgram_arguments(draw, 3, 1, 2))
    yield Case("four pairs", _skipgram_arguments(draw, 4, 3, 5))
    far = _skipgram_arguments(draw, 2, 3, 4)
    far = {"center": far["center"].sign() * 30, "context": far["center"].sign() * -9,
           "negatives": far["center"].sign()[:, None].repeat(1, 3, 1) * 8}  # fmt: skip
    yield Case("scores beyond a thousand, all on the wrong side", far)
    arguments = _skipgram_arguments(draw, 2, 3, 4)
    yield Case("double precision", {name: value.double() for name, value in arguments.items()})
    for position, name in enumerate(("center", "context", "negatives")):
        arguments = _skipgram_arguments(draw, 2, 3, 4)
        yield Case(f"the gradient of `{name}`", arguments, gradient_of(position))
    empty = _skipgram_arguments(draw, 0, 3, 4)
    yield Case("a batch without a pair", empty, edge=True)
    yield Case("the gradient of a batch without a pair", empty, gradient_that_flows(0), edge=True)
    if draw.hidden:
        yield Case("a larger batch", _skipgram_arguments(draw, 13, 7, 11, scale=3.0))


def _scores(center, context, negatives):
    return (center * context).sum(-1), torch.einsum("bw,bnw->bn", center, negatives)


@skipgram_loss.misconception
def averages_over_the_negatives(center, context, negatives):
    """Each random word is an example of its own, so their terms are added up. Yours takes their
    mean, which makes pushing away n times weaker than the formula says."""
    true_score, false_scores = _scores(center, context, negatives)
    return (-F.logsigmoid(true_score) - F.logsigmoid(-false_scores).mean(-1)).mean()


@skipgram_loss.misconception
def adds_up_the_batch(center, context, negatives):
    """The loss is the mean over the batch. Yours is the sum, so it grows with the batch size, and
    so does the step that training takes."""
    true_score, false_scores = _scores(center, context, negatives)
    return (-F.logsigmoid(true_score) - F.logsigmoid(-false_scores).sum(-1)).sum()


@skipgram_loss.misconception
def pulls_the_random_words_closer_too(center, context, negatives):
    """Random words should get a low score: the formula has sigmoid of MINUS center . negative.
    Without that minus every vector is rewarded for pointing the same way as every other."""
    true_score, false_scores = _scores(center, context, negatives)
    return (-F.logsigmoid(true_score) - F.logsigmoid(false_scores).sum(-1)).mean()


@skipgram_loss.misconception
def pushes_the_true_neighbours_away(center, context, negatives):
    """The signs have changed places: a true neighbour should get a high score and a random word a
    low one. The minus belongs inside the sigmoid of the random words."""
    true_score, false_scores = _scores(center, context, negatives)
    return (-F.logsigmoid(-true_score) - F.logsigmoid(false_scores).sum(-1)).mean()


@skipgram_loss.misconception
def forgets_the_minus_in_front(center, context, negatives):
    """This is the log-likelihood, which gets better as it grows. A loss gets better as it falls:
    it is minus that."""
    true_score, false_scores = _scores(center, context, negatives)
    return (F.logsigmoid(true_score) + F.logsigmoid(-false_scores).sum(-1)).mean()


@skipgram_loss.misconception
def is_infinite_for_large_scores(center, context, negatives):
    """For a score of -200 the sigmoid rounds to 0, and log 0 is minus infinity. Taken as one step,
    log sigmoid loses nothing: torch has it, as `F.logsigmoid`."""
    true_score, false_scores = _scores(center, context, negatives)
    likelihood = true_score.sigmoid().log() + (-false_scores).sigmoid().log().sum(-1)
    return -likelihood.mean()


@skipgram_loss.misconception
def leaves_out_the_sigmoid(center, context, negatives):
    """Without log sigmoid there is no end to what can be gained: longer vectors always lower this
    loss. The sigmoid lets a pair go once its score is right."""
    true_score, false_scores = _scores(center, context, negatives)
    return (false_scores.sum(-1) - true_score).mean()


@skipgram_loss.misconception
def leaves_out_the_negatives(center, context, negatives):
    """Only the true pairs are in this loss. If nothing is pushed away, all vectors may collapse
    into one direction and the loss is perfect: the random words must count too."""
    return -F.logsigmoid((center * context).sum(-1)).mean()


@skipgram_loss.misconception
def drops_the_axis_of_a_single_negative(center, context, negatives):
    """Your `squeeze()` has no number. Where each pair has one random word, it takes out that axis
    too, [batch, 1] becomes [batch], and you sum over the batch in place of the random words. Take
    out the last axis alone: `squeeze(-1)`."""
    true_score = (center * context).sum(-1)
    false_scores = (negatives @ center[:, :, None]).squeeze()
    loss = -F.logsigmoid(true_score) - F.logsigmoid(-false_scores).sum(-1)
    return loss.sum() / max(len(loss), 1)


@skipgram_loss.misconception
def compares_the_negatives_with_the_context(center, context, negatives):
    """The random words meet the neighbour in yours. The formula has center . negative: both words
    are compared with the one in the middle."""
    true_score, _ = _scores(center, context, negatives)
    _, false_scores = _scores(context, center, negatives)
    return (-F.logsigmoid(true_score) - F.logsigmoid(-false_scores).sum(-1)).mean()


@skipgram_loss.misconception
def does_not_average_at_all(center, context, negatives):
    """These are the losses of the pairs, one for each. Return their mean, a single number."""
    true_score, false_scores = _scores(center, context, negatives)
    return -F.logsigmoid(true_score) - F.logsigmoid(-false_scores).sum(-1)


@skipgram_loss.misconception
def looks_at_one_negative_alone(center, context, negatives):
    """Only the first random word of each pair counts in yours. Add up the terms of all n."""
    true_score, false_scores = _scores(center, context, negatives)
    return (-F.logsigmoid(true_score) - F.logsigmoid(-false_scores[:, 0])).mean()


@skipgram_loss.alternative
def as_binary_cross_entropy(center, context, negatives):
    """True pairs have the label 1, random ones 0."""
    words = torch.cat([context[:, None], negatives], dim=1)
    scores = (words @ center[..., None])[..., 0]
    labels = torch.zeros_like(scores)
    labels[:, :1] = 1
    total = F.binary_cross_entropy_with_logits(scores, labels, reduction="sum")
    return total / max(1, len(center))


@skipgram_loss.alternative
def with_softplus(center, context, negatives):
    """-log sigmoid(x) = log(1 + exp(-x)) = softplus(-x)."""
    if len(center) == 0:
        return center.sum()
    true_score, false_scores = _scores(center, context, negatives)
    return (F.softplus(-true_score) + F.softplus(false_scores).sum(1)).mean()
