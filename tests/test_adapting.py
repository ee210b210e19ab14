"""The losses of alignment, quantised rows and chosen passages: against torch, against the published
formulas computed another way, and what holds for any input."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from course_lib.adapting import (
    choose_passages,
    dequantize_rows,
    dpo_loss,
    instruction_example,
    kl_reward,
    policy_gradient_loss,
    preference_loss,
    quantize_rows,
)
from course_lib.objectives import causal_lm_loss

seeds = st.integers(0, 2**16)


def normal(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def four(seed: int) -> list[Tensor]:
    return [normal(5, seed=seed + i, scale=3.0).requires_grad_() for i in range(4)]


# ------------------------------------------------------------------ instructions

ids = st.lists(st.integers(0, 6), max_size=5)


@given(ids, ids.filter(bool))
def test_an_instruction_example_is_the_whole_text_and_labels_the_answer(prompt, answer):
    text, labels = instruction_example(prompt, answer)
    assert text == prompt + answer
    assert [label for label in labels if label != -100] == answer
    assert labels[: len(prompt)] == [-100] * len(prompt)


def test_the_loss_of_an_instruction_example_is_that_of_the_answer_given_the_prompt():
    text, labels = instruction_example([3, 1, 4], [1, 5])
    logits = normal(1, 5, 7, seed=0)
    answer = F.cross_entropy(logits[0, 2:4], torch.tensor([1, 5]))  # places 2 and 3 foresee it
    loss = causal_lm_loss(logits, torch.tensor([labels]))
    torch.testing.assert_close(loss, answer)
    assert len(text) == logits.shape[1]


def test_an_answer_is_not_empty():
    with pytest.raises(ValueError, match="answer_ids"):
        instruction_example([1], [])


# ------------------------------------------------------------------ preferences


@given(seeds)
def test_the_preference_loss_is_torch_s_binary_cross_entropy_of_the_difference(seed):
    chosen, rejected = four(seed)[:2]
    theirs = F.binary_cross_entropy_with_logits(chosen - rejected, torch.ones(5).double())
    torch.testing.assert_close(preference_loss(chosen, rejected), theirs)


@given(seeds)
def test_the_preference_loss_is_a_softmax_over_the_two_answers(seed):
    chosen, rejected = four(seed)[:2]
    as_classes = F.cross_entropy(torch.stack([chosen, rejected], -1), torch.zeros(5).long())
    torch.testing.assert_close(preference_loss(chosen, rejected), as_classes)


@given(seeds, st.floats(0.01, 2.0))
def test_the_dpo_loss_is_what_trl_writes_and_what_the_paper_says(seed, beta):
    pc, pr, rc, rr = four(seed)
    as_trl = -F.logsigmoid(beta * ((pc - pr) - (rc - rr))).mean()
    ours = dpo_loss(pc, pr, rc, rr, beta)
    torch.testing.assert_close(ours, as_trl)
    # The paper's ratios of probabilities, and its sigmoid, written out.
    ratio = (pc.exp() / rc.exp()) ** beta / ((pr.exp() / rr.exp()) ** beta)
    torch.testing.assert_close(ours, -(ratio / (1 + ratio)).log().mean())


@given(seeds)
def test_the_gradient_of_dpo_is_the_paper_s(seed):
    beta = 0.3
    pc, pr, rc, rr = four(seed)
    dpo_loss(pc, pr, rc, rr, beta).backward()
    rewards = beta * (pr - rr), beta * (pc - rc)
    wrong = (rewards[0] - rewards[1]).sigmoid()  # the weight of a pair: how wrong it is ranked
    torch.testing.assert_close(pc.grad, -beta * wrong / 5)
    torch.testing.assert_close(pr.grad, beta * wrong / 5)
    assert rc.grad is None and rr.grad is None


@given(seeds)
def test_dpo_starts_at_log_2_and_is_a_preference_loss_of_what_was_gained(seed):
    pc, pr, rc, rr = four(seed)
    assert dpo_loss(pc, pr, pc, pr, 0.1).item() == pytest.approx(math.log(2))
    gained = 0.1 * (pc - rc), 0.1 * (pr - rr)
    torch.testing.assert_close(dpo_loss(pc, pr, rc, rr, 0.1), preference_loss(*gained))


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_scores_of_any_size_stay_finite(size):
    chosen = torch.tensor([size, -size]).requires_grad_()
    rejected = torch.zeros(2).requires_grad_()
    for loss in (
        preference_loss(chosen, rejected),
        dpo_loss(chosen, rejected, rejected, chosen, 1.0),
    ):
        loss.backward()
        assert loss.isfinite() and chosen.grad.isfinite().all() and rejected.grad.isfinite().all()


def test_no_pair_and_no_beta_are_refused():
    none, one = torch.zeros(0), torch.zeros(1)
    with pytest.raises(ValueError, match="chosen"):
        preference_loss(none, none)
    with pytest.raises(ValueError, match="policy_chosen"):
        dpo_loss(none, none, none, none, 0.1)
    for beta in (0.0, -0.1, math.inf):
        with pytest.raises(ValueError, match="beta"):
            dpo_loss(one, one, one, one, beta)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype):
    scores = [one.detach().to(dtype) for one in four(0)]
    exact = dpo_loss(*(one.double() for one in scores), 0.1)
    assert dpo_loss(*scores, 0.1) == exact.to(dtype)


# ------------------------------------------------------------------ rewards on a leash


@given(seeds)
def test_the_leash_costs_nothing_where_policy_and_reference_agree(seed):
    reward, log_probs = normal(3, seed=seed), normal(3, 4, seed=seed + 1)
    mask = normal(3, 4, seed=seed + 2) > 0
    torch.testing.assert_close(kl_reward(reward, log_probs, log_probs, mask, 0.5), reward)


def test_the_mean_cost_of_the_leash_is_the_divergence():
    policy, reference = (normal(6, seed=i).log_softmax(-1) for i in (0, 1))
    every_token = torch.arange(6)[:, None]  # each "text" is one token, weighted by the policy
    cost = -kl_reward(
        torch.zeros(6).double(), policy[every_token], reference[every_token],
        torch.ones(6, 1, dtype=torch.bool), 1.0,
    )  # fmt: skip
    expected = F.kl_div(reference, policy, log_target=True, reduction="sum")
    torch.testing.assert_close((policy.exp() * cost).sum(), expected)


def test_places_that_do_not_count_may_hold_anything():
    mask = torch.tensor([[True, False]])
    policy = torch.tensor([[-1.0, -math.inf]]).requires_grad_()
    reference = torch.tensor([[-3.0, -math.inf]])
    reward = kl_reward(torch.tensor([5.0]), policy, reference, mask, 0.5)
    assert reward.tolist() == [4.0]
    loss = policy_gradient_loss(policy, mask, torch.tensor([2.0]))
    loss.backward()
    assert loss.item() == 2.0 and policy.grad.tolist() == [[-2.0, 0.0]]


def test_beta_is_not_negative():
    one, row = torch.zeros(1), torch.zeros(1, 2)
    assert kl_reward(one, row, row + 1, row == 0, 0.0).tolist() == [0.0]
    with pytest.raises(ValueError, match="beta"):
        kl_reward(one, row, row, row == 0, -1.0)


def test_the_policy_gradient_is_the_gradient_of_the_expected_reward():
    logits = normal(5, seed=0).requires_grad_()
    rewards = normal(5, seed=1)
    (logits.softmax(-1) @ rewards).backward()
    exact, logits.grad = logits.grad.clone(), None
    # Every token once, weighted by its probability: the mean that sampling estimates.
    log_probs = logits.log_softmax(-1)
    weighted = rewards * log_probs.exp().detach() * 5
    policy_gradient_loss(log_probs[:, None], torch.ones(5, 1).bool(), weighted).backward()
    torch.testing.assert_close(-logits.grad, exact)


def test_the_advantage_gets_no_gradient():
    advantage = torch.ones(2, requires_grad=True)
    log_probs = torch.zeros(2, 3, requires_grad=True)
    policy_gradient_loss(log_probs, torch.ones(2, 3).bool(), advantage).backward()
    assert advantage.grad is None and log_probs.grad is not None


# ------------------------------------------------------------------ fewer bits


@given(seeds, st.integers(2, 8))
def test_a_quantised_row_is_off_by_half_a_step_at_most(seed, bits):
    weight = normal(4, 9, seed=seed, scale=10.0 ** (seed % 7 - 3))
    values, scale = quantize_rows(weight, bits)
    levels = 2 ** (bits - 1) - 1
    assert (values.abs().amax(-1) == levels).all()  # each row uses its whole range
    off = (dequantize_rows(values, scale) - weight).abs()
    assert (off <= scale[:, None] / 2 * (1 + 1e-9)).all()
    again, _ = quantize_rows(dequantize_rows(values, scale), bits)
    assert torch.equal(again, values)


@given(seeds, st.integers(2, 8))
def test_quantising_and_back_is_torch_s_with_the_same_scale(seed, bits):
    weight = normal(3, 5, seed=seed).float()
    values, scale = quantize_rows(weight, bits)
    levels, zero = 2 ** (bits - 1) - 1, torch.zeros(3, dtype=torch.int32)
    theirs = torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -levels, levels)
    torch.testing.assert_close(dequantize_rows(values, scale), theirs)


def test_a_row_of_zeros_and_one_that_is_hardly_more():
    weight = torch.tensor([[0.0, 0.0], [1e-44, -1e-44], [2.0, -1.0]])
    values, scale = quantize_rows(weight, 3)
    assert scale[0] == 0 and values[0].tolist() == [0, 0] and values[2].tolist() == [3, -2]
    assert dequantize_rows(values, scale).isfinite().all() and values.abs().max() <= 3


@pytest.mark.parametrize("bad", [1, 9])
def test_bits_are_2_to_8(bad):
    with pytest.raises(ValueError, match="bits"):
        quantize_rows(torch.ones(1, 1), bad)


@pytest.mark.parametrize("weight", [torch.ones(0, 2), torch.ones(2, 0), torch.tensor([[math.inf]])])
def test_a_weight_is_finite_and_not_empty(weight):
    with pytest.raises(ValueError, match="weight"):
        quantize_rows(weight, 4)


# ------------------------------------------------------------------ passages

passages = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 6)), max_size=6)


@given(passages, st.integers(0, 15))
def test_passages_fit_come_by_score_and_none_is_left_out_without_need(found, budget):
    scores, lengths = [s for s, _ in found], [n for _, n in found]
    chosen = choose_passages(scores, lengths, budget)
    assert len(set(chosen)) == len(chosen) and sum(lengths[i] for i in chosen) <= budget
    assert all((-scores[a], a) < (-scores[b], b) for a, b in itertools.pairwise(chosen))
    for left_out in set(range(len(found))) - set(chosen):
        better = [i for i in chosen if (-scores[i], i) < (-scores[left_out], left_out)]
        assert sum(lengths[i] for i in better) + lengths[left_out] > budget


def test_passages_as_a_person_would_choose():
    assert choose_passages([0.2, 0.9, 0.5, 0.5], [3, 6, 8, 4], 10) == [1, 3]
    assert choose_passages(torch.tensor([0.1, 0.7]), torch.tensor([1, 1]), 5) == [1, 0]


@pytest.mark.parametrize(
    ("scores", "lengths", "budget", "name"),
    [([1.0], [1, 2], 3, "lengths"), ([1.0], [-1], 3, "lengths"), ([1.0], [1], -1, "budget"),
     ([math.nan], [1], 3, "scores")],
)  # fmt: skip
def test_passages_that_cannot_be_chosen_from(scores, lengths, budget, name):
    with pytest.raises(ValueError, match=name):
        choose_passages(scores, lengths, budget)
