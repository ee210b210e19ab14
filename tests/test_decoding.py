"""Decoding: filters against `transformers`, texts against the model that writes them."""

from __future__ import annotations

import itertools
import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.decoding import (
    apply_filters,
    apply_temperature,
    beam_search,
    generate,
    log_probs_of,
    logits_of,
    pad_left,
    repetition_penalty,
    sample,
    speculative_accept,
    speculative_generate,
    stream_text,
    stream_tokens,
    top_k_filter,
    top_p_filter,
)
from course_lib.tokenization import bpe_decode

INF = float("inf")
PROMPTS = [[3, 1, 4, 1, 5], [9], [2, 6, 5]]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_logits(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, generator=generator(seed))


def small_model(seed=0, vocab_size=11, scale=3.0, **options):
    config = DecoderConfig(vocab_size, 40, width=16, n_layers=2, n_heads=2, ffn_width=24, **options)
    model = DecoderLM(config, generator(seed)).eval()
    with torch.no_grad():  # far from uniform, so that mistakes show
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model


@pytest.fixture(scope="module")
def model():
    return small_model()


def surprise(counts, probs):
    """The p-value of a chi-square test: how often chance alone gives counts as odd as these."""
    expected = counts.sum() * probs
    assert counts[probs == 0].sum() == 0
    counts, expected = counts[probs > 0], expected[probs > 0]
    statistic = ((counts - expected) ** 2 / expected).sum()
    degrees = torch.tensor((len(counts) - 1) / 2, dtype=torch.float64)
    return torch.special.gammaincc(degrees, statistic.double() / 2).item()


# --- filters -------------------------------------------------------------------------------


def kept(logits):
    return (logits > -INF).nonzero()[..., -1].tolist()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_filters_equal_those_of_transformers(seed, dtype):
    warpers = pytest.importorskip("transformers.generation.logits_process")
    logits = random_logits(4, 300, seed=seed).to(dtype)
    ids = torch.randint(300, (4, 20), generator=generator(seed))
    pairs = [
        (apply_temperature(logits, 0.7), warpers.TemperatureLogitsWarper(0.7)),
        (top_k_filter(logits, 17), warpers.TopKLogitsWarper(17)),
        (top_k_filter(logits, 1000), warpers.TopKLogitsWarper(1000)),
        (repetition_penalty(logits, ids, 1.3), warpers.RepetitionPenaltyLogitsProcessor(1.3)),
        (repetition_penalty(logits, ids, 0.8), warpers.RepetitionPenaltyLogitsProcessor(0.8)),
    ]
    pairs += [
        (top_p_filter(logits, p), warpers.TopPLogitsWarper(p)) for p in (0.0, 0.1, 0.5, 0.9, 0.99)
    ]
    for ours, theirs in pairs:
        assert torch.equal(ours, theirs(ids, logits))


def test_where_transformers_differs():
    warpers = pytest.importorskip("transformers.generation.logits_process")
    none = torch.zeros(1, 0, dtype=torch.int64)
    ties = torch.tensor([[1.0, 2.0, 2.0, 2.0]])
    assert kept(top_k_filter(ties, 2)) == [1, 2]
    assert kept(warpers.TopKLogitsWarper(2)(none, ties)) == [1, 2, 3]

    faint = torch.tensor([[0.0, -200.0]])  # e^-200 is 0 in float32
    assert kept(top_p_filter(faint, 1.0)) == [0, 1]
    assert kept(warpers.TopPLogitsWarper(1.0)(none, faint)) == [0]

    # Both keep the token that crosses p, and no more when p is met exactly.
    even = torch.zeros(1, 4)
    assert len(kept(top_p_filter(even, 0.5))) == 2
    assert len(kept(warpers.TopPLogitsWarper(0.5)(none, even))) == 2
    assert len(kept(top_p_filter(even, 0.51))) == 3
    assert len(kept(warpers.TopPLogitsWarper(0.51)(none, even))) == 3


FILTERS = {
    "temperature": partial(apply_temperature, temperature=1.7),
    "top-k": partial(top_k_filter, k=3),
    "top-k of more than there are": partial(top_k_filter, k=99),
    "top-p": partial(top_p_filter, p=0.8),
    "top-p 0": partial(top_p_filter, p=0),
    "top-p 1": partial(top_p_filter, p=1),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("shape", [(9,), (4, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_all_filters_promise(name, shape, dtype):
    logits = random_logits(*shape).to(dtype)
    logits[..., 2] = -INF
    before = logits.clone()
    out = FILTERS[name](logits)
    assert torch.equal(logits, before)
    assert out.shape == logits.shape and out.dtype == dtype
    assert not out.isnan().any()
    assert (out[..., 2] == -INF).all()
    assert torch.equal(out.argmax(-1), logits.argmax(-1))
    rows, lines = out.reshape(-1, 9), logits.reshape(-1, 9)
    for row, line in zip(rows, lines, strict=True):
        torch.testing.assert_close(row, FILTERS[name](line))  # rows do not meet


@given(
    st.lists(st.integers(-40, 40), min_size=1, max_size=12),
    st.integers(1, 14),
    st.sampled_from([0.0, 0.1, 0.5, 0.75, 0.9, 1.0]),
)
@settings(max_examples=100)
def test_filters_keep_the_right_set(values, k, p):
    logits = torch.tensor(values, dtype=torch.float64) / 8  # ties are frequent
    order = sorted(range(len(values)), key=lambda id: (-values[id], id))
    assert kept(top_k_filter(logits, k)) == sorted(order[:k])

    probs = logits.softmax(-1)
    survivors = kept(top_p_filter(logits, p))
    n = len(survivors)
    assert n >= 1 and survivors == sorted(order[:n])
    assert p < 1 or n == len(values)
    assert sum(probs[order[:n]]) >= p - 1e-9  # they reach p
    assert n == 1 or sum(probs[order[: n - 1]]) < p + 1e-9  # and without the last they do not


def test_repetition_penalty_by_hand():
    logits = torch.tensor([3.0, -3.0, 0.0, 5.0, -INF])
    ids = torch.tensor([0, 0, 1, 2, 4])
    expected = torch.tensor([1.5, -6.0, 0.0, 5.0, -INF])
    assert torch.equal(repetition_penalty(logits, ids, 2.0), expected)
    assert torch.equal(repetition_penalty(logits, ids[:0], 2.0), logits)
    assert torch.equal(repetition_penalty(logits, ids, 1.0), logits)
    rows = repetition_penalty(logits.expand(2, 5), torch.tensor([[0, 0], [3, 3]]), 2.0)
    assert rows[:, [0, 3]].tolist() == [[1.5, 5.0], [3.0, 2.5]]


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (lambda x: apply_temperature(x, 0.0), "temperature"),
        (lambda x: apply_temperature(x, -1.0), "temperature"),
        (lambda x: apply_temperature(x, math.nan), "temperature"),
        (lambda x: top_k_filter(x, 0), "k"),
        (lambda x: top_p_filter(x, 1.2), "p"),
        (lambda x: top_p_filter(x, -0.1), "p"),
        (lambda x: repetition_penalty(x, torch.tensor([9]), 1.2), "ids"),
        (lambda x: repetition_penalty(x, torch.tensor([1]), 0.0), "penalty"),
        (lambda x: repetition_penalty(x, torch.tensor([[1]]), 1.2), "ids"),
        (lambda x: sample(x - INF, generator()), "logits"),
    ],
)
def test_errors_at_the_door(broken, name):
    with pytest.raises(ValueError, match=name):
        broken(random_logits(9))


def test_types_at_the_door():
    with pytest.raises(TypeError, match="logits"):
        top_k_filter([1.0, 2.0], 1)
    with pytest.raises(TypeError, match="k must be an int"):
        top_k_filter(torch.zeros(3), 1.5)


def test_apply_filters_in_order_and_with_the_text_where_wanted():
    logits = torch.tensor([[2.0, 1.5, 1.0], [2.0, 1.5, 1.0]])
    texts = [torch.tensor([0]), torch.tensor([2, 2, 1])]
    penalise = partial(repetition_penalty, penalty=4.0)
    only_best = partial(top_k_filter, k=1)
    assert apply_filters(logits, [penalise, only_best], texts).argmax(-1).tolist() == [1, 0]
    assert apply_filters(logits, [only_best, penalise], texts).argmax(-1).tolist() == [0, 0]
    seen = []
    apply_filters(logits, [lambda row, ids: seen.append(ids.tolist()) or row], texts)
    assert seen == [[0], [2, 2, 1]]
    assert apply_filters(logits, [], texts) is logits


# --- sample --------------------------------------------------------------------------------


def test_sample_draws_from_the_softmax():
    logits = torch.tensor([1.0, -INF, 0.0, 3.0, -2.0])
    draws = sample(logits.expand(50_000, 5), generator())
    assert surprise(draws.bincount(minlength=5), logits.softmax(-1)) > 1e-4


def test_sample_shapes_seeds_and_other_randomness():
    logits = random_logits(6, 9)
    one, many = sample(logits[0], generator(1)), sample(logits, generator(1))
    assert one.shape == () and many.shape == (6,)
    assert one.dtype == many.dtype == torch.int64
    assert torch.equal(many, sample(logits, generator(1)))
    state = torch.get_rng_state()
    sample(logits, generator(2))
    assert torch.equal(state, torch.get_rng_state())
    sharp = torch.full((3, 4), -INF).scatter(1, torch.tensor([[2], [0], [3]]), 7.0)
    assert sample(sharp, generator()).tolist() == [2, 0, 3]


# --- generate ------------------------------------------------------------------------------


def written_one_by_one(model, prompt, n, stop_ids=()):
    """Greedy without any of the machinery: the text is read again for each token."""
    text = list(prompt)
    for _ in range(n):
        with torch.no_grad():
            text.append(int(model(torch.tensor([text]))[0, -1].argmax()))
        if text[-1] in stop_ids:
            break
    return text[len(prompt) :]


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("options", [{}, {"positions": "rope", "norm": "rms"}])
def test_a_padded_batch_writes_what_each_row_would(use_cache, options):
    model = small_model(3, **options)
    ids, mask = pad_left(PROMPTS, pad_id=7)
    alone = [written_one_by_one(model, prompt, 9) for prompt in PROMPTS]
    stop = alone[0][4]
    expected = [written_one_by_one(model, prompt, 9, {stop}) for prompt in PROMPTS]
    assert len({len(row) for row in expected}) > 1, "rows must end at different steps"
    rows, reasons = generate(
        model, ids, max_new_tokens=9, attention_mask=mask, stop_ids=[stop], use_cache=use_cache
    )
    assert rows == expected
    assert reasons == ["stop" if row[-1] == stop else "length" for row in expected]


def test_cached_and_uncached_sample_the_same(model):
    ids, mask = pad_left(PROMPTS)
    options = {"max_new_tokens": 12, "attention_mask": mask, "stop_ids": {4}}
    cached = generate(model, ids, **options, generator=generator(5))
    uncached = generate(model, ids, **options, generator=generator(5), use_cache=False)
    assert cached == uncached
    assert cached != generate(model, ids, **options, generator=generator(6))


def test_the_first_token_follows_the_filtered_distribution(model):
    prompt = torch.tensor(PROMPTS[0]).expand(20_000, -1)
    filters = [partial(apply_temperature, temperature=1.5), partial(top_k_filter, k=4)]
    rows, _ = generate(
        model, prompt, max_new_tokens=1, filters=filters, generator=generator()
    )  # fmt: skip
    with torch.no_grad():
        logits = model(prompt[:1])[0, -1]
    probs = top_k_filter(logits / 1.5, 4).softmax(-1)
    assert surprise(torch.tensor(rows)[:, 0].bincount(minlength=11), probs) > 1e-4


def test_a_filter_sees_the_text_without_padding(model):
    ids, mask = pad_left(PROMPTS, pad_id=8)
    seen = []

    def watch(logits, text):
        seen.append(text.tolist())
        return logits

    rows, _ = generate(model, ids, max_new_tokens=3, attention_mask=mask, filters=[watch])
    texts = [p + row[:n] for n in range(3) for p, row in zip(PROMPTS, rows, strict=True)]
    assert seen == texts


def test_repetition_penalty_in_a_padded_batch(model):
    ids, mask = pad_left(PROMPTS)
    penalise = partial(repetition_penalty, penalty=1.5)
    rows, _ = generate(model, ids, max_new_tokens=8, attention_mask=mask, filters=[penalise])
    for prompt, row in zip(PROMPTS, rows, strict=True):
        text = torch.tensor(prompt)
        for _ in range(8):
            with torch.no_grad():
                best = penalise(model(text[None])[0, -1], text).argmax()
            text = torch.cat([text, best[None]])
        assert text[len(prompt) :].tolist() == row


def test_streaming_hands_out_tokens_before_the_next_are_computed(model):
    ids, mask = pad_left(PROMPTS)
    steps = []
    stream = stream_tokens(
        model, ids, max_new_tokens=5, attention_mask=mask, filters=[lambda x: steps.append(1) or x]
    )
    assert steps == []
    first = next(stream)
    assert len(first) == 3 and len(steps) == 1
    assert torch.is_grad_enabled()
    rows, _ = generate(model, ids, max_new_tokens=5, attention_mask=mask)
    everything = [first, *stream]
    assert [list(row) for row in zip(*everything, strict=True)] == rows


def test_streaming_ends_when_every_row_has(model):
    alone = [written_one_by_one(model, prompt, 30) for prompt in PROMPTS]
    stop = {row[2] for row in alone}
    ids, mask = pad_left(PROMPTS)
    steps = list(stream_tokens(model, ids, max_new_tokens=30, attention_mask=mask, stop_ids=stop))
    rows, reasons = generate(model, ids, max_new_tokens=30, attention_mask=mask, stop_ids=stop)
    assert len(steps) == max(map(len, rows)) <= 3
    assert reasons == ["stop"] * 3
    for i, row in enumerate(rows):
        assert [step[i] for step in steps] == row + [None] * (len(steps) - len(row))


def test_nothing_to_write(model):
    assert generate(model, torch.tensor([[1, 2]]), max_new_tokens=0) == ([[]], ["length"])


def test_generate_refuses(model):
    ids = torch.tensor([[1, 2, 0]])
    with pytest.raises(ValueError, match="attention_mask"):
        generate(model, ids, max_new_tokens=1, attention_mask=torch.tensor([[1, 1, 0]]))
    with pytest.raises(ValueError, match="max_new_tokens"):
        generate(model, ids, max_new_tokens=-1)
    with pytest.raises(ValueError, match="ids"):
        generate(model, ids[0], max_new_tokens=1)
    with pytest.raises(ValueError, match="rows"):
        pad_left([[1], []])


def test_greedy_equals_transformers_generate():
    transformers = pytest.importorskip("transformers")
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=97,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
            rms_norm_eps=1e-5,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )  # fmt: skip
    ).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator(1)) * 0.4)
    from course_lib.pretrained.smollm2 import SAFETENSORS_PARTS
    from course_lib.pretrained.weights import build_model, rename_tensors

    ours = DecoderConfig(
        97, 64, 32, 2, 4, 48, positions="rope", norm="rms", norm_eps=1e-5,
        feed_forward="swiglu", n_kv_heads=2, bias=False,
    )  # fmt: skip
    weights = {k: v for k, v in theirs.state_dict().items() if k != "lm_head.weight"}
    ours = build_model(DecoderLM, ours, rename_tensors(weights, "model.layers", SAFETENSORS_PARTS))

    ids, mask = pad_left(PROMPTS)
    rows, _ = generate(
        ours, ids, max_new_tokens=12, attention_mask=mask, stop_ids={2},
        filters=[partial(repetition_penalty, penalty=1.3)],
    )  # fmt: skip
    for prompt, row in zip(PROMPTS, rows, strict=True):  # alone, since they penalise padding too
        output = theirs.generate(
            torch.tensor([prompt]), max_new_tokens=12, do_sample=False, repetition_penalty=1.3
        )
        assert output[0, len(prompt) :].tolist() == row


def test_smollm2_writes(smollm2):
    model, tokenizer = smollm2
    prompts = ["The capital of France is", "The opposite of hot is", "One, two, three,"]
    ids, mask = pad_left([tokenizer.encode(prompt) for prompt in prompts])
    rows, _ = generate(model, ids, max_new_tokens=1, attention_mask=mask)
    assert [tokenizer.decode(row) for row in rows] == [" Paris", " cold", " four"]


# --- text as it comes ----------------------------------------------------------------------

BYTES = {id: bytes([id]) for id in range(256)} | {300: "né".encode(), 301: "🙂".encode()[:3]}


@given(
    st.lists(st.sampled_from(sorted(BYTES)), max_size=30) | st.text().map(lambda t: [*t.encode()])
)
@settings(max_examples=200)
def test_pieces_of_text_make_the_text(ids):
    pieces = list(stream_text(iter(ids), BYTES))
    assert "".join(pieces) == bpe_decode(ids, BYTES)
    assert all(pieces)


def test_no_character_is_broken():
    ids = [*"a🙂é".encode()]
    assert list(stream_text(ids, BYTES)) == ["a", "🙂", "é"]
    assert list(stream_text(ids[:3], BYTES)) == ["a", "\ufffd"]
    with pytest.raises(ValueError, match="999"):
        list(stream_text([999], BYTES))


def test_text_comes_as_soon_as_it_can():
    read = []
    pieces = stream_text((read.append(byte) or byte for byte in "aé".encode()), BYTES)
    assert next(pieces) == "a" and len(read) == 1
    assert next(pieces) == "é" and len(read) == 3


# --- beam search ---------------------------------------------------------------------------


def random_language(seed, vocab=4):
    """A log_prob_fn with a distribution of its own after each text."""

    def log_probs(ids):
        state = hash((seed, *ids)) % 2**31
        return torch.randn(vocab, generator=generator(state)).double().mul(2).log_softmax(-1)

    return log_probs


def every_hypothesis(log_probs, start, max_length, end_id, vocab=4):
    """(ids, sum) of every ended or cut-off text."""
    open_texts = [(list(start), 0.0)]
    while open_texts:
        ids, total = open_texts.pop()
        for id, log_prob in enumerate(log_probs(ids).tolist()):
            longer = (ids + [id], total + log_prob)
            if id == end_id or len(longer[0]) == max_length:
                yield longer
            else:
                open_texts.append(longer)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0, 2.0])
def test_a_beam_wide_enough_finds_the_best(seed, length_penalty):
    log_probs = random_language(seed)
    found, score = beam_search(log_probs, [1, 2], 4**4, 6, 0, length_penalty)
    hypotheses = every_hypothesis(log_probs, [1, 2], 6, 0)
    scores = {tuple(ids): total / (len(ids) - 2) ** length_penalty for ids, total in hypotheses}
    best = max(scores, key=scores.get)
    assert tuple(found) == best
    assert score == pytest.approx(scores[best])


@pytest.mark.parametrize("seed", range(10))
def test_width_one_is_greedy(seed):
    log_probs = random_language(seed)
    text, total = [3], 0.0
    while len(text) < 8 and text[-1] != 0:
        row = log_probs(text)
        text.append(int(row.argmax()))
        total += row.max().item()
    assert beam_search(log_probs, [3], 1, 8, 0, 0.0) == (text, pytest.approx(total))


def test_beam_search_survives_its_edges():
    log_probs = random_language(0)
    start = [1, 2]
    assert beam_search(log_probs, start, 3, 2, 0, 1.0) == ([1, 2], 0.0)
    assert start == [1, 2]
    impossible = torch.tensor([-INF, 0.0, -INF, -INF])
    assert beam_search(lambda ids: impossible, [], 4, 3, 0, 0.0) == ([1, 1, 1], 0.0)
    with pytest.raises(ValueError, match="width"):
        beam_search(log_probs, [1], 0, 5, 0, 0.0)
    with pytest.raises(ValueError, match="max_length"):
        beam_search(log_probs, [1, 2], 1, 1, 0, 0.0)


def test_log_probs_of_remembers_and_agrees(model):
    read, text = logits_of(model), [1, 5, 2]
    log_prob_fn = log_probs_of(model)
    for _ in range(80):  # more than it remembers
        text = [*text[:12], int(torch.randint(11, (), generator=generator(len(text))))]
        text = text[:-1] if len(text) > 11 else text
        for variant in (text, text[:2], text + [3], text + [4]):
            with torch.no_grad():
                expected = model(torch.tensor([variant]))[0, -1]
            torch.testing.assert_close(read(variant), expected, rtol=1e-4, atol=1e-4)
            log_probs = log_prob_fn(variant)
            torch.testing.assert_close(log_probs, expected.log_softmax(-1), rtol=1e-4, atol=1e-4)


# --- speculative sampling ------------------------------------------------------------------


def rows_of_probs(*shape, seed):
    return random_logits(*shape, seed=seed, scale=1.5).softmax(-1)


def test_speculation_leaves_the_distribution_as_it_is():
    """The first token, and the second given the first, over many rounds."""
    n, vocab, rounds = 2, 4, 10_000
    draft, source = rows_of_probs(n, vocab, seed=1), generator(0)
    target = rows_of_probs(n + 1, vocab, seed=2)
    target[0, 3], draft[1, 0] = 0.0, 0.0  # what one of them never says
    target, draft = target / target.sum(-1, keepdim=True), draft / draft.sum(-1, keepdim=True)
    counts = torch.zeros(3, vocab)
    for _ in range(rounds):
        tokens = torch.multinomial(draft, 1, generator=source)[:, 0]
        for place, token in enumerate(speculative_accept(draft, target, tokens, source).tolist()):
            counts[place, token] += 1
    accepted = torch.minimum(draft, target[:n]).sum(-1)  # the chance at each place
    assert counts[0].sum() == rounds
    for place in range(3):
        assert surprise(counts[place], target[place]) > 1e-4
    reached = counts.sum(-1) / rounds
    assert reached[1].item() == pytest.approx(accepted[0].item(), abs=0.02)
    assert reached[2].item() == pytest.approx(accepted.prod().item(), abs=0.02)


def test_speculation_at_its_edges():
    draft, target = rows_of_probs(3, 5, seed=1), rows_of_probs(4, 5, seed=2)
    tokens = torch.tensor([1, 4, 0])
    alike = speculative_accept(target[:3], target, tokens, generator())
    assert alike[:3].tolist() == [1, 4, 0] and len(alike) == 4
    assert len(speculative_accept(draft[:0], target[:1], tokens[:0], generator())) == 1
    never = target.clone()
    never[1, 4] = 0
    for seed in range(20):
        out = speculative_accept(target[:3], never, tokens, generator(seed))
        assert out.dtype == torch.int64 and len(out) == 2 and out[1] != 4
    # The target a hair below the draft everywhere: rejected once in a while, nothing left over.
    for seed in range(200):
        assert len(speculative_accept(target[:3], 0.5 * target, tokens, generator(seed))) >= 1


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"target_probs": torch.full((2, 4), 0.25)}, "target_probs"),
        ({"tokens": torch.tensor([1, 9])}, "tokens"),
        ({"tokens": torch.tensor([1, 0])}, "tokens"),
        ({"tokens": torch.tensor([1])}, "tokens"),
    ],
)
def test_speculation_refuses(change, name):
    draft = torch.tensor([[0.0, 1.0, 0.0, 0.0]]).expand(2, 4)
    good = {"draft_probs": draft, "target_probs": torch.full((3, 4), 0.25)}
    good |= {"tokens": torch.tensor([1, 1])}
    with pytest.raises(ValueError, match=name):
        speculative_accept(**(good | change), generator=generator())


@pytest.mark.slow
def test_speculative_generation_has_the_targets_distribution():
    """All texts of three tokens, counted, against their exact probability."""
    model, draft = small_model(1, vocab_size=3), small_model(2, vocab_size=3)
    prompt, filters = [0, 2], [partial(apply_temperature, temperature=2.0)]

    def probs(text):
        with torch.no_grad():
            return (model(torch.tensor([text]))[0, -1] / 2).softmax(-1)

    exact, texts = [], list(itertools.product(range(3), repeat=3))
    for text in texts:
        text = [*prompt, *text]
        exact.append(math.prod(probs(text[:i])[text[i]].item() for i in (2, 3, 4)))
    counts, source = torch.zeros(27), generator(3)
    for _ in range(600):
        new, why, calls = speculative_generate(
            model, draft, prompt, max_new_tokens=3, n_draft=2, filters=filters, generator=source
        )
        assert why == "length" and len(new) == 3 and 1 <= calls <= 3
        counts[texts.index(tuple(new))] += 1
    assert surprise(counts, torch.tensor(exact)) > 1e-4


def test_speculative_greedy_is_greedy_and_a_perfect_draft_saves_calls(model):
    best = [partial(top_k_filter, k=1)]
    greedy = written_one_by_one(model, PROMPTS[0], 12)
    for draft, n_calls in ((small_model(8), None), (model, 3)):
        new, why, calls = speculative_generate(
            model, draft, PROMPTS[0], max_new_tokens=12, n_draft=3, filters=best,
            generator=generator(),
        )  # fmt: skip
        assert new == greedy and why == "length"
        assert n_calls in (None, calls)
    stop = greedy[3]
    new, why, _ = speculative_generate(
        model, model, PROMPTS[0], max_new_tokens=12, stop_ids={stop}, filters=best,
        generator=generator(),
    )  # fmt: skip
    assert new == greedy[: greedy.index(stop) + 1] and why == "stop"


def test_speculative_generation_refuses(model):
    with pytest.raises(ValueError, match="vocabulary"):
        speculative_generate(model, small_model(vocab_size=5), [1], max_new_tokens=1)
    with pytest.raises(ValueError, match="n_draft"):
        speculative_generate(model, model, [1], max_new_tokens=1, n_draft=0)
    with pytest.raises(ValueError, match="ids"):
        speculative_generate(model, model, [], max_new_tokens=1)
