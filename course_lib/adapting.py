"""From a model that writes on to one that does what is wanted: instructions, preferences, passages,
fewer bits (notebook 11). LoRA is in `finetuning`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int8
from torch import Tensor

from course_lib.arguments import check_arguments
from course_lib.precision import in_float32
from course_lib.shapes import check_shapes

__all__ = [
    "choose_passages",
    "dequantize_rows",
    "dpo_loss",
    "instruction_example",
    "kl_reward",
    "policy_gradient_loss",
    "preference_loss",
    "quantize_rows",
]


@check_arguments
def instruction_example(
    prompt_ids: Sequence[int], answer_ids: Sequence[int]
) -> tuple[list[int], list[int]]:
    """One text to learn an answer from: the loss is on the answer only (Ouyang et al. 2022).

    Args:
        prompt_ids: what is given, chat markers included. It may be empty.
        answer_ids: what is to be written, its end marker included.

    Returns:
        ids: prompt, then answer.
        labels: the same, with -100 at each place of the prompt. Nothing is shifted.

    Raises:
        TypeError: an argument is not a sequence of ints.
        ValueError: the answer is empty.
    """
    if not len(answer_ids):
        raise ValueError("answer_ids must hold at least one id, got none")

    ids = [*prompt_ids, *answer_ids]
    labels = [-100] * len(prompt_ids) + [*answer_ids]
    return ids, labels


@check_shapes
def preference_loss(
    chosen: Float[Tensor, "batch"], rejected: Float[Tensor, "batch"]
) -> Float[Tensor, ""]:
    """How surprised a reward model is by what people preferred (nats per pair).

    Bradley and Terry: the better of two is chosen with probability sigmoid(chosen - rejected). A
    reward model is trained with the mean of minus its logarithm (Stiennon et al. 2020; Ouyang et
    al. 2022).

    Args:
        chosen: the reward model's score of the answer that was preferred, for each pair.
        rejected: that of the other answer.

    Returns:
        The mean over the pairs; finite for scores of any size.

    Raises:
        TypeError: an argument is not a float tensor.
        ValueError: the shapes differ, or there is no pair.
    """
    if not len(chosen):
        raise ValueError("chosen must hold at least one number, got none")

    return -F.logsigmoid(chosen - rejected).mean()


@check_shapes
def dpo_loss(
    policy_chosen: Float[Tensor, "batch"],
    policy_rejected: Float[Tensor, "batch"],
    reference_chosen: Float[Tensor, "batch"],
    reference_rejected: Float[Tensor, "batch"],
    beta: float,
) -> Float[Tensor, ""]:
    """Preferences learned without a reward model (DPO; Rafailov et al. 2023).

    -log sigmoid(beta * ((policy_chosen - reference_chosen) - (policy_rejected -
    reference_rejected))): the policy is its own reward model, and its reward for an answer is beta
    times the log-probability that it has gained over the reference.

    Args:
        policy_chosen: log-probability of each preferred answer, summed over its tokens, by the
            model that learns.
        policy_rejected: of each answer that was not preferred.
        reference_chosen, reference_rejected: the same by the model that it started from; they get
            no gradient.
        beta: how strongly the policy is held to the reference, above 0.

    Returns:
        The mean over the pairs, in nats; log 2 where policy and reference agree.

    Raises:
        TypeError: an argument is of another kind.
        ValueError: the shapes differ, there is no pair, or `beta` is not above 0.
    """
    if not len(policy_chosen):
        raise ValueError("policy_chosen must hold at least one number, got none")
    if not 0 < beta < math.inf:
        raise ValueError(f"beta must be above 0 and finite, got {beta}")

    gained = policy_chosen - reference_chosen.detach()
    gained_by_rejected = policy_rejected - reference_rejected.detach()
    return -F.logsigmoid(beta * (gained - gained_by_rejected)).mean()


@check_shapes
def kl_reward(
    reward: Float[Tensor, "batch"],
    policy_log_probs: Float[Tensor, "batch time"],
    reference_log_probs: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    beta: float,
) -> Float[Tensor, "batch"]:
    """A reward on a leash: it costs to write what the reference would not (Stiennon et al. 2020).

    The sum of policy less reference over a text that the policy wrote is one draw of their
    Kullback-Leibler divergence.

    Args:
        reward: of each text.
        policy_log_probs: log-probability of each token that was written, by the model that learns.
        reference_log_probs: by the model that it started from.
        mask: True = a token that counts: of the answer, not of prompt or padding.
        beta: the price of a nat; 0 is no leash.

    Returns:
        reward - beta * sum over the True places of (policy - reference).

    Raises:
        TypeError: an argument is of another kind.
        ValueError: the shapes do not fit, or `beta` is below 0 or not finite.
    """
    if not 0 <= beta < math.inf:
        raise ValueError(f"beta must be at least 0 and finite, got {beta}")

    gained = (policy_log_probs - reference_log_probs).masked_fill(~mask, 0)  # [batch, time]
    return reward - beta * gained.sum(-1)


@check_shapes
def policy_gradient_loss(
    log_probs: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    advantage: Float[Tensor, "batch"],
) -> Float[Tensor, ""]:
    """Makes texts with a positive advantage more probable, others less (REINFORCE; Williams 1992).

    Args:
        log_probs: log-probability of each token that was written, by the model that learns.
        mask: True = a token that counts.
        advantage: how much better than expected each text was; it gets no gradient.

    Returns:
        Minus the mean over the batch of the advantage times the text's summed log-probability.

    Raises:
        TypeError: an argument is of another kind.
        ValueError: the shapes do not fit, or the batch is empty.
    """
    if not len(advantage):
        raise ValueError("advantage must hold at least one number, got none")

    of_texts = log_probs.masked_fill(~mask, 0).sum(-1)  # [batch]
    return -(advantage.detach() * of_texts).mean()


preference_loss = in_float32(preference_loss)
dpo_loss = in_float32(dpo_loss)
kl_reward = in_float32(kl_reward)
policy_gradient_loss = in_float32(policy_gradient_loss)


@check_shapes
def quantize_rows(
    weight: Float[Tensor, "out in"], bits: int
) -> tuple[Int8[Tensor, "out in"], Float[Tensor, "out"]]:
    """Round each row of a weight to a few whole numbers, symmetric about zero (absmax).

    A row's largest number in absolute value becomes 2**(bits - 1) - 1. Dettmers et al. (2022) do
    this with 8 bits, row by row, to what goes through a matrix product.

    Args:
        weight: finite.
        bits: 2 to 8. The values are held in int8 whatever it is.

    Returns:
        The values, whole numbers in -(2**(bits - 1) - 1) ... 2**(bits - 1) - 1, halves to the even
        neighbour as in `torch.round`; and the scale, what one step is worth in each row, 0 for a
        row of zeros.

    Raises:
        TypeError: `weight` is not a float tensor, or `bits` not an int.
        ValueError: `bits` is outside 2 ... 8, or `weight` is empty or not finite.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must lie in 2 ... 8, got {bits}")
    if not weight.numel() or not weight.isfinite().all():
        raise ValueError(f"weight must be finite and not empty, got {list(weight.shape)}")

    levels = 2 ** (bits - 1) - 1
    scale = weight.abs().amax(-1) / levels  # [out]
    steps = weight / torch.where(scale > 0, scale, 1)[:, None]  # a row of zeros stays one
    return steps.round().clamp(-levels, levels).to(torch.int8), scale


@check_shapes
def dequantize_rows(
    values: Int8[Tensor, "out in"], scale: Float[Tensor, "out"]
) -> Float[Tensor, "out in"]:
    """The weight that quantised rows stand for: each off by at most half a step of its row.

    Args:
        values: as from `quantize_rows`.
        scale: what one step is worth in each row.

    Returns:
        values * scale, in the precision of `scale`.

    Raises:
        TypeError: `values` is not an int8 tensor, or `scale` not a float tensor.
        ValueError: the shapes do not fit.
    """
    return values * scale[:, None]


@check_arguments
def choose_passages(scores: Sequence[float], lengths: Sequence[int], budget: int) -> list[int]:
    """Which passages to put in front of a question, when there is room for so many tokens.

    What a retriever found is read by the model together with the question (Lewis et al. 2020).
    Passages are gone through by score, the best first, equal ones by place; each is taken if it
    still fits, so that a shorter one may follow one that was too long.

    Args:
        scores: how well each passage suits the question.
        lengths: how many tokens each has.
        budget: how many there is room for.

    Returns:
        The places of those taken, the best first.

    Raises:
        TypeError: an argument is of another kind.
        ValueError: `scores` and `lengths` differ in number, a score is NaN, or a length or the
            budget is below 0.
    """
    if len(scores) != len(lengths):
        raise ValueError(f"lengths must be {len(scores)}, one a score, got {len(lengths)}")
    if budget < 0 or any(length < 0 for length in lengths):
        what = f"budget must be at least 0, got {budget}"
        raise ValueError(what if budget < 0 else f"lengths must be at least 0, got {min(lengths)}")

    chosen: list[int] = []
    for place in sorted(range(len(scores)), key=lambda place: -scores[place]):  # stable
        if lengths[place] <= budget:
            chosen.append(place)
            budget -= lengths[place]
    return chosen
