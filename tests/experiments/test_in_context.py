from __future__ import annotations

import pytest
import torch

from course_lib.data.word_tasks import REVIEWS, SENTIMENTS
from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.experiments import in_context as experiments
from course_lib.in_context import option_log_likelihoods


def test_examples_and_questions_are_balanced_and_apart():
    for seed in (0, 1):
        examples, questions = experiments.draw_reviews(4, 30, seed)
        for pairs, n in ((examples, 4), (questions, 30)):
            assert [sum(label == s for _, label in pairs) for s in SENTIMENTS] == [n // 2] * 2
        assert not set(examples) & set(questions) and set(examples) < set(REVIEWS)
    assert questions == experiments.draw_reviews(4, 30, 0)[1]
    assert examples != experiments.draw_reviews(4, 30, 0)[0]


def test_labels_are_turned_round():
    examples, _ = experiments.draw_reviews(8, 10, 0)
    turned, half = experiments.flipped(examples), experiments.half_flipped(examples, 0)
    assert [text for text, _ in turned] == [text for text, _ in half] == [t for t, _ in examples]
    assert all(a != b for (_, a), (_, b) in zip(examples, turned, strict=True))
    for sentiment in SENTIMENTS:  # what the label says about the truth: nothing
        now = [new for (_, old), (_, new) in zip(examples, half, strict=True) if old == sentiment]
        assert sorted(now) == sorted(SENTIMENTS * 2)


class Letters:
    def encode(self, text):
        return [ord(letter) - 90 for letter in text]


def small_model():
    config = DecoderConfig(40, 64, width=16, n_layers=2, n_heads=2, ffn_width=32)
    return DecoderLM(config, torch.Generator().manual_seed(0)).eval()


def test_labels_of_one_token_are_scored_like_options():
    model, prompts = small_model(), ["abc", "d", "hgfed"]
    got = experiments.label_log_likelihoods(model, Letters(), prompts, ["x", "z"])
    for row, prompt in zip(got, prompts, strict=True):
        ids = Letters().encode(prompt)
        options = [Letters().encode("x"), Letters().encode("z")]
        torch.testing.assert_close(row, option_log_likelihoods(model, ids, options))
    with pytest.raises(ValueError, match="labels"):
        experiments.label_log_likelihoods(model, Letters(), prompts, ["xy"])


def test_heads_come_back_when_the_block_ends():
    model, ids = small_model(), torch.arange(8)[None]
    before = model(ids)
    with experiments.heads_switched_off(model, [(0, 1)]):
        assert not torch.allclose(model(ids), before)
    assert torch.equal(model(ids), before)

    everything = [(layer, head) for layer in range(2) for head in range(2)]
    with experiments.heads_switched_off(model, everything):  # nothing flows between places
        changed = ids.clone()
        changed[0, 0] = 9
        torch.testing.assert_close(model(ids)[:, 1:], model(changed)[:, 1:])


def test_texts_repeat_themselves_after_periods_of_their_own():
    texts = experiments.repeating_texts(50, (5, 9), torch.Generator().manual_seed(0))
    assert texts.shape == (50, experiments.LENGTH)
    periods = {next(p for p in range(1, 10) if torch.equal(text[p:], text[:-p])) for text in texts}
    assert periods == set(range(5, 10))


def test_a_training_can_be_watched_and_repeated():
    runs = [experiments.grow_induction_heads(2, steps=6, every=3) for _ in range(2)]
    seen = runs[0][1]
    assert seen == runs[1][1]
    assert seen.steps == [0, 3, 6]
    assert len(seen.induction) == len(seen.previous) == 2
    assert all(len(scores) == 3 for scores in seen.induction)


def test_two_layers_grow_an_induction_head():
    _, seen = experiments.grow_induction_heads(2, steps=200, every=200)
    assert seen.induction[1][0] < 0.1 and seen.induction[1][1] > 0.4
    assert seen.second[1] < seen.second[0] - 1 < seen.first[1]


def test_control_heads_are_the_lowest_of_the_same_layers():
    scores = torch.tensor([[0.9, 0.1, 0.5, 0.3], [0.0, 0.2, 0.4, 0.8], [0.7, 0.6, 0.0, 0.1]])
    ranked = experiments.ranked_heads(scores)
    assert ranked[:3] == [(0, 0), (1, 3), (2, 0)] and len(set(ranked)) == 12
    assert experiments.control_heads(scores, [(0, 0), (0, 2), (2, 1)]) == [(0, 1), (0, 3), (2, 2)]
