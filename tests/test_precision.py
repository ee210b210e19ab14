"""float16 and bfloat16 give what torch gives: on large, tiny and constant inputs, too."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from course_lib import attention, decoding, encoder, objectives, transformer
from course_lib.embeddings import nearest_neighbours
from course_lib.precision import at_least_float32, in_float32

HALVES = [torch.float16, torch.bfloat16]
each_half = pytest.mark.parametrize("dtype", HALVES, ids=str)
KINDS = {
    "plain": lambda x: x,
    "large": lambda x: x * 300,
    "huge": lambda x: x.sign() * 60_000,
    "tiny": lambda x: x * 1e-4,
    "constant": lambda x: torch.full_like(x, 40.0),
    "zero": torch.zeros_like,
    "far from 0": lambda x: x + 1000,
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def draw(*shape, dtype, kind="plain", seed=0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return KINDS[kind](x).clamp(-65_000, 65_000).to(dtype)


def assert_one_rounding(got, exact, dtype):
    """Equal to the exact result but for the last digit that the dtype has."""
    assert got.dtype == dtype
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(got.double(), exact.double(), rtol=1.01 * step, atol=1e-7)


# ---- norms


@each_half
@each_kind
@pytest.mark.parametrize("eps", [1e-5, 1e-6, 1e-12])
def test_norms_equal_torch(dtype, kind, eps):
    x = draw(3, 5, 64, dtype=dtype, kind=kind)
    weight, bias = draw(64, dtype=dtype, seed=1), draw(64, dtype=dtype, seed=2)
    wide = x.float(), weight.float(), bias.float()
    rms = transformer.rms_norm(x, weight, eps)
    assert_one_rounding(rms, F.rms_norm(wide[0], (64,), wide[1], eps), dtype)
    layer = transformer.layer_norm(x, weight, bias, eps)
    assert layer.isfinite().all() and rms.isfinite().all()
    theirs = F.layer_norm(x, (64,), weight, bias, eps)
    torch.testing.assert_close(layer, theirs, rtol=3 * torch.finfo(dtype).eps, atol=5e-3)


# ---- attention


@each_half
def test_softmax_of_many_scores(dtype):
    assert_one_rounding(
        attention.softmax(torch.zeros(70_000, dtype=dtype), 0),
        torch.full((70_000,), 1 / 70_000),
        dtype,
    )


@each_half
@each_kind
def test_softmax_equals_torch(dtype, kind):
    x = draw(4, 300, dtype=dtype, kind=kind)
    torch.testing.assert_close(attention.softmax(x, -1), x.softmax(-1))


@each_half
@each_kind
@pytest.mark.parametrize("causal", [False, True])
def test_attention_equals_torch(dtype, kind, causal):
    if kind == "huge":
        kind = "large"  # 60,000 squared times 64 is a score that float32 has no digits for
    q, k, v = [draw(2, 4, 9, 64, dtype=dtype, kind=kind, seed=seed) for seed in range(3)]
    mask = attention.causal_mask(9) if causal else None
    exact = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask)
    output, weights = attention.scaled_dot_product_attention(q, k, v, mask)
    assert weights.dtype == dtype
    streamed = attention.streaming_attention(q, k, v, block_size=4, causal=causal)
    rtol, atol = 4 * torch.finfo(dtype).eps, 1e-6 + 1e-5 * float(v.abs().max())
    for ours in (output, streamed):
        assert ours.dtype == dtype and ours.isfinite().all()
        torch.testing.assert_close(ours.float(), exact, rtol=rtol, atol=atol)


def test_scores_beyond_float16():
    q = torch.full((1, 3, 64), 40.0, dtype=torch.float16)  # q . k = 102,400
    v = draw(1, 3, 8, dtype=torch.float16)
    output, _ = attention.scaled_dot_product_attention(q, q, v)
    assert_one_rounding(output, v.float().mean(1, keepdim=True).expand_as(output), torch.float16)
    assert attention.attention_scores(q, q).unique().tolist() == [12_800]


@each_half
def test_recorded_weights_keep_their_precision(dtype):
    q = draw(1, 2, 3, 8, dtype=dtype)
    with attention.record_attention() as record:
        attention.scaled_dot_product_attention(q, q, q)
    assert [weights.dtype for weights in record] == [dtype]


# ---- pooling and losses


@each_half
@each_kind
def test_the_mean_of_many_tokens(dtype, kind):
    hidden = draw(2, 1000, 16, dtype=dtype, kind=kind)
    mask = torch.ones(2, 1000, dtype=torch.int64)
    mask[0, 500:] = 0
    exact = torch.stack([hidden[0, :500].double().mean(0), hidden[1].double().mean(0)])
    step = torch.finfo(dtype).eps
    pooled = encoder.mean_pool(hidden, mask)
    torch.testing.assert_close(
        pooled.double(), exact, rtol=1.01 * step, atol=6e-8 + 1e-6 * float(hidden.abs().max())
    )


@each_half
def test_losses_of_many_tokens(dtype):
    logits = torch.zeros(4, 5000, 8, dtype=dtype)
    logits[..., 0] = -12
    labels = torch.zeros(4, 5000, dtype=torch.int64)  # 20,000 labels of 12 nats and more
    exact = F.cross_entropy(logits.flatten(0, 1).double(), labels.flatten())
    for loss in (objectives.masked_lm_loss, objectives.classification_loss):
        assert_one_rounding(loss(logits, labels), exact, dtype)
    assert_one_rounding(objectives.seq2seq_loss(logits, labels), exact, dtype)
    assert_one_rounding(objectives.causal_lm_loss(logits, labels), exact, dtype)


# ---- choosing tokens


@each_half
def test_top_p_over_a_flat_vocabulary(dtype):
    """50,000 equal tokens: half of the probability is half of the tokens."""
    kept = decoding.top_p_filter(torch.zeros(50_000, dtype=dtype), 0.5)
    assert kept.dtype == dtype
    assert abs(int((kept == 0).sum()) - 25_000) <= 10


@each_half
@given(seed=st.integers(0, 1000), temperature=st.floats(0.05, 5))
def test_filters_choose_as_in_float32(dtype, seed, temperature):
    logits = draw(1, 500, dtype=dtype, seed=seed) * 8
    filters = [
        lambda x: decoding.apply_temperature(x, temperature),
        lambda x: decoding.top_p_filter(x, 0.9),
    ]
    half = decoding.apply_filters(logits, filters, [torch.tensor([1])])
    wide = decoding.apply_filters(logits.float(), filters, [torch.tensor([1])])
    assert half.dtype == torch.float32
    assert torch.equal(half, wide)


@each_half
def test_what_is_drawn(dtype):
    logits = draw(2000, 5, dtype=dtype) * 3
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    half, wide = logits, logits.float()
    assert torch.equal(decoding.sample(half, generators[0]), decoding.sample(wide, generators[1]))


def test_the_nearest_of_long_rows():
    table = torch.tensor([[300.0, 0], [290, 80], [0, 300]], dtype=torch.float16)
    assert nearest_neighbours(table[0], table, 3).tolist() == [0, 1, 2]


# ---- the wrapper itself


@each_half
def test_gradients_come_back_in_the_precision_of_the_input(dtype):
    x = draw(4, 8, dtype=dtype).requires_grad_()
    attention.softmax(x, -1)[:, 0].sum().backward()
    assert x.grad.dtype == dtype and x.grad.abs().sum() > 0


def test_what_is_not_half_is_left_alone():
    seen = []
    look = in_float32(lambda *args, **kwargs: seen.append([*args, *kwargs.values()]))
    half, wide = torch.ones(2, dtype=torch.float16), torch.ones(2, dtype=torch.float64)
    look(wide, 3, name="text")
    look(half, other=wide)
    look(half, torch.tensor([1]), other=half)
    dtypes = [[getattr(value, "dtype", value) for value in call] for call in seen]
    assert dtypes[0] == [torch.float64, 3, "text"]
    assert dtypes[1] == [torch.float16, torch.float64]
    assert dtypes[2] == [torch.float32, torch.int64, torch.float32]
    assert at_least_float32(wide) is wide and at_least_float32(half).dtype == torch.float32
