"""Preferences where the true reward is known: stories that should end well (notebook 11)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from course_lib.adapting import dpo_loss, kl_reward, policy_gradient_loss, preference_loss
from course_lib.data.storyland import Storyland
from course_lib.decoder import DecoderConfig, DecoderLM, decode_step
from course_lib.objectives import causal_lm_loss
from course_lib.training import sample_windows, train

LONGEST = 32  # tokens; what has not ended by then is cut off, and worth nothing

Reward = Callable[[Int64[Tensor, "stories time"]], Float[Tensor, "stories"]]


def writer(
    world: Storyland, *, steps: int, generator: torch.Generator, width: int = 64
) -> DecoderLM:
    """A small decoder that has read stories: where every adaptation starts."""
    config = DecoderConfig(len(world.vocab), 128, width, 2, 4, 4 * width, positions="rope")
    model = DecoderLM(config, generator)
    text = world.sample_ids(steps * 16 * 48, seed=1)

    def next_loss(generator: torch.Generator) -> Tensor:
        ids = sample_windows(text, 16, 48, generator)
        return causal_lm_loss(model(ids), ids)

    train(
        model, next_loss, steps=steps, generator=generator, learning_rate=1e-2,
        warmup=steps // 10, progress=False,
    )  # fmt: skip
    return model


@torch.no_grad()
def write(
    model: DecoderLM, end_id: int, n_stories: int, generator: torch.Generator
) -> Int64[Tensor, "stories time"]:
    """Stories drawn token by token, each with the "<end>" of the one before in front; rows that
    have ended are filled up with "<end>"."""
    token = torch.full((n_stories, 1), end_id)
    columns, cache, ended = [token], None, torch.zeros(n_stories, 1, dtype=torch.bool)
    for _ in range(LONGEST):
        logits, cache = decode_step(model, token, cache)
        token = torch.multinomial(logits.softmax(-1), 1, generator=generator)
        token = token.masked_fill(ended, end_id)
        columns.append(token)
        ended = ended | (token == end_id)
        if ended.all():
            break
    return torch.cat(columns, dim=1)


def written(ids: Int64[Tensor, "stories time"], end_id: int) -> Bool[Tensor, "stories time_less_1"]:
    """Which tokens were written, of all but the first: up to the "<end>", and that one too."""
    ends = (ids[:, 1:] == end_id).long()
    return ends.cumsum(1) - ends == 0


def token_log_probs(
    model: nn.Module, ids: Int64[Tensor, "stories time"]
) -> Float[Tensor, "stories time_less_1"]:
    """Log-probability of each token but the first, given those before it."""
    return model(ids[:, :-1]).log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]


def true_reward(world: Storyland) -> Reward:
    """1 for a story of three sentences of which the last is one that this world can say, and tells
    of a good mood; else 0.

    The mood is the first feeling without a "not" before it: "happy, not sad", "happy rather than
    sad" and "not sad but happy" end well.
    """
    kinds = {
        world.token_to_id[word]: kind == "good feelings"
        for kind in ("good feelings", "bad feelings")
        for word in world.categories[kind]
    }
    negation, stop = world.token_to_id["not"], world.token_to_id["."]
    (told,) = world.stories(1, seed=0)
    *beginning, _ = _sentences(told.ids.tolist(), stop)  # whatever happened, it may end in any mood

    def of(story: list[int]) -> float:
        if story[-1] != world.end_id or len(sentences := _sentences(story, stop)) != 3:
            return 0.0
        ending = sentences[-1]
        if not world.log_probs([*sum(beginning, []), *ending]).isfinite().all():
            return 0.0
        pairs = zip(ending, ending[1:], strict=False)
        return float(next(kinds[now] for old, now in pairs if now in kinds and old != negation))

    def reward(ids: Int64[Tensor, "stories time"]) -> Float[Tensor, "stories"]:
        lengths = written(ids, world.end_id).sum(1).tolist()
        return torch.tensor([of(row[1 : 1 + n]) for row, n in zip(ids.tolist(), lengths)])

    return reward


def _sentences(story: list[int], stop: int) -> list[list[int]]:
    """Cut after each full stop but the last: "<end>" stays with the last sentence."""
    sentences: list[list[int]] = [[]]
    for token in story[:-1]:
        sentences[-1].append(token)
        if token == stop:
            sentences.append([])
    *full, rest = sentences
    return [*full[:-1], [*full[-1], *rest, story[-1]]] if full else [[*rest, story[-1]]]


@dataclass(frozen=True)
class Pairs:
    """Two stories of the same writer, of which one was preferred, and how the writer saw them."""

    chosen: Int64[Tensor, "pairs time"]
    rejected: Int64[Tensor, "pairs time"]
    reference_chosen: Float[Tensor, "pairs"]
    reference_rejected: Float[Tensor, "pairs"]


@torch.no_grad()
def prefer(
    model: DecoderLM, reward: Reward, world: Storyland, n: int, generator: torch.Generator
) -> Pairs:
    """Stories of the model in pairs, judged by the reward; ties are left out."""
    ids = write(model, world.end_id, 2 * n, generator)
    one, other = ids.view(n, 2, -1).unbind(1)
    first, second = reward(ids).view(n, 2).unbind(1)
    better = (first > second)[:, None]
    told_apart = first != second
    chosen = torch.where(better, one, other)[told_apart]
    rejected = torch.where(better, other, one)[told_apart]
    sums = (story_log_probs(model, some, world.end_id) for some in (chosen, rejected))
    return Pairs(chosen, rejected, *sums)


def story_log_probs(
    model: nn.Module, ids: Int64[Tensor, "stories time"], end_id: int
) -> Float[Tensor, "stories"]:
    """Log-probability of each story, summed over what was written."""
    return token_log_probs(model, ids).masked_fill(~written(ids, end_id), 0).sum(1)


def learned_reward(
    pairs: Pairs, world: Storyland, *, steps: int = 300, learning_rate: float = 0.05
) -> Reward:
    """A reward model trained on preferences: a number for each word, added up over the story."""
    worth = torch.zeros(len(world.vocab), requires_grad=True)

    def score(ids: Int64[Tensor, "stories time"]) -> Float[Tensor, "stories"]:
        return worth[ids[:, 1:]].masked_fill(~written(ids, world.end_id), 0).sum(1)

    optimizer = torch.optim.Adam([worth], lr=learning_rate)
    for _ in range(steps):
        optimizer.zero_grad()
        preference_loss(score(pairs.chosen), score(pairs.rejected)).backward()
        optimizer.step()
    worth.requires_grad_(False)
    return score


@dataclass(frozen=True)
class Look:
    """A policy on its way: how far it has gone from the start (nats a story), what the reward that
    it is trained for says, and what the true one says."""

    kl: float
    trained_for: float
    true: float


@torch.no_grad()
def look(
    policy: DecoderLM, start: DecoderLM, rewards: tuple[Reward, Reward], end_id: int,
    generator: torch.Generator, n_stories: int = 96,
) -> Look:  # fmt: skip
    """Measure a policy on stories of its own; `rewards` are the one it is trained for, and the
    true one."""
    ids = write(policy, end_id, n_stories, generator)
    gained = story_log_probs(policy, ids, end_id) - story_log_probs(start, ids, end_id)
    trained_for, true = (reward(ids).mean().item() for reward in rewards)
    return Look(gained.mean().item(), trained_for, true)


def by_dpo(
    start: DecoderLM, pairs: Pairs, end_id: int, *, beta: float, steps: int, every: int,
    generator: torch.Generator, see: Callable[[DecoderLM], Look], learning_rate: float = 3e-4,
) -> list[Look]:  # fmt: skip
    """Learn from the pairs alone; nothing is written on the way, except to look."""
    policy, looks = copy.deepcopy(start), []
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    for step in range(1, steps + 1):
        some = torch.randint(len(pairs.chosen), (32,), generator=generator)
        both = torch.cat([pairs.chosen[some], pairs.rejected[some]])
        chosen, rejected = story_log_probs(policy, both, end_id).chunk(2)
        given = pairs.reference_chosen[some], pairs.reference_rejected[some]
        optimizer.zero_grad()
        dpo_loss(chosen, rejected, *given, beta).backward()
        optimizer.step()
        if step % every == 0:
            looks.append(see(policy))
    return looks


def by_policy_gradient(
    start: DecoderLM, reward: Reward, end_id: int, *, beta: float, steps: int, every: int,
    generator: torch.Generator, see: Callable[[DecoderLM], Look], learning_rate: float = 1.5e-3,
    n_stories: int = 48,
) -> tuple[DecoderLM, list[Look]]:  # fmt: skip
    """Write, be rewarded on a leash, make what was better than the batch's mean more probable."""
    policy, looks = copy.deepcopy(start), []
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    for step in range(1, steps + 1):
        ids = write(policy, end_id, n_stories, generator)
        mask = written(ids, end_id)
        log_probs = token_log_probs(policy, ids)
        with torch.no_grad():
            of_start = token_log_probs(start, ids)
        leashed = kl_reward(reward(ids), log_probs.detach(), of_start, mask, beta)
        advantage = (leashed - leashed.mean()) / (leashed.std() + 1e-6)
        optimizer.zero_grad()
        policy_gradient_loss(log_probs, mask, advantage).backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        if step % every == 0:
            looks.append(see(policy))
    return policy, looks


def best_of_n(
    scores: Float[Tensor, "stories"], true: Float[Tensor, "stories"], ns: tuple[int, ...]
) -> list[Look]:
    """The best of n stories by a score, over all ways to draw n of these.

    KL is at most log n - (n - 1) / n nats, whatever is scored (Stiennon et al. 2020, appendix G.3).
    """
    order = scores.argsort(stable=True)
    places = torch.arange(1, len(scores) + 1, dtype=torch.float64) / len(scores)
    looks = []
    for n in ns:
        share = places**n - (places - 1 / len(scores)) ** n  # how often each place is the best
        kl = math.log(n) - (n - 1) / n
        pick = [(share * values[order].double()).sum().item() for values in (scores, true)]
        looks.append(Look(kl, *pick))
    return looks
