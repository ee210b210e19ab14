"""What `adapting.dpo_loss` demands."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from course_lib import adapting
from course_lib.checks.exercise import Case, Exercise, backward_of, gradient_of

dpo_loss = Exercise("adapting.dpo_loss", points=3, reference=adapting.dpo_loss, tolerance=1e-4)

NAMES = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")


@dpo_loss.cases
def _(draw):
    def given(*rows, beta=0.5):
        return dict(zip(NAMES, map(torch.tensor, rows), strict=True)) | {"beta": beta}

    def some(n, beta=0.3, scale=3.0):
        return {name: draw.normal(n, scale=scale) - 8 for name in NAMES} | {"beta": beta}

    yield Case("one pair, two nats gained", given([-1.0], [-5.0], [-3.0], [-5.0]))
    yield Case("one pair, the rejected answer gained", given([-4.0], [-2.0], [-4.0], [-5.0]))
    yield Case(
        "policy and reference agree", given([-4.0, -1.0], [-2.0, -7.0], [-4.0, -1.0], [-2.0, -7.0])
    )
    yield Case("several pairs", some(5))
    yield Case("beta 2", some(3, beta=2.0))
    yield Case("long answers: log-probabilities of -1000", some(3, beta=1.0, scale=900.0))
    double = {k: v.double() if k != "beta" else v for k, v in some(3).items()}
    yield Case("double precision", double)
    yield Case("the gradient of `policy_chosen`", some(4), backward_of(0))
    yield Case("the gradient of `policy_rejected`", some(4), backward_of(1))
    far = some(3, beta=1.0, scale=900.0)
    yield Case("the gradient of long answers", far, backward_of(0))
    yield Case("the gradient of `reference_chosen`: none", some(4), gradient_of(2))
    yield Case("the gradient of `reference_rejected`: none", some(4), gradient_of(3))
    if draw.hidden:
        yield Case("many pairs", some(19, beta=0.1))


def _loss(margin):
    return -F.logsigmoid(margin).mean()


@dpo_loss.misconception
def leaves_out_the_reference(
    policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta
):
    """The reference plays no part in yours. What counts is not how probable an answer is, but how
    much it has gained since the start: policy less reference, for each of the two."""
    return _loss(beta * (policy_chosen - policy_rejected))


@dpo_loss.misconception
def prefers_the_rejected(
    policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta
):
    """The sign is the wrong way round: your loss falls when the rejected answer gains. What the
    chosen one has gained comes first."""
    gained = policy_chosen - reference_chosen.detach()
    return _loss(beta * (policy_rejected - reference_rejected.detach() - gained))


@dpo_loss.misconception
def adds_what_the_reference_says(
    policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta
):
    """The reference's difference is added in yours. It is where the policy started, and is taken
    away: (policy - reference) of the chosen less the same of the rejected."""
    start = (reference_chosen - reference_rejected).detach()
    return _loss(beta * (policy_chosen - policy_rejected + start))


@dpo_loss.misconception
def leaves_out_beta(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    """`beta` has no part in yours. It multiplies the difference inside the sigmoid, and decides how
    far the policy may go from the reference."""
    start = (reference_chosen - reference_rejected).detach()
    return _loss(policy_chosen - policy_rejected - start)


@dpo_loss.misconception
def multiplies_the_loss_by_beta(
    policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta
):
    """`beta` multiplies the whole loss in yours, where it changes nothing but the length of the
    steps. It belongs inside the sigmoid, before the difference."""
    start = (reference_chosen - reference_rejected).detach()
    return beta * _loss(policy_chosen - policy_rejected - start)


@dpo_loss.misconception
def divides_by_beta(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    """You divide by `beta`. A gain counts as a reward of beta times its nats: multiply."""
    start = (reference_chosen - reference_rejected).detach()
    return _loss((policy_chosen - policy_rejected - start) / beta)


@dpo_loss.misconception
def is_infinite_for_long_answers(
    policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta
):
    """Long answers differ by hundreds of nats. Then the sigmoid rounds to 0, and its logarithm is
    minus infinity: take both in one step, `F.logsigmoid`."""
    start = (reference_chosen - reference_rejected).detach()
    return -(beta * (policy_chosen - policy_rejected - start)).sigmoid().log().mean()


@dpo_loss.misconception
def compares_probabilities(
    policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta
):
    """You take `exp` first and compare probabilities. That of a long answer is 0 in any computer;
    the formula compares their logarithms, which is what you are given."""
    gained = policy_chosen.exp() - reference_chosen.detach().exp()
    return _loss(beta * (gained - policy_rejected.exp() + reference_rejected.detach().exp()))


@dpo_loss.misconception
def teaches_the_reference(
    policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta
):
    """The values are right, but the reference gets a gradient and would be trained to move away. It
    stands still: `detach()` its two."""
    gained = policy_chosen - reference_chosen
    return _loss(beta * (gained - policy_rejected + reference_rejected))


@dpo_loss.misconception
def forgets_the_minus(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    """This is the log-likelihood of what was preferred; a loss is minus that."""
    start = (reference_chosen - reference_rejected).detach()
    return -_loss(beta * (policy_chosen - policy_rejected - start))


@dpo_loss.misconception
def adds_up_the_pairs(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    """This is the sum over the pairs, so it grows with the batch. Take the mean."""
    start = (reference_chosen - reference_rejected).detach()
    return -F.logsigmoid(beta * (policy_chosen - policy_rejected - start)).sum()


@dpo_loss.alternative
def as_a_preference_of_rewards(
    policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta
):
    """Two rewards, and Bradley and Terry's loss."""
    chosen = beta * (policy_chosen - reference_chosen.detach())
    rejected = beta * (policy_rejected - reference_rejected.detach())
    return F.softplus(rejected - chosen).mean()


@dpo_loss.alternative
def from_log_ratios(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    """Each model's preference, as in the authors' code."""
    with torch.no_grad():
        reference = reference_chosen - reference_rejected
    logits = beta * (policy_chosen - policy_rejected - reference)
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
