"""The fast decoder against the clear one: the same logits, gradients, ids and errors."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.decoder import DecoderConfig, DecoderLM, decode_step
from course_lib.decoding import (
    apply_temperature,
    beam_search,
    generate,
    log_probs_of,
    logits_of,
    pad_left,
    repetition_penalty,
    top_p_filter,
)
from course_lib.fast import FastDecoder, fast_beam_search, fast_top_p_filter, next_token_loss
from course_lib.fast.decoding import CANDIDATES
from course_lib.fast.products import int4
from course_lib.objectives import causal_lm_loss

GPT = DecoderConfig(vocab_size=48, max_length=40, width=64, n_layers=3, n_heads=4, ffn_width=96)
LLAMA = replace(
    GPT,
    n_kv_heads=2,
    positions="rope",
    rope_base=500.0,
    norm="rms",
    feed_forward="swiglu",
    bias=False,
    tied=False,
)
NEOX = replace(GPT, positions="rope")
every_kind = pytest.mark.parametrize("config", [GPT, LLAMA, NEOX], ids=["gpt", "llama", "neox"])
PROMPTS = [[3, 1, 4, 1, 5], [9], [2, 6, 5]]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_model(config, seed=0):
    """Weights large enough for every part to matter in the logits."""
    model = DecoderLM(config, generator(seed)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.15 * torch.randn(parameter.shape, generator=generator(seed + 1))
    return model


def random_ids(*shape, seed=0):
    return torch.randint(0, GPT.vocab_size, shape, generator=generator(seed))


def close(got, expected, atol=1e-4):
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)


# ------------------------------------------------------------------ reading and writing


@every_kind
@torch.no_grad()
def test_logits_of_whole_texts(config):
    model, ids = make_model(config), random_ids(3, 11)
    close(FastDecoder(model)(ids), model(ids))
    mask = torch.ones_like(ids)
    mask[0, :4] = mask[2, :1] = 0
    close(FastDecoder(model)(ids, mask)[mask.bool()], model(ids, mask)[mask.bool()])


@every_kind
@pytest.mark.parametrize("padded", [False, True])
@torch.no_grad()
def test_steps(config, padded):
    model, ids = make_model(config), random_ids(3, 30)
    fast, mask = FastDecoder(model), torch.ones(3, 30, dtype=torch.int64)
    if padded:
        mask[0, :4] = mask[2, :1] = 0
    cache = fast_cache = None
    start = 0
    for time in (5, 1, 1, 3, 1, 8, 1, 1, 9):  # several at once, and past the room of the cache
        new = slice(start, start + time)
        expected, cache = decode_step(model, ids[:, new], cache, mask[:, new])
        got, fast_cache = decode_step(fast, ids[:, new], fast_cache, mask[:, new])
        close(got, expected)
        start += time


@every_kind
@torch.no_grad()
def test_padding_may_come_late(config):
    model, ids = make_model(config), random_ids(2, 6)
    fast, mask = FastDecoder(model), torch.tensor([[1, 1, 1], [0, 1, 1]])
    expected, cache = decode_step(model, ids[:, :3])
    _, fast_cache = decode_step(fast, ids[:, :3])
    expected, _ = decode_step(model, ids[:, 3:], cache, mask)
    got, _ = decode_step(fast, ids[:, 3:], fast_cache, mask)
    close(got, expected)


@torch.no_grad()
def test_a_cache_can_be_continued_in_several_ways():
    model = make_model(LLAMA)
    fast = FastDecoder(model)
    prompt, endings = random_ids(2, 5), random_ids(4, 2, 3, seed=1)
    _, cache = decode_step(fast, prompt)
    longer = []
    for ending in endings:
        logits, one = decode_step(fast, ending, cache)
        close(logits, model(torch.cat([prompt, ending], dim=1))[:, -1])
        longer.append(one)
    for ending, one in zip(endings, longer, strict=True):  # and none has disturbed another
        logits, _ = decode_step(fast, ending[:, :1], one)
        close(logits, model(torch.cat([prompt, ending, ending[:, :1]], dim=1))[:, -1])


@torch.no_grad()
def test_rows_of_a_cache():
    model = make_model(LLAMA)
    fast = FastDecoder(model)
    ids, mask = pad_left(PROMPTS)
    _, cache = decode_step(fast, ids, None, mask)
    places, new = torch.tensor([2, 0, 2, 1]), random_ids(4, 1)
    logits, _ = decode_step(fast, new, cache.rows(places))
    full = torch.cat([mask[places], torch.ones_like(new)], dim=1)
    close(logits, model(torch.cat([ids[places], new], dim=1), full)[:, -1])


@every_kind
def test_writes_the_same(config):
    model = make_model(config)
    fast = FastDecoder(model)
    ids, mask = pad_left(PROMPTS)
    options = {"max_new_tokens": 20, "attention_mask": mask, "stop_ids": {4, 9}}
    penalise = partial(repetition_penalty, penalty=1.3)
    assert generate(fast, ids, **options) == generate(model, ids, **options)
    for filters in ([], [partial(apply_temperature, temperature=1.5), penalise]):
        for use_cache in (True, False):
            rows = [
                generate(one, ids, **options, filters=filters, generator=generator(3))
                for one in (model, fast)
            ]
            options["use_cache"] = use_cache
            assert rows[0] == rows[1]


@torch.no_grad()
def test_logits_of_a_fast_decoder():
    model = make_model(GPT)
    read = logits_of(FastDecoder(model))
    for text in ([1], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 4, 6]):
        close(read(text), model(torch.tensor([text]))[0, -1])


def test_copies_the_weights_as_they_are():
    model, ids = make_model(LLAMA), random_ids(1, 4)
    assert FastDecoder(model)(ids).grad_fn is None
    assert all(p.grad is None for p in model.parameters())


# ------------------------------------------------------------------ fewer bits


@every_kind
@pytest.mark.parametrize("rows", [1, 40])
@torch.no_grad()
def test_fewer_bits_are_near(config, rows):
    model, ids = make_model(config), random_ids(1, 40)
    expected = model(ids)
    scale = expected.std()
    errors = {}
    for weights in ("float32", "bfloat16", "int4"):
        fast, cache, got = FastDecoder(model, weights), None, []
        for piece in ids.split(rows, dim=1):
            logits, cache = decode_step(fast, piece, cache)
            got.append(logits)
        wanted = expected[:, rows - 1 :: rows]
        errors[weights] = ((torch.stack(got, dim=1) - wanted) / scale).abs().max().item()
    assert errors["float32"] < 1e-4 < errors["bfloat16"] < 0.1
    assert errors["bfloat16"] < errors["int4"] < 1.5


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 50])
def test_int4_has_16_levels_in_each_group(rows, bias):
    """Weights that have such levels already come out as they are, but for bfloat16."""
    levels = torch.randint(0, 16, (48, 2, 32), generator=generator())
    levels[:, :, 0], levels[:, :, 1] = 0, 15
    step = torch.rand(48, 2, 1, generator=generator()) + 0.5
    weight = ((levels - 7) * step.bfloat16().float()).flatten(1)
    biases = torch.randn(48, generator=generator()) if bias else None
    x = torch.randn(rows, 64, generator=generator()).bfloat16().float()
    expected = torch.nn.functional.linear(x, weight, biases)
    error = (int4(weight, biases)(x) - expected).abs().max() / expected.abs().max()
    assert error < 0.01


def test_weights_at_the_door():
    with pytest.raises(ValueError, match="weights must be one of .*'int3'"):
        FastDecoder(make_model(GPT), "int3")
    with pytest.raises(ValueError, match=r"int4 needs matrices of \[16 n, 32 m\], got \[72, 24\]"):
        FastDecoder(make_model(replace(GPT, width=24)), "int4")


# ------------------------------------------------------------------ errors at the door


@pytest.mark.parametrize(
    ("ids", "error", "says"),
    [
        (torch.zeros(1, 0, dtype=torch.int64), ValueError, "ids must not be empty"),
        (torch.tensor([[1, 48]]), ValueError, r"ids must lie in 0 ... 47, got 1 ... 48"),
        (torch.ones(1, 41, dtype=torch.int64), ValueError, "at most 40 tokens a row, got 41"),
    ],
)
def test_bad_ids(ids, error, says):
    model = make_model(GPT)
    for broken in (FastDecoder(model), partial(next_token_loss, model)):
        with pytest.raises(error, match=says):
            broken(ids)


def test_cache_of_other_texts():
    fast = FastDecoder(make_model(GPT))
    _, cache = decode_step(fast, random_ids(2, 4))
    with pytest.raises(ValueError, match="cache must have 1 rows, got 2 rows"):
        decode_step(fast, random_ids(1, 1), cache)


# ------------------------------------------------------------------ training


@every_kind
def test_loss_and_gradients(config):
    model, ids = make_model(config), random_ids(3, 20)
    with torch.no_grad():
        close(next_token_loss(model, ids), causal_lm_loss(model(ids), ids), atol=1e-5)
    gradients = []
    for loss in (causal_lm_loss(model(ids), ids), next_token_loss(model, ids)):
        model.zero_grad()
        (3 * loss).backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    expected, got = gradients
    largest = max(gradient.abs().max() for gradient in expected.values())
    for name, gradient in expected.items():
        close(got[name] / largest, gradient / largest, atol=1e-5)
        assert gradient.abs().max() > 1e-4 * largest or "k_proj.bias" in name  # k's has none


def test_loss_of_more_rows_than_are_taken_at_once():
    model, ids = make_model(LLAMA), random_ids(20, 40)
    close(next_token_loss(model, ids), causal_lm_loss(model(ids), ids), atol=1e-5)


def test_loss_without_the_kernel_of_new_torch(monkeypatch):
    model, ids = make_model(GPT), random_ids(3, 20)
    monkeypatch.delattr(torch.nn.functional, "linear_cross_entropy", raising=False)
    close(next_token_loss(model, ids), causal_lm_loss(model(ids), ids), atol=1e-5)


def test_loss_needs_two_tokens():
    with pytest.raises(ValueError, match="at least 2 tokens a row, got 1"):
        next_token_loss(make_model(GPT), random_ids(3, 1))


# ------------------------------------------------------------------ beams


@pytest.mark.slow
@every_kind
@pytest.mark.parametrize("width", [1, 3, 60])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@pytest.mark.parametrize("end_id", [-1, 4])
def test_beams(config, width, length_penalty, end_id):
    for seed in range(3 if width < 60 else 1):
        model = make_model(config, seed)
        if end_id >= 0:  # an end that comes, now and then
            start = generate(model, torch.tensor([[1, 2]]), max_new_tokens=4)[0][0]
            end_id = start[-1]
        options = ([1, 2], width, 9, end_id, length_penalty)
        ids, score = fast_beam_search(FastDecoder(model), *options)
        expected, expected_score = beam_search(log_probs_of(model), *options)
        assert ids == expected
        assert score == pytest.approx(expected_score, abs=1e-4)


def test_beams_at_the_edges():
    fast = FastDecoder(make_model(GPT))
    assert fast_beam_search(fast, [1, 2], 3, 2, 0, 1.0) == ([1, 2], 0.0)
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        fast_beam_search(fast, [1], 0, 5, 0, 0.0)
    for start in ([], [1, 2]):
        with pytest.raises(ValueError, match=r"start must have 1 ... 1 ids, got"):
            fast_beam_search(fast, start, 1, 1, 0, 0.0)


# ------------------------------------------------------------------ top-p


@pytest.mark.parametrize("p", [0.0, 0.3, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("scale", [0.01, 1.0, 4.0])
@pytest.mark.parametrize("shape", [(3000,), (4, 3000), (2, 3, 3000), (2, 20)])
def test_top_p(p, scale, shape):
    logits = scale * torch.randn(shape, generator=generator(), dtype=torch.float64)
    logits[..., 5] = -float("inf")
    assert torch.equal(fast_top_p_filter(logits, p), top_p_filter(logits, p))


@given(st.integers(0, 2**31), st.sampled_from([0.1, 0.5, 0.9]))
@settings(max_examples=50)
def test_top_p_with_equals(seed, p):
    logits = torch.randint(0, 40, (2, 2 * CANDIDATES), generator=generator(seed)).double() / 2
    assert torch.equal(fast_top_p_filter(logits, p), top_p_filter(logits, p))


def test_top_p_at_the_door():
    for p in (-0.1, 1.2):
        with pytest.raises(ValueError, match="p must lie in"):
            fast_top_p_filter(torch.zeros(2, 3000), p)
    with pytest.raises(TypeError, match="logits"):
        fast_top_p_filter([1.0], 0.5)


# ------------------------------------------------------------------ a real model


@pytest.mark.slow
@torch.no_grad()
def test_smollm2(smollm2):
    model, tokenizer = smollm2
    prompts = ["The capital of France is", "One, two, three,", "Once upon a time, a small robot"]
    ids, mask = pad_left([tokenizer.encode(prompt) for prompt in prompts])
    expected = model(ids, mask)[mask.bool()]
    close(FastDecoder(model)(ids, mask)[mask.bool()], expected, atol=1e-3)
    written, _ = generate(model, ids, attention_mask=mask, max_new_tokens=8)
    for weights in ("float32", "int4"):
        fast = FastDecoder(model, weights)
        rows, _ = generate(fast, ids, attention_mask=mask, max_new_tokens=8)
        assert [row[:3] for row in rows] == [row[:3] for row in written]
        if weights == "float32":
            assert rows == written
