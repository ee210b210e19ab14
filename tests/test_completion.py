"""Completion against `transformers`, on a model and a tokenizer that both read."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM
from transformers.generation import (
    MinLengthLogitsProcessor,
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
)

from course_lib.completion import (
    complete,
    min_length_filter,
    min_p_filter,
    no_repeat_ngram_filter,
)
from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.pretrained.export import export_decoder

CONFIG = DecoderConfig(27, 64, width=16, n_layers=2, n_heads=2, ffn_width=24)
PROMPTS = ["abc", "x", "hello"]


class Letters:
    """A tokenizer of the letters a ... z, and an end."""

    def encode(self, text):
        return [ord(letter) - ord("a") for letter in text]

    def decode(self, ids):
        return "".join(chr(id + ord("a")) if id < 26 else "." for id in ids)


def some_model():
    model = DecoderLM(CONFIG, torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():  # far from uniform, so that mistakes show
        for parameter in model.parameters():
            parameter.mul_(4)
    return model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Ours, and the same as `transformers` reads it."""
    model, folder = some_model(), tmp_path_factory.mktemp("model")
    export_decoder(model, folder)
    return model, AutoModelForCausalLM.from_pretrained(folder).eval()


def theirs_of(model, prompt, **options):
    ids = torch.tensor([Letters().encode(prompt)])
    options = {"pad_token_id": 26, "eos_token_id": 26, "top_k": 0, **options}
    rows = model.generate(ids, attention_mask=torch.ones_like(ids), **options)[:, ids.shape[1] :]
    return [Letters().decode(row.tolist()).partition(".")[0] for row in rows]


def test_at_temperature_0_the_best_token_is_taken(models):
    ours = complete(models[0], Letters(), PROMPTS, max_new_tokens=12, stop_ids=[26])
    theirs = [theirs_of(models[1], p, max_new_tokens=12, do_sample=False) for p in PROMPTS]
    assert ours == theirs
    drawn = {"generator": torch.Generator().manual_seed(0), "n_samples": 2}
    twice = complete(models[0], Letters(), PROMPTS, max_new_tokens=12, stop_ids=[26], **drawn)
    assert twice == [texts * 2 for texts in ours]


@pytest.mark.parametrize("seed", range(5))
def test_with_a_seed_the_same_texts_are_drawn(models, seed):
    generator = torch.Generator().manual_seed(seed)
    (ours,) = complete(
        models[0],
        Letters(),
        ["abcab"],
        max_new_tokens=15,
        n_samples=4,
        temperature=1.5,
        before=[
            partial(no_repeat_ngram_filter, n=2),
            partial(min_length_filter, length=10, stop_ids=[26]),
        ],
        after=[partial(min_p_filter, p=0.05)],
        stop_ids=[26],
        generator=generator,
    )
    torch.manual_seed(seed)
    options = {"num_return_sequences": 4, "temperature": 1.5, "min_p": 0.05, "min_length": 10}
    options |= {"no_repeat_ngram_size": 2, "max_new_tokens": 15, "do_sample": True}
    assert ours == theirs_of(models[1], "abcab", **options)
    assert len(set(ours)) > 1


def test_what_is_written_ends_before_the_first_stop_text(models):
    whole = complete(models[0], Letters(), PROMPTS, max_new_tokens=20)
    for stops in (["a"], ["e", "ab"], [whole[0][0][3:6], whole[1][0][7]]):
        ours = complete(models[0], Letters(), PROMPTS, max_new_tokens=20, stop_texts=stops)
        for (cut,), (text,) in zip(ours, whole, strict=True):
            ends = [text.index(stop) for stop in stops if stop in text]
            assert cut == (text[: min(ends)] if ends else text)


def test_the_model_is_not_asked_once_all_have_ended():
    model, calls = some_model(), []
    model.norm.register_forward_pre_hook(lambda *_: calls.append(1))
    text = complete(model, Letters(), ["abc"], max_new_tokens=20)[0][0]
    calls.clear()
    complete(model, Letters(), ["abc"], max_new_tokens=20, stop_texts=[text[:2]])
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_samples": 0}, "n_samples must be at least 1, got 0"),
        ({"temperature": -1.0}, "temperature must be positive"),
        ({"stop_texts": ["a", ""]}, "stop_texts must not be empty"),
        ({"prompts": ["a", ""]}, "prompts must be texts of at least one token"),
    ],
)
def test_bad_options_are_refused(options, words):
    arguments = {"prompts": ["a"], "max_new_tokens": 1, **options}
    with pytest.raises(ValueError, match=words):
        complete(some_model(), Letters(), **arguments)


numbers = st.floats(-30, 30, width=32)
rows_of_logits = st.lists(numbers, min_size=5, max_size=5).map(torch.tensor)
some_ids = st.lists(st.integers(0, 4), min_size=1, max_size=12).map(torch.tensor)


@given(rows_of_logits, st.sampled_from([0.0, 0.05, 0.3, 1.0]))
def test_min_p_is_theirs(logits, p):
    torch.testing.assert_close(min_p_filter(logits, p), MinPLogitsWarper(p)(None, logits[None])[0])


@given(rows_of_logits, some_ids, st.integers(1, 4))
def test_no_repeat_ngram_is_theirs(logits, ids, n):
    theirs = NoRepeatNGramLogitsProcessor(n)(ids[None], logits[None])[0]
    torch.testing.assert_close(no_repeat_ngram_filter(logits, ids, n), theirs)


@given(rows_of_logits, some_ids, st.integers(0, 12), st.sets(st.integers(0, 4), min_size=1))
def test_min_length_is_theirs(logits, ids, length, stop_ids):
    theirs = MinLengthLogitsProcessor(length, list(stop_ids))(ids[None], logits[None])[0]
    torch.testing.assert_close(min_length_filter(logits, ids, length, stop_ids), theirs)


def test_what_is_ruled_out_stays_so():
    logits = torch.tensor([1.0, -torch.inf, 0.5])
    for one in (min_p_filter(logits, 0.0), no_repeat_ngram_filter(logits, torch.tensor([0]), 1)):
        assert one[1] == -torch.inf
