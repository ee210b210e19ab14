"""Pipelines, their evaluation, the sign test, and what serving costs."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data.shop_messages import known_and_held_out
from course_lib.encoder import Encoder, EncoderConfig, mean_pool
from course_lib.pipeline import (
    Pipeline,
    evaluate_pipeline,
    fertility,
    my_project,
    serving_cost,
    sign_test,
)
from course_lib.tokenization import train_bpe, wordpiece_encode


class Doubles(Pipeline):
    """Keeps a record of how many inputs each part saw."""

    def __init__(self, batch_size=3):
        self.batch_size = batch_size
        self.seen = []

    def preprocess(self, inputs):
        self.seen.append(len(inputs))
        return torch.tensor(inputs)

    def forward(self, batch):
        return 2 * batch

    def postprocess(self, outputs, inputs):
        assert len(outputs) == len(inputs)
        return outputs.tolist()


# --- Pipeline


@given(st.lists(st.integers(-100, 100)), st.integers(1, 7))
def test_a_list_gives_a_list_in_order_whatever_the_batch_size(numbers, batch_size):
    pipeline = Doubles(batch_size)
    assert pipeline(numbers) == [2 * number for number in numbers]
    assert sum(pipeline.seen) == len(numbers)
    assert all(0 < size <= batch_size for size in pipeline.seen)


def test_one_input_gives_one_result():
    assert Doubles()(21) == 42
    assert Doubles()([21]) == [42]


@pytest.mark.parametrize("one", ["text", ("question", "page"), {"a": 1}, None, b"bytes"])
def test_everything_that_is_no_list_is_one_input(one):
    repeat = Pipeline.from_functions(list, list, lambda outputs, inputs: outputs)
    assert repeat(one) == one
    assert repeat([one, one]) == [one, one]


def test_a_batch_of_texts_gives_what_each_text_gives():
    """Padding must not change a result: a real encoder between the two other parts."""
    config = EncoderConfig(30, 16, width=8, n_layers=1, n_heads=2, ffn_width=16)
    encoder = Encoder(config, torch.Generator().manual_seed(0)).eval()

    class Embed(Pipeline):
        def preprocess(self, inputs):
            longest = max(map(len, inputs))
            ids = torch.tensor([[ord(c) - 96 for c in x.ljust(longest, "`")] for x in inputs])
            return ids, (ids > 0).long()

        @torch.no_grad()
        def forward(self, batch):
            return mean_pool(encoder(*batch), batch[1])

        def postprocess(self, outputs, inputs):
            return list(outputs)

    texts = ["a", "abcdefg", "hi", "xyz"]
    for together, text in zip(Embed()(texts), texts):
        assert torch.allclose(together, Embed()(text), atol=1e-6)


def test_a_missing_part_says_which():
    class Half(Pipeline):
        def preprocess(self, inputs):
            return inputs

    with pytest.raises(NotImplementedError, match="Half has no forward"):
        Half()("text")


@pytest.mark.parametrize("answers", [[], [1], [1, 2, 3]])
def test_results_that_do_not_fit_the_inputs_are_an_error(answers):
    pipeline = Pipeline.from_functions(list, list, lambda outputs, inputs: answers)
    with pytest.raises(ValueError, match=f"postprocess gave {len(answers)} results for 2 inputs"):
        pipeline(["a", "b"])


def test_a_pipeline_of_pipelines():
    class Both(Pipeline):
        batch_size = 2

        def preprocess(self, inputs):
            return inputs

        def forward(self, batch):
            return Doubles()(batch), Doubles(1)(batch)

        def postprocess(self, outputs, inputs):
            return list(zip(*outputs))

    assert Both()([1, 2, 3]) == [(2, 2), (4, 4), (6, 6)]
    assert Both()(1) == (2, 2)


# --- evaluate_pipeline


def test_score_number_and_failures():
    cases = [("a", "A"), ("b", "x"), ("c", "C")]
    found = evaluate_pipeline(lambda texts: [t.upper() for t in texts], cases, str.__eq__)
    assert found == {"score": pytest.approx(2 / 3), "n": 3, "failures": [("b", "x", "B")]}


def test_the_metric_gets_the_result_first():
    seen = []
    evaluate_pipeline(lambda x: ["got"], [("in", "expected")], lambda *both: seen.append(both) or 1)
    assert seen == [("got", "expected")]


def test_the_score_is_the_mean_of_the_metric_and_parts_are_failures():
    cases = [(value, None) for value in (0.0, 0.25, 1.0, 0.5)]
    found = evaluate_pipeline(list, cases, lambda result, expected: result)
    assert found["score"] == pytest.approx(0.4375)
    assert [given for given, *_ in found["failures"]] == [0.0, 0.25, 0.5]


def test_inputs_go_in_together():
    pipeline = Doubles(batch_size=10)
    evaluate_pipeline(pipeline, [(1, 2), (2, 4)], int.__eq__)
    assert pipeline.seen == [2]


def test_no_cases_are_an_error():
    with pytest.raises(ValueError, match="cases"):
        evaluate_pipeline(list, [], str.__eq__)


# --- sign_test


@pytest.mark.parametrize("n", range(9))
def test_the_sign_test_counts_all_rows_of_tosses(n):
    heads = [sum(row) for row in itertools.product((0, 1), repeat=n)]
    for first in range(n + 1):
        uneven = sum(abs(2 * h - n) >= abs(2 * first - n) for h in heads)
        assert sign_test(first, n - first) == pytest.approx(uneven / 2**n)


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_sign_test_is_a_probability_and_symmetric(first, second):
    assert 0 <= sign_test(first, second) <= 1
    assert sign_test(first, second) == sign_test(second, first)
    assert sign_test(first, first) == 1.0


def test_the_sign_test_refuses_negative_numbers():
    with pytest.raises(ValueError, match="only_second"):
        sign_test(1, -1)


# --- fertility


def test_fertility_of_a_byte_level_tokenizer_without_merges_is_bytes_per_word():
    assert fertility(train_bpe("", 256), "zwölf Boote\n") == pytest.approx(13 / 2)


def test_fertility_of_words_that_are_tokens_is_one():
    text = "tea milk " * 50 + "tea"
    assert fertility(train_bpe(text, 300), text) == pytest.approx(1)


def test_fertility_grows_as_the_vocabulary_shrinks():
    class Pieces:
        def __init__(self, vocab):
            self.vocab = vocab

        def encode(self, text):
            return [p for word in text.split() for p in wordpiece_encode(word, self.vocab)]

    letters = set("unhapy") | {"##" + c for c in "unhapy"}
    text = "happy unhappy"
    values = [fertility(Pieces(letters | more), text) for more in ({"happy"}, {"un"}, set())]
    assert values == sorted(values) and values[0] < values[-1] == 6


@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_fertility_needs_a_word(text):
    with pytest.raises(ValueError, match="text"):
        fertility(train_bpe("", 256), text)


# --- serving_cost

RATES = {"input_speed": 500.0, "output_speed": 50.0, "price_per_hour": 2.0, "hours": 24.0}


def test_serving_cost_by_hand():
    # 0.2 s to read and 1 s to write: 72,000 requests fill a machine for a day
    assert serving_cost(1000, 100, 50, **RATES) == 48.0
    assert serving_cost(71_000, 100, 50, **RATES) == 48.0
    assert serving_cost(73_000, 100, 50, **RATES) == 96.0
    assert serving_cost(37_000, 100, 50, **RATES, peak=2.0) == 96.0
    assert serving_cost(0, 100, 50, **RATES) == 48.0


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.floats(1, 10))
def test_more_requests_never_cost_less_and_machines_are_whole(few, more, peak):
    few, more = sorted((few, more))
    first, second = (serving_cost(n, 10, 20, **RATES, peak=peak) for n in (few, more))
    assert first <= second
    assert first / 48.0 == round(first / 48.0) >= 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_requests", -1),
        ("n_input", -1),
        ("n_output", float("inf")),
        ("input_speed", 0.0),
        ("output_speed", -1.0),
        ("price_per_hour", float("nan")),
        ("hours", 0.0),
        ("peak", 0.5),
    ],
)
def test_serving_cost_names_the_bad_argument(name, value):
    numbers = {"n_requests": 10, "n_input": 10, "n_output": 10, **RATES} | {name: value}
    with pytest.raises(ValueError, match=name):
        serving_cost(**numbers)


# --- the sample project


def test_the_sample_project_holds_its_cases_out_and_is_good():
    pipeline, examples, cases, metric = my_project()
    assert not {text for text, _ in examples} & {text for text, _ in cases}
    assert evaluate_pipeline(pipeline, cases, metric)["score"] > 0.8


@pytest.mark.parametrize("n_known", [1, 6])
def test_messages_are_split_for_the_notebook(n_known):
    known, held_out = known_and_held_out(n_known)
    assert not {m.text for m in known} & {m.text for m in held_out}
