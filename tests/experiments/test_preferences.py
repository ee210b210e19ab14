from __future__ import annotations

import copy
import math

import pytest
import torch

from course_lib.data.storyland import Storyland
from course_lib.experiments import preferences


@pytest.fixture(scope="module")
def world():
    return Storyland(0, "small", ("encounter",))


@pytest.fixture(scope="module")
def writer(world):
    return preferences.writer(world, steps=30, generator=seeded(0), width=16)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def as_rows(stories, world):
    longest = max(len(story) for story in stories)
    return torch.tensor(
        [[world.end_id, *story, *[world.end_id] * (longest - len(story))] for story in stories]
    )


def test_true_reward_is_the_mood_that_the_world_says(world):
    stories = list(world.stories(300, seed=4))
    rewards = preferences.true_reward(world)(as_rows([s.ids.tolist() for s in stories], world))
    assert rewards.tolist() == [float(story.sentiment == "positive") for story in stories]


def test_what_is_no_story_is_worth_nothing(world):
    good = next(s for s in world.stories(20, seed=1) if s.sentiment == "positive").ids.tolist()
    reward = preferences.true_reward(world)
    stop = world.token_to_id["."]
    first = good.index(stop) + 1
    broken = {
        "the last sentence in twice": [*good[:-1], *good[first:]],
        "a sentence is missing": good[first:],
        "the ending is scrambled": [*good[:-4], good[-3], good[-4], *good[-2:]],
        "no end": [*good[:-1], *[stop] * 3],
    }
    for what, story in broken.items():
        ids = torch.tensor([[world.end_id, *story]])
        assert reward(ids).item() == 0, what
    assert reward(torch.tensor([[world.end_id, *good]])).item() == 1


def test_what_was_written_ends_with_the_first_end(world, writer):
    ids = torch.tensor([[9, 1, 2, 9, 9], [9, 1, 9, 9, 9], [9, 1, 2, 3, 4]])
    assert preferences.written(ids, 9).sum(1).tolist() == [3, 2, 4]

    ids = preferences.write(writer, world.end_id, 8, seeded(3))
    for row, mask in zip(ids[:, 1:], preferences.written(ids, world.end_id)):
        assert (row[~mask] == world.end_id).all()
        assert (row[mask][:-1] != world.end_id).all()


def test_log_probability_of_a_story_is_that_of_its_tokens(world, writer):
    ids = preferences.write(writer, world.end_id, 4, seeded(5))
    sums = preferences.story_log_probs(writer, ids, world.end_id)
    for row, total in zip(ids, sums):
        n = preferences.written(row[None], world.end_id).sum()
        alone = writer(row[None, : n + 1]).log_softmax(-1)[0, :-1]
        by_hand = sum(alone[i, token] for i, token in enumerate(row[1 : n + 1]))
        torch.testing.assert_close(total, by_hand, rtol=1e-4, atol=1e-4)


def test_a_learned_reward_prefers_what_was_preferred(world, writer):
    happy = world.token_to_id["happy"]

    def says_happy(ids):
        return (ids == happy).any(1).float()

    pairs = preferences.prefer(writer, says_happy, world, 200, seeded(6))
    assert len(pairs.chosen) > 5
    assert says_happy(pairs.chosen).all() and not says_happy(pairs.rejected).any()
    learned = preferences.learned_reward(pairs, world, steps=100)
    assert (learned(pairs.chosen) > learned(pairs.rejected)).float().mean() > 0.9


def test_best_of_n_is_the_mean_then_the_best():
    scores, true = torch.tensor([3.0, 1.0, 2.0, 0.0]), torch.tensor([0.0, 1.0, 0.5, 0.25])
    one, two, many = preferences.best_of_n(scores, true, (1, 2, 200))
    assert (one.kl, one.trained_for, one.true) == pytest.approx((0, 1.5, 0.4375))
    pairs = [(a, b) for a in range(4) for b in range(4)]
    assert two.trained_for == pytest.approx(sum(max(pair) for pair in pairs) / 16)
    assert two.kl == pytest.approx(math.log(2) - 0.5)
    assert (many.trained_for, many.true) == pytest.approx((3, 0))


def test_policies_move_and_their_start_does_not(world, writer):
    before = copy.deepcopy(writer.state_dict())
    happy = world.token_to_id["happy"]

    def says_happy(ids):
        return (ids == happy).sum(1).float()

    def see(policy):
        rewards = says_happy, says_happy
        return preferences.look(policy, writer, rewards, world.end_id, seeded(1), 64)

    start = see(writer)
    assert start.kl == pytest.approx(0, abs=1e-4)
    _, tried = preferences.by_policy_gradient(
        writer, says_happy, world.end_id, beta=0.0, steps=12, every=6, generator=seeded(2),
        see=see, learning_rate=3e-3,
    )  # fmt: skip
    pairs = preferences.prefer(writer, says_happy, world, 100, seeded(2))
    by_pairs = preferences.by_dpo(
        writer, pairs, world.end_id, beta=0.1, steps=12, every=6, generator=seeded(2), see=see,
        learning_rate=3e-3,
    )  # fmt: skip
    for looks in (tried, by_pairs):
        assert len(looks) == 2
        assert looks[-1].true > start.true and looks[-1].kl > 0.01
    assert all(torch.equal(value, before[name]) for name, value in writer.state_dict().items())
