from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from course_lib.data.digits import load_digits, to_patches
from course_lib.data.storyland import Storyland
from course_lib.encoder import EncoderConfig
from course_lib.experiments import encoder as lab
from course_lib.finetuning import SequenceClassifier, TokenClassifier, trainable_parameters


@pytest.fixture(scope="module")
def world():
    return Storyland(0, "small")


@pytest.fixture(scope="module")
def reader(world):
    return lab.Reader(world)


def test_openings_and_endings(world):
    openings, endings = lab.tell(world, 200, seed=1)
    stories = list(world.stories(200, seed=1))
    for opening, ending, story in zip(openings, endings, stories):
        n, m = len(opening.tokens), len(ending.tokens)
        assert opening.tokens == story.tokens[:n] and opening.tags == story.entities[:n]
        assert ending.tokens == story.tokens[-m - 1 : -1]  # before "<end>"
        assert opening.tokens.count(".") == ending.tokens.count(".") == 1
        assert ending.sentiment == (story.sentiment == "positive")
        assert ending.negated == story.negated and opening.sentiment == -100
    assert 0.3 < sum(s.negated for s in endings) / 200 < 0.7


def test_batches(world, reader):
    openings, _ = lab.tell(world, 20, seed=1)
    batch = reader.batch(s.tokens for s in openings)
    assert (batch.ids[:, 0] == reader.cls_id).all()
    assert torch.equal(
        batch.attention_mask.sum(1), torch.tensor([len(s.tokens) + 1 for s in openings])
    )
    assert torch.equal(batch.special_mask.sum(1) + torch.tensor([len(s.tokens) for s in openings]),
                       torch.full((20,), batch.ids.shape[1]))  # fmt: skip
    row = batch.ids[3][~batch.special_mask[3]].tolist()
    assert [reader.vocab[i] for i in row] == list(openings[3].tokens)
    tags = reader.tags(openings)
    assert tags.shape == batch.ids.shape
    assert torch.equal(tags == -100, batch.special_mask)


def test_true_fill_in_is_bayes_rule(world):
    """P(word | others) by the chain rule: P(word | left) * P(right | left, word), normalised."""
    openings, _ = lab.tell(world, 12, seed=3)
    for place, sentence in enumerate(openings):
        place = place % (len(sentence.tokens) - 1)
        probs = lab.true_fill_in(world, sentence.tokens, place)
        assert probs.sum().item() == pytest.approx(1)
        prior = world.next_token_probs(world.ids(sentence.tokens[:place]))
        joint = torch.zeros_like(prior)
        for candidate in prior.nonzero()[:, 0].tolist():
            ids = world.ids(sentence.tokens)
            ids[place] = candidate
            joint[candidate] = prior[candidate] * world.log_probs(ids)[place + 1 :].sum().exp()
        torch.testing.assert_close(probs, joint / joint.sum())


def test_true_fill_in_equals_counting():
    """Among the openings that differ in one place only, the gap is filled as often as foretold."""
    world = Storyland(0, "tiny")
    openings, _ = lab.tell(world, 5000, seed=4)
    for place in (1, 3):
        context = Counter((s.tokens[:place], s.tokens[place + 1 :]) for s in openings)
        (before, after), n = context.most_common(1)[0]
        assert n > 200
        words = Counter(
            s.tokens[place]
            for s in openings
            if (s.tokens[:place], s.tokens[place + 1 :]) == (before, after)
        )
        probs = lab.true_fill_in(world, [*before, world.vocab[0], *after], place)
        assert probs.sum().item() == pytest.approx(1)
        for word, p in zip(world.vocab, probs.tolist()):
            assert abs(words[word] / n - p) <= 5 * math.sqrt(p * (1 - p) / n) + 1e-9


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["O", "B-PLACE", "I-PLACE", "O"], {(1, 3, "PLACE")}),
        (["B-PERSON", "B-PERSON", "I-PERSON"], {(0, 1, "PERSON"), (1, 3, "PERSON")}),
        (["B-PERSON", "I-PLACE"], {(0, 1, "PERSON"), (1, 2, "PLACE")}),
        (["I-ANIMAL", "I-ANIMAL", "O", "I-ANIMAL"], {(0, 2, "ANIMAL"), (3, 4, "ANIMAL")}),
        (["O", "O"], set()),
        ([], set()),
    ],
)
def test_spans(tags, expected):
    assert lab.spans(tags) == expected


def test_f1_by_hand():
    true = [["B-PLACE", "I-PLACE", "O"], ["B-PERSON", "O", "O"]]
    half = [["B-PLACE", "O", "O"], ["B-PERSON", "O", "B-ANIMAL"]]  # 1 of 3 found right, 1 of 2 true
    assert lab.entity_f1(true, true) == 1
    assert lab.entity_f1(true, half) == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    assert lab.entity_f1(true, [["O"] * 3] * 2) == 0


def test_the_list_of_names():
    def sentence(words, tags):
        return lab.Sentence(tuple(words.split()), tuple(tags.split()), -100, False)

    labelled = [sentence("a b", "O B-PLACE"), sentence("b b", "B-PERSON B-PERSON")]
    got = lab.most_frequent_tags(labelled, [sentence("b a c", "O O O")])
    assert got == [["B-PERSON", "O", "O"]]


def test_methods_train_what_they_say(reader):
    encoder = lab.new_masked_lm(lab.encoder_config(reader), torch.Generator()).encoder
    everything = sum(p.numel() for p in encoder.parameters())
    head = 64 * 7 + 7
    lora = 2 * 2 * 4 * (64 + 64)
    expected = {"features": head, "LoRA": head + lora, "full": head + everything}
    for method, n in expected.items():
        model = lab.adapt(encoder, TokenClassifier, 7, method, torch.Generator())
        assert trainable_parameters(model) == n
        assert torch.equal(model.encoder.token_embedding.weight, encoder.token_embedding.weight)
    fresh = lab.adapt(encoder, TokenClassifier, 7, "from scratch", torch.Generator())
    assert trainable_parameters(fresh) == expected["full"]
    assert trainable_parameters(encoder) == everything


def test_a_bag_of_words_cannot_see_order(reader):
    model = lab.BagOfWords(len(reader.vocab), 2)
    torch.nn.init.normal_(model.weight.weight)
    batch = reader.batch(["not sad but happy .".split(), "not happy but sad .".split()])
    one, other = model(*batch.inputs)
    torch.testing.assert_close(one, other)


def test_a_little_of_everything_runs_and_learns(world, reader):
    """All steps of the notebook in small; the numbers are the notebook's business."""
    openings, endings = lab.tell(world, 60, seed=1)
    text = reader.batch(s.tokens for s in openings + endings)
    model, losses = lab.pretrain(reader, text, seed=0, steps=12, batch_size=16)
    assert len(losses) == 12 and losses[-1] < losses[0]
    again, same = lab.pretrain(reader, text, seed=0, steps=12, batch_size=16)
    assert same == losses
    surprise = lab.hidden_word_losses(model, world, reader, openings[:10], seed=0)
    assert surprise["best, both sides"] <= surprise["model, both sides"]
    shares = lab.shares_predicted(model, text)
    assert all(0 <= share <= 1 for share in shares.values())
    assert 0 <= lab.right_kind_of_feeling(model, world, reader, endings) <= 1
    _, losses = lab.learn_next_word_unmasked(reader, text, seed=0, steps=12, batch_size=16)
    assert losses[-1] < losses[0]
    moods = torch.tensor([s.sentiment for s in endings])
    mood_text = reader.batch(s.tokens for s in endings)
    for classifier in (
        lab.fit(model.encoder, SequenceClassifier, 2, "LoRA", mood_text, moods, seed=0, steps=3),
        lab.fit_bag_of_words(reader, mood_text, moods, seed=0, steps=3),
    ):
        assert set(lab.sentiment_accuracy(classifier, mood_text, endings)) == {"plain", "negated"}
    scores = lab.f1_by_labels(model.encoder, reader, openings, openings, [5, 60], seed=0, steps=3)
    assert set(scores) == set(lab.METHODS)
    assert all(len(row) == 2 and 0 <= min(row) <= max(row) <= 1 for row in scores.values())


def test_without_positions_patches_are_a_bag():
    digits, _ = load_digits()
    patches = to_patches(digits.images[:4], 2)
    shuffled = patches[:, torch.randperm(16, generator=torch.Generator().manual_seed(0))]
    for positions in (True, False):
        model = lab.PatchClassifier(4, 16, torch.Generator().manual_seed(0), positions=positions)
        same = torch.allclose(model(patches), model(shuffled), atol=1e-4)
        assert same == (not positions)


def test_digits_are_learned():
    train, test = load_digits()
    model = lab.fit_digits(train, seed=0, steps=60)
    assert (lab.digit_predictions(model, test) == test.labels).float().mean() > 0.5


def test_the_nearest_of_known_digits():
    known, digits = load_digits()
    assert torch.equal(lab.nearest_digits(known, known), known.labels)
    first = type(digits)(digits.images[:1], digits.labels[:1])
    squares = (known.images - first.images).square().sum((1, 2))
    assert lab.nearest_digits(known, first).item() == known.labels[squares.argmin()]


def test_the_encoder_is_small(reader):
    config = lab.encoder_config(reader)
    assert isinstance(config, EncoderConfig)
    model = lab.new_masked_lm(config, torch.Generator())
    assert sum(p.numel() for p in model.parameters()) < 120_000
