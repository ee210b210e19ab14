from __future__ import annotations

import math
from functools import cache

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn

from course_lib.data.storyland import Storyland
from course_lib.decoder import DecoderLM, n_parameters
from course_lib.experiments import decoder as race
from course_lib.ngram import train_ngram
from course_lib.pretrained.export import export_decoder, load_decoder

WORLD = Storyland(0, "tiny", ("role",))
VOCAB = len(WORLD.vocab)
TEXT = WORLD.sample_ids(20_000, seed=1)
STORIES = race.held_out(WORLD, 30, seed=2)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def true_log_probs(prefix: tuple[int, ...]) -> torch.Tensor:
    return WORLD.next_token_probs(prefix).log()


class Oracle(nn.Module):
    """Knows the world: its logits are the true log-probabilities."""

    def forward(self, ids):
        logits = torch.zeros(*ids.shape, VOCAB, dtype=torch.float64)
        for row, story in zip(logits, ids.tolist(), strict=True):
            for place in range(len(story)):
                try:
                    row[place] = true_log_probs(tuple(story[1 : place + 1]))
                except ValueError:  # filler after the end
                    break
        return logits


def test_held_out_rows_are_the_stories():
    for row, story in zip(STORIES.ids, WORLD.stories(30, seed=2), strict=True):
        row = row[row != race.IGNORED].tolist()
        assert row[0] == WORLD.end_id and row[1:] == story.ids.tolist()


def test_who_knows_the_world_loses_the_entropy():
    assert race.held_out_loss(Oracle(), STORIES) == pytest.approx(STORIES.entropy)
    many = race.held_out(WORLD, 1500, seed=3)
    assert many.entropy == pytest.approx(WORLD.entropy_rate(), rel=0.03)


def test_nothing_that_counts_gets_below_the_entropy():
    counts = train_ngram(TEXT, 5)
    losses = [race.ngram_loss(counts, n, STORIES, VOCAB) for n in range(1, 6)]
    assert losses == sorted(losses, reverse=True)
    assert STORIES.entropy < losses[-1] < losses[0] < math.log(VOCAB)


def test_who_knows_the_world_writes_possible_stories():
    written = race.write_stories(Oracle(), WORLD.end_id, 8, 60, seeded())
    assert race.share_possible(WORLD, written) == 1
    assert all(story.count(WORLD.end_id) == 1 for story in written)
    assert len(set(map(tuple, written))) > 1


def test_unfinished_and_wrong_stories_are_not_possible():
    story = next(WORLD.stories(1, seed=0)).ids.tolist()
    assert race.share_possible(WORLD, [story, story[:-1], story[::-1], story]) == 0.5


def test_ngram_stories_end():
    counts = train_ngram(TEXT, 5)
    options = (WORLD.end_id, 20, 60, VOCAB)
    written = race.write_ngram_stories(counts, 5, *options, seeded())
    assert written == race.write_ngram_stories(counts, 5, *options, seeded())
    assert all(story[-1] == WORLD.end_id or len(story) == 60 for story in written)
    nonsense = race.write_ngram_stories(counts, 1, *options, seeded())
    assert race.share_possible(WORLD, written) > race.share_possible(WORLD, nonsense)


def test_lstm_looks_back_only_and_follows_its_seed():
    model = race.LSTMLanguageModel(VOCAB, 8, 1, seeded())
    same = race.LSTMLanguageModel(VOCAB, 8, 1, seeded())
    ids = TEXT[None, :10].clone()
    before = model(ids)
    assert torch.equal(before, same(ids)) and before.shape == (1, 10, VOCAB)
    ids[0, 6] = (ids[0, 6] + 1) % VOCAB
    after = model(ids)
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_both_networks_learn_and_can_be_repeated():
    config = race.decoder_config(VOCAB)
    curves = []
    for make in (
        lambda: DecoderLM(config, seeded()),
        lambda: DecoderLM(config, seeded()),
        lambda: race.LSTMLanguageModel(VOCAB, 16, 1, seeded()),
    ):
        options = {"steps": 12, "learning_rate": 1e-2, "seed": 0}
        curves.append(race.loss_curve(make(), TEXT, STORIES, **options))
    assert curves[0] == curves[1]
    for curve in curves:
        assert max(curve) == 12 * race.BATCH * race.LENGTH
        assert STORIES.entropy < curve[max(curve)] < curve[min(curve)]


def test_transformers_reads_what_the_race_has_trained(tmp_path):
    model = DecoderLM(race.decoder_config(VOCAB), seeded())
    assert n_parameters(model.config) == sum(p.numel() for p in model.parameters())
    race.loss_curve(model, TEXT, STORIES, steps=12, learning_rate=1e-2, seed=0)
    words = Tokenizer(models.WordLevel(WORLD.token_to_id))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    export_decoder(model, tmp_path, words)

    story = next(WORLD.stories(1, seed=3))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path)(
        " ".join(story.tokens), return_tensors="pt"
    )
    assert ids["input_ids"][0].tolist() == story.ids.tolist()
    with torch.no_grad():
        ours, logits = model(story.ids[None]), theirs(ids["input_ids"]).logits
    torch.testing.assert_close(ours, logits, rtol=1e-4, atol=1e-4)
    back = load_decoder(tmp_path)
    assert back.config == model.config
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), back.parameters()))
