"""What `adapting.kl_reward` demands."""

from __future__ import annotations

import torch

from course_lib import adapting
from course_lib.checks.exercise import Case, Exercise
from course_lib.exercises.adapting.shared import texts

kl_reward = Exercise("adapting.kl_reward", points=2, reference=adapting.kl_reward, tolerance=1e-4)


@kl_reward.cases
def _(draw):
    def given(reward, policy, reference, mask, beta):
        return {
            "reward": torch.as_tensor(reward),
            "policy_log_probs": torch.as_tensor(policy),
            "reference_log_probs": torch.as_tensor(reference),
            "mask": torch.as_tensor(mask),
            "beta": beta,
        }

    def some(batch, time, beta=0.3, **options):
        return given(draw.normal(batch), *texts(draw, batch, time, **options), beta)

    yield Case("one token", given([1.0], [[-0.5]], [[-2.0]], [[True]], 0.5))
    yield Case(
        "one text of two tokens", given([2.0], [[-1.0, -0.5]], [[-2.0, -3.0]], [[True, True]], 0.5)
    )
    yield Case(
        "a text that the reference likes more",
        given([1.0], [[-3.0, -2.0]], [[-1.0, -1.0]], [[True, True]], 0.5),
    )
    yield Case("texts of different length", some(3, 5))
    yield Case("beta 2", some(2, 3, beta=2.0))
    yield Case("no leash: beta 0", some(2, 3, beta=0.0))
    nothing = some(2, 3)
    nothing["mask"] = torch.tensor([[True, True, False], [False] * 3])
    yield Case("a text of which no token counts", nothing)
    padded = some(2, 3)
    padded["mask"] = torch.tensor([[True, False, False], [True, True, True]])
    for name in ("policy_log_probs", "reference_log_probs"):
        padded[name] = padded[name].masked_fill(~padded["mask"], -torch.inf)
    yield Case("-inf where no token counts", padded)
    gap = some(2, 4)
    gap["mask"] = torch.tensor([[False, True, True, False], [False, False, True, True]])
    yield Case("a prompt that does not count, in front", gap)
    yield Case("log-probabilities in the hundreds", some(2, 3, scale=300.0))
    double = some(2, 3)
    yield Case(
        "double precision",
        {
            k: v.double() if torch.is_tensor(v) and v.is_floating_point() else v
            for k, v in double.items()
        },
    )
    if draw.hidden:
        yield Case("many texts", some(9, 13))


def _kl(policy_log_probs, reference_log_probs, mask):
    return (policy_log_probs - reference_log_probs).masked_fill(~mask, 0).sum(-1)


@kl_reward.misconception
def rewards_the_distance(reward, policy_log_probs, reference_log_probs, mask, beta):
    """The leash pushes in yours: a text is paid for being unlike the reference. Take beta times the
    sum *away* from the reward."""
    return reward + beta * _kl(policy_log_probs, reference_log_probs, mask)


@kl_reward.misconception
def ignores_the_mask(reward, policy_log_probs, reference_log_probs, mask, beta):
    """You add up all places. Those where the mask is False hold no token of the answer, and count
    for nothing."""
    return reward - beta * (policy_log_probs - reference_log_probs).sum(-1)


@kl_reward.misconception
def reads_the_mask_the_other_way(reward, policy_log_probs, reference_log_probs, mask, beta):
    """You add up where the mask is False. True means that a token counts."""
    return reward - beta * _kl(policy_log_probs, reference_log_probs, ~mask)


@kl_reward.misconception
def multiplies_by_the_mask(reward, policy_log_probs, reference_log_probs, mask, beta):
    """Where no token counts there may stand -inf, and -inf less -inf is NaN, which times 0 stays
    NaN. Do not multiply by the mask: put 0 there, with `masked_fill` or `torch.where`."""
    return reward - beta * ((policy_log_probs - reference_log_probs) * mask).sum(-1)


@kl_reward.misconception
def takes_the_mean_over_tokens(reward, policy_log_probs, reference_log_probs, mask, beta):
    """You take the mean over the tokens. The log-probability of a text is the sum over its tokens,
    so that a long text has more room to go astray, and pays for it."""
    total = _kl(policy_log_probs, reference_log_probs, mask)
    return reward - beta * total / mask.sum(-1).clamp(min=1)


@kl_reward.misconception
def leaves_out_beta(reward, policy_log_probs, reference_log_probs, mask, beta):
    """`beta` has no part in yours. It is the price of a nat, and multiplies the sum."""
    return reward - _kl(policy_log_probs, reference_log_probs, mask)


@kl_reward.misconception
def leaves_out_the_reference(reward, policy_log_probs, reference_log_probs, mask, beta):
    """You charge for the policy's log-probability alone. What costs is what the policy has gained
    *over the reference*: take the reference away, token by token."""
    return reward - beta * policy_log_probs.masked_fill(~mask, 0).sum(-1)


@kl_reward.misconception
def takes_the_size_of_each_difference(reward, policy_log_probs, reference_log_probs, mask, beta):
    """You add up the sizes of the differences, without their signs. Where the reference finds a
    token more probable than the policy the difference is negative, and stays so."""
    gained = (policy_log_probs - reference_log_probs).abs().masked_fill(~mask, 0)
    return reward - beta * gained.sum(-1)


@kl_reward.misconception
def takes_reference_less_policy(reward, policy_log_probs, reference_log_probs, mask, beta):
    """You return beta times the distance less the reward: the sign of the whole is the wrong way
    round. The reward counts as it is; beta times the sum is taken away."""
    return beta * _kl(policy_log_probs, reference_log_probs, mask) - reward


@kl_reward.misconception
def adds_up_the_batch(reward, policy_log_probs, reference_log_probs, mask, beta):
    """You add up over all texts, and charge each for all of them. Each text pays for its own
    tokens: sum along the last axis alone."""
    return reward - beta * _kl(policy_log_probs, reference_log_probs, mask).sum()


@kl_reward.alternative
def with_where(reward, policy_log_probs, reference_log_probs, mask, beta):
    """Each model's sum, then their difference."""
    zero = policy_log_probs.new_zeros(())
    policy = torch.where(mask, policy_log_probs, zero).sum(1)
    reference = torch.where(mask, reference_log_probs, zero).sum(1)
    return reward - beta * (policy - reference)


@kl_reward.alternative
def text_by_text(reward, policy_log_probs, reference_log_probs, mask, beta):
    """The places that count are picked out of each row."""
    rows = zip(reward, policy_log_probs, reference_log_probs, mask)
    return torch.stack([r - beta * (p[m].sum() - q[m].sum()) for r, p, q, m in rows])
