from __future__ import annotations

import pytest
import torch

from course_lib.data.number_words import SENTINELS, START, train_tokenizer
from course_lib.experiments import encoder_decoder as experiments
from course_lib.objectives import fill_spans


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(range(0, 3000, 5), 340)


@pytest.fixture(scope="module")
def encounters():
    return experiments.stories(300, 50, seed=0)


def test_tasks_write_what_is_true(encounters):
    assert experiments.translation(23) == ("twenty-three", "dreiundzwanzig")
    assert experiments.digits(23) == ("dreiundzwanzig", "23")
    for story in encounters[0]:
        deed = story.facts[0]
        text, line = experiments.headline(story)
        assert line == f"{deed.agent} {deed.verb} {deed.patient}"
        assert text.count(".") == 2 and text.endswith(".") and text == text.lower()
        active = f"the {deed.agent} {deed.verb} the {deed.patient} " in text
        passive = f"the {deed.patient} was {deed.verb} by the {deed.agent} " in text
        assert active != passive
        asked, who = experiments.question(story)
        assert who == deed.agent and asked.endswith(text)


def test_both_voices_are_common(encounters):
    passive = [" was " in experiments.told(story) for story in encounters[0]]
    assert 0.3 < sum(passive) / len(passive) < 0.7


def test_no_story_of_the_test_is_learned_from(encounters):
    learn, test = ({experiments.told(story) for story in some} for some in encounters)
    assert test and not learn & test


def test_tasks_keep_test_items_apart_and_fit_the_model():
    generator = torch.Generator().manual_seed(0)
    tasks = experiments.make_tasks(generator, n_test=20)
    assert list(tasks.pairs) == ["translation", "digits", "question", "headline"]
    for name, (learn, test) in tasks.pairs.items():
        assert not {source for source, _ in learn} & {source for source, _ in test}
        assert all(source.startswith(f"{name}: ") for source, _ in learn + test)
    source_ids, labels = tasks.next_batch(generator)
    assert len(source_ids) == len(labels) == 4 * tasks.batch
    model = experiments.new_model(tasks.tokenizer, generator)
    loss = experiments.loss_on(model, source_ids, labels, tasks.tokenizer.special_tokens[START])
    assert loss.item() > 1


def test_corrupted_texts_can_be_put_back(tokenizer):
    texts = ["siebenunddreißigtausendvierhundertzwei", "forty-one thousand, two hundred and six"]
    generator = torch.Generator().manual_seed(0)
    sources, labels = experiments.corrupt_texts(texts, tokenizer, generator, 0.4, 2.0)
    sentinels = [tokenizer.special_tokens[sentinel] for sentinel in SENTINELS]
    for text, source, target in zip(texts, sources.tolist(), labels.tolist()):
        source = [i for i in source if i != 0]
        target = [i for i in target if i not in (-100, 2)]  # 2 is the end token
        assert tokenizer.decode(fill_spans(source, target, sentinels)) == text


def test_a_model_learns_one_pair_by_heart_and_is_scored(tokenizer):
    generator = torch.Generator().manual_seed(0)
    model = experiments.new_model(tokenizer, generator)
    pairs = [experiments.translation(23)]
    experiments.fit(
        model,
        lambda generator: experiments.encode_pairs(pairs, tokenizer),
        tokenizer.special_tokens[START],
        steps=20,
        learning_rate=3e-3,
        generator=generator,
    )
    assert experiments.answer(model, ["twenty-three"], tokenizer) == ["dreiundzwanzig"]
    assert experiments.exact_match(model, pairs, tokenizer) == 1
    assert experiments.exact_match(model, [*pairs, ("forty", "vierzig")], tokenizer) == 0.5


def test_alignment_is_measured_where_the_words_stand(tokenizer):
    model = experiments.new_model(tokenizer, torch.Generator().manual_seed(0))
    maps, source, target = experiments.cross_attention_maps(model, 41_253, tokenizer)
    assert [weights.shape for weights in maps] == [(4, len(target), len(source))] * 2
    assert b"".join(source).decode() == "forty-one thousand, two hundred and fifty-three"
    for t, s in experiments.aligned_tokens(41_253, source, target):
        assert target[t] != b"<end>" and source[s] not in (b"-", b",", b" and")
    scores = experiments.alignment_scores(model, [41_253, 7], tokenizer)
    assert len(scores) == 2 * 5
    assert all(0 <= value <= 1 for three in scores.values() for value in three)


def test_plain_texts_hold_one_language_or_both():
    alone = experiments.plain_texts([23], "one language a text")
    both = experiments.plain_texts([23], "both in one text")
    assert alone == ["twenty-three", "dreiundzwanzig"]
    assert both == ["twenty-three, dreiundzwanzig", "dreiundzwanzig, twenty-three"]


def test_low_data_scores_each_start():
    generator = torch.Generator().manual_seed(0)
    histories, scores = experiments.low_data_scores(
        generator, 3, pretrain_steps=2, fine_tune_steps=2, n_test=5
    )
    assert list(scores) == list(experiments.STARTS)
    assert list(histories) == list(experiments.STARTS[1:])
    assert all(len(history) == 2 for history in histories.values())
    assert all(0 <= score <= 1 for score in scores.values())
