"""Every public function at its door: whatever comes, the answer is one of the kind the docstring
promises, or a ValueError or TypeError that names an argument; and what was given stays as it was.

A good call of each stands in `CALLS`; hypothesis puts one bad argument into it at a time.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import math
import re
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from course_lib.attention import MultiHeadAttention
from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.finetuning import SequenceClassifier
from course_lib.pipeline import Pipeline
from course_lib.scaling import ScalingLaw, start_grid

SIZES = {"vocab_size": 7, "max_length": 12, "width": 8, "n_layers": 1, "n_heads": 2}
CONFIG = DecoderConfig(**SIZES, ffn_width=8)
LAW = ScalingLaw(E=1.3, A=40.0, B=90.0, alpha=0.45, beta=0.35)
X = torch.arange(12.0).reshape(3, 4)
IDS = torch.tensor([[1, 2, 3], [4, 5, 6]])
ONES = torch.ones_like(IDS)
HEADS = torch.arange(24.0).reshape(1, 2, 3, 4)
LOGITS = torch.arange(14.0).reshape(2, 7)
PROBS = torch.full((3, 7), 1 / 7)
N = torch.logspace(3, 5, 8).double()
D = torch.logspace(7, 5, 8).double()
LOSS = 1.3 + 40 / N**0.45 + 90 / D**0.35
VALLEY = (torch.tensor([1e3, 1e4, 1e5]), torch.tensor([2.3, 2.0, 2.1]))


class Letters:
    """A tokenizer of seven letters."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) % 7 for letter in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(id + 98) for id in ids)


def model() -> DecoderLM:
    return DecoderLM(CONFIG, torch.Generator().manual_seed(0))


def classifier() -> SequenceClassifier:
    return SequenceClassifier(Encoder(EncoderConfig(**SIZES, ffn_width=8)), 3)


def heads() -> MultiHeadAttention:
    return MultiHeadAttention(4, 2)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def square(generator: torch.Generator) -> Tensor:
    return torch.rand((), generator=generator, requires_grad=True)


def uniform(ids: list[int]) -> Tensor:
    return torch.full((7,), 1 / 7).log()


def lstm() -> dict[str, Any]:
    shapes = {"x": (2, 3), "h": (2, 4), "c": (2, 4), "w_x": (16, 3), "w_h": (16, 4), "b": (16,)}
    return {name: torch.ones(shape) for name, shape in shapes.items()}


# A good call of each function; what must be made anew for each call is made by a function.
CALLS: dict[str, dict[str, Any]] = {
    "probability.autocomplete_bigram": {"text": "a b a", "word": "a", "k": 2},
    "probability.greedy_next_token": {"logits": LOGITS[0]},
    "probability.chain_rule_log_prob": {"next_token_log_probs": LOGITS, "ids": IDS[0, :2]},
    "embeddings.embed_one_hot": {"ids": IDS, "table": torch.ones(7, 4)},
    "embeddings.sinusoidal_positions": {"length": 3, "width": 4, "base": 100.0},
    "embeddings.input_embeddings": {
        "ids": IDS, "token_table": torch.ones(7, 4), "position_table": X,
        "segment_ids": torch.zeros_like(IDS), "segment_table": torch.ones(2, 4),
    },
    "embeddings.nearest_neighbours": {"query": X[0], "table": X, "k": 2},
    "embeddings.analogy": {"a": 0, "b": 1, "c": 2, "table": torch.eye(4)},
    "embeddings.skipgram_loss": {"center": X, "context": X, "negatives": torch.ones(3, 2, 4)},
    "embeddings.apply_rope": {"x": X, "positions": torch.arange(3), "base": 100.0},
    "attention.softmax": {"x": X, "dim": -1},
    "attention.attention_scores": {"q": X, "k": X},
    "attention.causal_mask": {"target": 3, "source": 4},
    "attention.padding_mask": {"attention_mask": ONES},
    "attention.scaled_dot_product_attention": {
        "q": X, "k": X, "v": X, "mask": torch.ones(3, 3, dtype=torch.bool),
    },
    "attention.split_heads": {"x": torch.ones(2, 3, 4), "n_heads": 2},
    "attention.merge_heads": {"x": HEADS},
    "attention.attend_to": {
        "attention": heads, "queries": X[None], "keys": X[None],
        "values": X[None], "mask": torch.ones(3, 3, dtype=torch.bool),
    },
    "attention.streaming_attention": {"q": X, "k": X, "v": X, "block_size": 2, "causal": True},
    "transformer.layer_norm": {"x": X, "weight": X[0], "bias": X[0], "eps": 1e-5},
    "transformer.rms_norm": {"x": X, "weight": X[0], "eps": 1e-5},
    "transformer.gelu_feed_forward": {
        "x": X, "w_in": torch.ones(5, 4), "b_in": torch.ones(5),
        "w_out": torch.ones(4, 5), "b_out": torch.ones(4),
    },
    "transformer.swiglu": {
        "x": X, "w_gate": torch.ones(5, 4), "w_up": torch.ones(5, 4), "w_down": torch.ones(4, 5),
    },
    "transformer.lstm_step": lstm(),
    "transformer.count_parameters": {"config": CONFIG},
    "initialisation.initialise": {
        "model": model, "generator": seeded, "n_residual": 2, "deviation": 0.02,
    },
    "rope_scaling.rope_frequencies": {"d_k": 4, "base": 100.0},
    "encoder.mean_pool": {"hidden": torch.ones(2, 3, 4), "attention_mask": ONES},
    "decoder.decode_step": {
        "model": model, "token": IDS, "cache": None, "attention_mask": ONES,
    },
    "decoder.inference_memory": {
        "config": CONFIG, "batch": 2, "length": 3, "bytes_per_value": 0.5,
    },
    "decoder.n_parameters": {"config": CONFIG},
    "decoder.new_norm": {"config": CONFIG},
    "decoder.resize_vocabulary": {"model": model, "vocab_size": 9},
    "encoder_decoder.greedy_translate": {
        "model": lambda source, target: torch.ones(*target.shape, 7), "source_ids": IDS,
        "start_id": 1, "end_id": 2, "max_length": 3,
    },
    "objectives.mask_tokens": {
        "ids": IDS, "special_mask": ONES.bool(), "mask_id": 3, "vocab_size": 7,
        "probability": 0.5, "generator": seeded,
    },
    "objectives.masked_lm_loss": {"logits": torch.ones(2, 3, 7), "labels": IDS},
    "objectives.classification_loss": {"logits": LOGITS, "labels": IDS[:, 0]},
    "objectives.label_smoothing_loss": {
        "logits": LOGITS, "labels": IDS[:, 0], "smoothing": 0.1,
    },
    "objectives.align_labels": {"word_labels": [5, 6], "word_ids": [None, 0, 0, 1]},
    "objectives.causal_lm_loss": {"logits": torch.ones(2, 3, 7), "ids": IDS, "ignore_index": -100},
    "objectives.perplexity": {"loss": 1.0},
    "objectives.shift_right": {"labels": IDS, "start_id": 1, "pad_id": 0},
    "objectives.seq2seq_loss": {"logits": torch.ones(2, 3, 7), "labels": IDS},
    "objectives.corrupt_spans": {
        "ids": [1, 2, 3, 4], "spans": [(1, 2)], "sentinel_ids": [8, 9],
    },
    "objectives.fill_spans": {
        "corrupted": [1, 8, 3], "target": [8, 2, 9], "sentinel_ids": [8, 9],
    },
    "objectives.draw_spans": {
        "length": 9, "generator": seeded, "share": 0.3, "mean_span": 2.0,
    },
    "training.sample_windows": {"ids": torch.arange(9), "batch": 2, "length": 3,
                                "generator": seeded},
    "training.warmup_cosine": {"step": 3, "warmup": 2, "total": 9, "peak": 1.0, "floor": 0.1},
    "training.adamw": {"model": model, "learning_rate": 0.1, "weight_decay": 0.1},
    "training.train": {
        "model": model, "next_loss": square, "steps": 2, "generator": seeded,
        "learning_rate": 0.1, "warmup": 1, "floor": 0.0, "weight_decay": 0.1, "clip": 1.0,
        "accumulate": 1, "progress": False,
    },
    "finetuning.add_lora": {"model": model, "rank": 2, "alpha": 4.0, "names": ("q_proj",),
                            "generator": seeded},
    "finetuning.merge_lora": {"model": model},
    "finetuning.trainable_parameters": {"model": model},
    "finetuning.fine_tune": {
        "model": classifier, "inputs": (IDS, ONES), "labels": torch.tensor([0, 1]), "steps": 1,
        "generator": seeded, "learning_rate": 0.1, "batch_size": 2, "progress": False,
    },
    "adapting.instruction_example": {"prompt_ids": [1, 2], "answer_ids": [3]},
    "adapting.preference_loss": {"chosen": LOGITS[0], "rejected": LOGITS[1]},
    "adapting.dpo_loss": {
        "policy_chosen": LOGITS[0], "policy_rejected": LOGITS[1], "reference_chosen": LOGITS[1],
        "reference_rejected": LOGITS[0], "beta": 0.1,
    },
    "adapting.kl_reward": {
        "reward": X[:, 0], "policy_log_probs": X, "reference_log_probs": X,
        "mask": torch.ones(3, 4, dtype=torch.bool), "beta": 0.1,
    },
    "adapting.policy_gradient_loss": {
        "log_probs": X, "mask": torch.ones(3, 4, dtype=torch.bool), "advantage": X[:, 0],
    },
    "adapting.quantize_rows": {"weight": X, "bits": 4},
    "adapting.dequantize_rows": {"values": X.to(torch.int8), "scale": X[:, 0]},
    "adapting.choose_passages": {"scores": [0.5, 0.9], "lengths": [3, 4], "budget": 5},
    "ngram.train_ngram": {"ids": torch.arange(5), "n": 2},
    "ngram.ngram_probs": {
        "model": {(): Counter({1: 2}), (1,): Counter({2: 1})}, "context": [1], "vocab_size": 7,
    },
    "ngram.smoothed_probability": {
        "model": {(): Counter({1: 2})}, "context": [1], "token": 1,
        "vocab_size": 7,
    },
    "decoding.apply_filters": {"logits": LOGITS, "filters": [], "texts": [IDS[0], IDS[1]]},
    "decoding.apply_temperature": {"logits": LOGITS, "temperature": 0.5},
    "decoding.top_k_filter": {"logits": LOGITS, "k": 2},
    "decoding.top_p_filter": {"logits": LOGITS, "p": 0.5},
    "decoding.repetition_penalty": {"logits": LOGITS, "ids": IDS, "penalty": 1.2},
    "decoding.sample": {"logits": LOGITS, "generator": seeded},
    "decoding.generate": {
        "model": model, "ids": IDS, "max_new_tokens": 2, "attention_mask": ONES, "stop_ids": (2,),
        "filters": (), "generator": seeded, "use_cache": True,
    },
    "decoding.pad_left": {"rows": [[1], [2, 3]], "pad_id": 0},
    "decoding.stream_text": {"ids": [1, 2], "vocab": {1: b"a", 2: b"b"}},
    "decoding.stream_tokens": {
        "model": model, "ids": IDS, "max_new_tokens": 2, "attention_mask": ONES, "stop_ids": (2,),
        "filters": (), "generator": seeded, "use_cache": True,
    },
    "completion.complete": {
        "model": model, "tokenizer": Letters(), "prompts": ["ab", "c"], "max_new_tokens": 2,
        "n_samples": 2, "temperature": 1.0, "before": [], "after": [], "stop_texts": ["d"],
        "stop_ids": [2], "generator": seeded,
    },
    "completion.min_length_filter": {
        "logits": LOGITS[0], "ids": IDS[0], "length": 4, "stop_ids": [2],
    },
    "completion.min_p_filter": {"logits": LOGITS, "p": 0.1},
    "completion.no_repeat_ngram_filter": {"logits": LOGITS[0], "ids": IDS[0], "n": 2},
    "decoding.beam_search": {
        "log_prob_fn": uniform, "start": [1], "width": 2, "max_length": 3, "end_id": 0,
        "length_penalty": 1.0,
    },
    "decoding.log_probs_of": {"model": model},
    "decoding.logits_of": {"model": model},
    "decoding.speculative_accept": {
        "draft_probs": PROBS[:2], "target_probs": PROBS, "tokens": IDS[0, :2],
        "generator": seeded,
    },
    "decoding.speculative_generate": {
        "model": model, "draft": model, "ids": [1, 2], "max_new_tokens": 3, "n_draft": 2,
        "stop_ids": (2,), "filters": (), "generator": seeded,
    },
    "in_context.build_prompt": {
        "examples": [("a", "b")], "query": "c", "template": "{input} is {output}",
    },
    "in_context.rest_of_line": {"output": "b", "template": "{input} is {output}"},
    "in_context.chat_prompt": {"messages": [{"role": "user", "content": "hi"}]},
    "in_context.option_log_likelihoods": {
        "model": model, "prompt": [1, 2], "options": [[3], [4, 5]],
    },
    "in_context.contextual_calibration": {
        "option_probs": PROBS, "content_free_probs": PROBS[0],
    },
    "in_context.wilson_interval": {"n_right": 3, "n": 5, "z": 1.96},
    "in_context.exact_matches": {
        "model": model, "tokenizer": Letters(), "prompts": ["ab"], "endings": ["c"],
    },
    "in_context.accuracy_by_shots": {
        "model": model, "tokenizer": Letters(), "items": [("a", "b"), ("c", "d")], "shots": [0, 1],
        "template": "{input}:{output}", "seed": 0,
    },
    "in_context.share_beginning": {"model": model},
    "in_context.induction_score": {"attention": torch.ones(2, 6, 6), "period": 2},
    "pipeline.fertility": {"tokenizer": Letters(), "text": "a b"},
    "pipeline.evaluate_pipeline": {
        "pipeline": Pipeline.from_functions(list, list, lambda outputs, inputs: outputs),
        "cases": [(1, 1), (2, 3)], "metric": lambda result, expected: float(result == expected),
    },
    "pipeline.sign_test": {"only_first": 3, "only_second": 1},
    "pipeline.serving_cost": {
        "n_requests": 10, "n_input": 5.0, "n_output": 5.0, "input_speed": 9.0,
        "output_speed": 9.0, "price_per_hour": 1.0, "hours": 730.0, "peak": 2.0,
    },
    "scaling.check_runs": {"n": N, "d": D, "loss": LOSS},
    "scaling.compute_optimal": {"budget": 1e20, "law": LAW},
    "scaling.exact_training_flops": {"config": CONFIG, "n_tokens": 100.0},
    "scaling.fit_parametric": {
        "n": N, "d": D, "loss": LOSS, "huber_delta": 1e-3, "bootstrap": 1,
        "starts": start_grid()[:2], "seed": 0,
    },
    "scaling.fit_power_law": {"x": N, "y": D},
    "scaling.huber_objective": {
        "points": start_grid()[:2], "log_n": N.log()[None], "log_d": D.log()[None],
        "log_loss": LOSS.log()[None], "delta": 1e-3,
    },
    "scaling.isoflop_minimum": {"n": VALLEY[0], "loss": VALLEY[1]},
    "scaling.law_of": {"best": start_grid()[0], "refits": start_grid()[:2]},
    "scaling.middle": {"numbers": [1.0, 2.0], "share": 0.5},
    "scaling.minimise_huber": {
        "starts": start_grid()[:2], "log_n": N.log(), "log_d": D.log(), "log_loss": LOSS.log(),
        "delta": 1e-3, "most_steps": 2,
    },
    "scaling.parametric_loss": {"n": 1e9, "d": 1e10, "params": LAW},
    "scaling.screened_grid": {"n": N, "d": D, "loss": LOSS, "keep": 3},
    "scaling.training_envelope": {"curves": [(10.0, *VALLEY)], "points": 5},
    "scaling.training_flops": {"n_params": 1e9, "n_tokens": 1e10},
}  # fmt: skip

# No numbers go in, what goes in is tried by tests of their own, or (the two of the decoder) they
# are called in each step of writing, with what the step has looked at.
ELSEWHERE = {
    "decoder.positions_and_mask", "decoder.seen_tokens",
    "attention.is_recording", "attention.record_attention", "pipeline.my_project",
    "finetuning.load_lora", "finetuning.save_lora", "training.load_checkpoint",
    "training.save_checkpoint", "scaling.read_runs", "scaling.start_grid", "rope_scaling.apply_scaled_rope",
}  # fmt: skip

# Right to take years, when told to.
LONG = {
    ("pipeline.sign_test", "only_first"), ("pipeline.sign_test", "only_second"),
    ("decoding.beam_search", "max_length"), ("training.train", "steps"), ("training.train", "accumulate"), ("finetuning.fine_tune", "steps"),
}  # fmt: skip

MODULES = sorted({name.split(".")[0] for name in CALLS})


def test_every_public_function_is_at_its_door():
    public = set()
    for name in MODULES:
        module = importlib.import_module(f"course_lib.{name}")
        here = [one for one in module.__all__ if inspect.isfunction(getattr(module, one))]
        public |= {f"{name}.{one}" for one in here}
    assert public == set(CALLS) | ELSEWHERE


# ---- what may come

NAN, INF, HUGE = math.nan, math.inf, 10**15
SCALARS = st.sampled_from(
    [None, True, -1, 0, 1, HUGE, -HUGE, 2**63, 10**400, 0.5, NAN, INF, -INF, 1j, "", "7", "ü", b"7"]
)
THINGS = st.sampled_from([object(), int, len, [], (), {}, set(), [[]], ["a"], [None], {"a": 1}])


def _lists(n: int = 4) -> st.SearchStrategy:
    return st.lists(st.sampled_from([-1, 0, 1, 2, 7, HUGE, NAN, 0.5, "a", None]), max_size=n)


def _tensors() -> st.SearchStrategy:
    shapes = st.sampled_from([(), (0,), (1,), (3,), (0, 4), (1, 1), (3, 4), (2, 3), (1, 2, 3, 4)])
    kinds = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32]
    kinds += [torch.bool, torch.complex64, torch.uint8]
    values = st.sampled_from([0.0, 1.0, -1.0, NAN, INF, -INF, 1e30])

    def build(shape: tuple[int, ...], kind: torch.dtype, value: float) -> Tensor:
        whole = not (kind.is_floating_point or kind.is_complex)
        value = int(math.isfinite(value) and abs(value) == 1) if whole else value
        return torch.full(shape, value, dtype=torch.float64).to(kind)

    return st.builds(build, shapes, st.sampled_from(kinds), values)


def _spoilt(value: Any) -> st.SearchStrategy:
    """The good argument itself, changed in one respect."""
    if isinstance(value, Tensor):
        forms = [value.half, value.bfloat16, value.double, value.float, value.long, value.bool,
                 value.numpy, value.tolist]  # fmt: skip
        forms += [lambda: value[:0], lambda: value[:1], lambda: value[None], lambda: value[..., :1]]
        forms += [lambda: -value, lambda: value * HUGE, lambda: iter(value)]
        if value.is_floating_point():
            forms += [lambda bad=bad: torch.full_like(value, bad) for bad in (NAN, INF, -INF, 0.0)]
            forms += [lambda bad=bad: _first(value, bad) for bad in (NAN, INF, -INF, 1e30)]
        return st.sampled_from(forms).map(lambda form: form())
    if isinstance(value, list | tuple):
        forms = [list, tuple, iter, lambda v: list(v)[:1], lambda v: [*v, *v], lambda v: [*v, None]]
        forms += [
            lambda v: np.array(v, dtype=object),
            lambda v: [list(v)],
            lambda v: (x for x in v),
        ]
        return st.sampled_from(forms).map(lambda form: form(value))
    if isinstance(value, bool | str) or value is None or not isinstance(value, int | float):
        return SCALARS
    forms = [np.float32, torch.tensor, np.array, str, lambda v: [v], lambda v: -v]
    if abs(value) < 2**63:
        forms.append(np.int64)
    return st.sampled_from(forms).map(lambda form: form(value))


def _first(value: Tensor, bad: float) -> Tensor:
    value = value.clone()
    value.view(-1)[:1] = bad
    return value


def anything(value: Any) -> st.SearchStrategy:
    arrays = _tensors().map(lambda t: t.float().numpy() if t.dtype == torch.bfloat16 else t.numpy())
    return st.one_of(SCALARS, THINGS, _lists(), _tensors(), arrays, _spoilt(value), _spoilt(value))


# ---- what must be


class Hang(BaseException):
    pass


def _in_time(function, seconds: int, **arguments: Any) -> Any:
    def ring(*_):
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        result = function(**arguments)
        return list(result) if inspect.isgenerator(result) else result
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _made(value: Any) -> Any:
    makers = (model, classifier, heads, seeded)
    return value() if value in makers else value


def _state(value: Any) -> Any:
    """Something to compare by, before and after a refusal."""
    if isinstance(value, nn.Module):
        return [(n, p.requires_grad, p.detach().clone()) for n, p in value.named_parameters()]
    if isinstance(value, torch.Generator):
        return None  # draws before a refusal are nobody's loss
    return copy.deepcopy(value) if isinstance(value, Tensor | list | dict) else None


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor):
        return (
            torch.equal(before.nan_to_num(), after.nan_to_num())
            if before.dtype == after.dtype
            else False
        )
    if isinstance(before, list | tuple) and len(before) == len(after):
        return all(_same(a, b) for a, b in zip(before, after))
    return before is after or before == after or before != before


def _find(name: str):
    module, _, function = name.partition(".")
    return getattr(importlib.import_module(f"course_lib.{module}"), function)


@pytest.fixture(scope="module", autouse=True)
def _a_first_optimizer():
    """The first one imports much, which is nothing that a call should be timed by."""
    torch.optim.AdamW([nn.Parameter(torch.ones(1))])


@pytest.mark.parametrize("name", CALLS)
def test_a_good_call_is_good(name):
    _in_time(_find(name), 60, **{key: _made(value) for key, value in CALLS[name].items()})


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=25, deadline=None, derandomize=True,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(data=st.data())
def test_a_bad_argument_is_answered_or_named(name, data):
    function, good = _find(name), CALLS[name]
    bad = data.draw(st.sampled_from(sorted(good)), label="argument")
    arguments = {key: _made(value) for key, value in good.items()}
    arguments[bad] = data.draw(anything(arguments[bad]), label=bad)
    much = type(arguments[bad]) is int and arguments[bad] == HUGE
    assume(not (much and (name, bad) in LONG))
    assume(not (callable(good[bad]) and callable(arguments[bad])))  # a caller's own, to answer for
    assume((name, bad) != ("finetuning.fine_tune", "inputs"))  # how many, the model alone knows
    before = {key: _state(value) for key, value in arguments.items()}
    refusal = _refusal(function, arguments)
    if refusal is not None:
        named = "|".join(["token ids", *good, *inspect.signature(function).parameters])
        assert re.search(rf"\b({named})\b", str(refusal)), repr(refusal)
        for key, value in arguments.items():
            assert before[key] is None or _same(before[key], _state(value)), f"{key} was changed"


def _refusal(function: Callable, arguments: dict[str, Any]) -> Exception | None:
    """What a call is refused with, if it is; any other error is a fault."""
    try:
        _in_time(function, 60, **arguments)
    except (ValueError, TypeError, FloatingPointError) as error:
        return error
    return None
