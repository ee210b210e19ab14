"""What `adapting.preference_loss` demands."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from course_lib import adapting
from course_lib.checks.exercise import Case, Exercise, backward_of

preference_loss = Exercise(
    "adapting.preference_loss", points=2, reference=adapting.preference_loss, tolerance=1e-4
)


@preference_loss.cases
def _(draw):
    def pair(*chosen_and_rejected):
        chosen, rejected = map(torch.tensor, zip(*chosen_and_rejected))
        return {"chosen": chosen, "rejected": rejected}

    def some(n, scale=2.0):
        return {"chosen": draw.normal(n, scale=scale), "rejected": draw.normal(n, scale=scale)}

    yield Case("one pair, the better answer one point ahead", pair((2.0, 1.0)))
    yield Case("one pair, the better answer behind", pair((-1.0, 0.5)))
    yield Case("two pairs", pair((1.0, -1.0), (0.5, 2.0)))
    yield Case("several pairs", some(5))
    yield Case("a thousand points ahead, and behind", pair((900.0, -100.0), (-400.0, 600.0)))
    yield Case("double precision", {name: x.double() for name, x in some(3).items()})
    yield Case("the gradient of `chosen`", some(4), backward_of(0))
    yield Case("the gradient of `rejected`", some(4), backward_of(1))
    far = pair((-400.0, 600.0), (1.0, 0.0))
    yield Case("the gradient of scores far apart", far, backward_of(0))
    if draw.hidden:
        yield Case("many pairs", some(23, 5.0))


@preference_loss.misconception
def prefers_the_rejected(chosen, rejected):
    """You take rejected - chosen, so that the loss falls when the answer that people did not want
    scores higher. The chosen one comes first."""
    return -F.logsigmoid(rejected - chosen).mean()


@preference_loss.misconception
def forgets_the_minus(chosen, rejected):
    """This is the log-probability of what people chose, which gets better as it grows. A loss falls
    as things get better: put a minus in front."""
    return F.logsigmoid(chosen - rejected).mean()


@preference_loss.misconception
def adds_up_the_pairs(chosen, rejected):
    """This is the sum over the pairs, so it grows with the batch. Take the mean."""
    return -F.logsigmoid(chosen - rejected).sum()


@preference_loss.misconception
def is_infinite_for_large_scores(chosen, rejected):
    """For a difference of -1000 the sigmoid rounds to 0, and its logarithm is minus infinity. Taken
    in one step it is finite: torch has `F.logsigmoid`."""
    return -(chosen - rejected).sigmoid().log().mean()


@preference_loss.misconception
def leaves_out_the_sigmoid(chosen, rejected):
    """Without log sigmoid there is no end to what can be gained by pulling a pair apart. The
    sigmoid makes a probability of the difference, and lets go of a pair that is told apart."""
    return (rejected - chosen).mean()


@preference_loss.misconception
def leaves_out_the_logarithm(chosen, rejected):
    """This is the probability that the preferred answer loses. The loss is minus the *logarithm* of
    the probability that it wins."""
    return 1 - (chosen - rejected).sigmoid().mean()


@preference_loss.misconception
def judges_each_answer_alone(chosen, rejected):
    """You judge each answer by itself: the chosen one above 0, the rejected one below. People only
    compared them, so only the difference may count: log sigmoid of chosen - rejected."""
    return -(F.logsigmoid(chosen) + F.logsigmoid(-rejected)).mean()


@preference_loss.misconception
def takes_the_mean_first(chosen, rejected):
    """You take the mean of the differences, then log sigmoid of it. Each pair is a comparison of
    its own: log sigmoid first, then the mean."""
    return -F.logsigmoid((chosen - rejected).mean())


@preference_loss.misconception
def uses_a_margin(chosen, rejected):
    """This is a hinge: 1 less the difference, cut off at 0. Bradley and Terry's loss is minus
    log sigmoid of the difference; it never quite reaches 0."""
    return (1 - (chosen - rejected)).clamp(min=0).mean()


@preference_loss.misconception
def does_not_average(chosen, rejected):
    """These are the losses of the pairs, one for each. Return their mean, a single number."""
    return -F.logsigmoid(chosen - rejected)


@preference_loss.alternative
def with_softplus(chosen, rejected):
    """-log sigmoid(x) = softplus(-x)."""
    return F.softplus(rejected - chosen).mean()


@preference_loss.alternative
def as_a_choice_between_two(chosen, rejected):
    """Softmax over two scores, of which the first is right."""
    scores = torch.stack([chosen, rejected], dim=1)
    return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.int64))
