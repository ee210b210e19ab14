"""What `adapting.policy_gradient_loss` demands."""

from __future__ import annotations

import torch

from course_lib import adapting
from course_lib.checks.exercise import Case, Exercise, backward_of, gradient_of
from course_lib.exercises.adapting.shared import texts

policy_gradient_loss = Exercise(
    "adapting.policy_gradient_loss",
    points=2,
    reference=adapting.policy_gradient_loss,
    tolerance=1e-4,
)


@policy_gradient_loss.cases
def _(draw):
    def given(log_probs, mask, advantage):
        names = ("log_probs", "mask", "advantage")
        return dict(zip(names, map(torch.as_tensor, (log_probs, mask, advantage)), strict=True))

    def some(batch, time, **options):
        log_probs, _, mask = texts(draw, batch, time, **options)
        return given(log_probs, mask, draw.normal(batch))

    yield Case("one token", given([[-2.0]], [[True]], [3.0]))
    yield Case(
        "one text of two tokens, better than expected", given([[-1.0, -0.5]], [[True, True]], [2.0])
    )
    yield Case("worse than expected", given([[-1.0, -0.5]], [[True, True]], [-2.0]))
    yield Case("texts of different length", some(3, 5))
    gap = some(2, 4)
    gap["mask"] = torch.tensor([[False, True, True, False], [False, False, True, True]])
    yield Case("a prompt that does not count, in front", gap)
    nothing = some(2, 3)
    nothing["mask"] = torch.tensor([[True, True, False], [False] * 3])
    yield Case("a text of which no token counts", nothing)
    padded = some(2, 3)
    padded["mask"] = torch.tensor([[True, False, False], [True, True, True]])
    padded["log_probs"] = padded["log_probs"].masked_fill(~padded["mask"], -torch.inf)
    yield Case("-inf where no token counts", padded)
    yield Case("log-probabilities in the hundreds", some(2, 3, scale=300.0))
    double = some(2, 3)
    yield Case("double precision", {k: v if k == "mask" else v.double() for k, v in double.items()})
    yield Case("the gradient of `log_probs`", some(3, 4), backward_of(0))
    yield Case("the gradient where -inf stands", padded, backward_of(0))
    yield Case("the gradient of `advantage`: none", some(3, 4), gradient_of(2))
    if draw.hidden:
        yield Case("many texts", some(9, 13))


def _of_texts(log_probs, mask):
    return log_probs.masked_fill(~mask, 0).sum(-1)


@policy_gradient_loss.misconception
def forgets_the_minus(log_probs, mask, advantage):
    """Going down your loss makes good texts less probable and bad ones more. A loss falls as things
    get better: put a minus in front."""
    return (advantage.detach() * _of_texts(log_probs, mask)).mean()


@policy_gradient_loss.misconception
def ignores_the_mask(log_probs, mask, advantage):
    """You add up all places. Where the mask is False there is no token that the model wrote, and
    nothing to make more or less probable."""
    return -(advantage.detach() * log_probs.sum(-1)).mean()


@policy_gradient_loss.misconception
def multiplies_by_the_mask(log_probs, mask, advantage):
    """Where no token counts there may stand -inf, and -inf times 0 is NaN. Do not multiply by the
    mask: put 0 there, with `masked_fill` or `torch.where`."""
    return -(advantage.detach() * (log_probs * mask).sum(-1)).mean()


@policy_gradient_loss.misconception
def averages_over_tokens(log_probs, mask, advantage):
    """You take each text's mean over its tokens. Then a token of a long text counts for less. The
    formula has the text's log-probability, which is the sum over its tokens."""
    mean = _of_texts(log_probs, mask) / mask.sum(-1).clamp(min=1)
    return -(advantage.detach() * mean).mean()


@policy_gradient_loss.misconception
def averages_over_all_tokens_of_the_batch(log_probs, mask, advantage):
    """You divide by the number of tokens in the batch. It is the mean over the *texts*."""
    total = (advantage.detach() * _of_texts(log_probs, mask)).sum()
    return -total / mask.sum().clamp(min=1)


@policy_gradient_loss.misconception
def adds_up_the_texts(log_probs, mask, advantage):
    """This is the sum over the texts, so it grows with the batch. Take the mean."""
    return -(advantage.detach() * _of_texts(log_probs, mask)).sum()


@policy_gradient_loss.misconception
def leaves_out_the_advantage(log_probs, mask, advantage):
    """The advantage plays no part in yours: every text that was written is made more probable, good
    or bad. Multiply each text's log-probability by its advantage."""
    return -_of_texts(log_probs, mask).mean()


@policy_gradient_loss.misconception
def uses_probabilities(log_probs, mask, advantage):
    """You multiply the advantage by the *probability* of the text. The gradient of the expected
    reward is the advantage times that of the *log*-probability: leave out the `exp`."""
    return -(advantage.detach() * _of_texts(log_probs, mask).exp()).mean()


@policy_gradient_loss.misconception
def teaches_the_judge(log_probs, mask, advantage):
    """The values are right, but a gradient flows into the advantage too: whatever computed it would
    learn to praise. It is a number that is given: `detach()` it."""
    return -(advantage * _of_texts(log_probs, mask)).mean()


@policy_gradient_loss.misconception
def takes_the_means_apart(log_probs, mask, advantage):
    """You multiply the mean advantage by the mean log-probability. Each text has to meet its own
    advantage: multiply first, then take the mean."""
    return -advantage.detach().mean() * _of_texts(log_probs, mask).mean()


@policy_gradient_loss.alternative
def token_by_token(log_probs, mask, advantage):
    """The advantage stands beside each token."""
    weight = advantage.detach()[:, None]
    zero = log_probs.new_zeros(())
    return -(weight * torch.where(mask, log_probs, zero)).sum() / len(log_probs)


@policy_gradient_loss.alternative
def as_a_dot_product(log_probs, mask, advantage):
    """The mean of products is a dot product."""
    return -(advantage.detach() @ _of_texts(log_probs, mask)) / len(advantage)
