from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib import attention
from course_lib.attention import (
    MultiHeadAttention,
    attend_to,
    attention_scores,
    causal_mask,
    merge_heads,
    padding_mask,
    record_attention,
    scaled_dot_product_attention,
    softmax,
    split_heads,
    streaming_attention,
)

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INF = float("inf")


def random_qkv(generator, batch=(2, 3), target=5, source=7, d_k=4, d_v=6, dtype=torch.float64):
    """Queries, keys and values with every axis of a different size."""
    shapes = [(target, d_k), (source, d_k), (source, d_v)]
    return [torch.randn(*batch, *s, generator=generator, dtype=dtype) for s in shapes]


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


# softmax


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("dim", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_softmax_equals_torch(dtype, dim, scale) -> None:
    x = (torch.randn(3, 4, 5) * scale).clamp(-6e4, 6e4).to(dtype)
    before = x.clone()
    result = softmax(x, dim)
    assert result.dtype == dtype and torch.equal(x, before)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(result, F.softmax(x, dim), atol=4 * eps, rtol=8 * eps)


@settings(max_examples=50)
@given(
    st.lists(st.floats(-1e30, 1e30) | st.just(-INF), min_size=1, max_size=8),
    st.floats(-100, 100),
)
def test_softmax_is_a_distribution_that_ignores_a_shift(scores, shift) -> None:
    x = torch.tensor(scores, dtype=torch.float64)
    shares = softmax(x, 0)
    assert (shares >= 0).all()
    assert shares.sum().item() == pytest.approx(0.0 if max(scores) == -INF else 1.0)
    assert (shares[x == -INF] == 0).all()
    small = torch.where(x == -INF, x, x.clamp(-1e3, 1e3))  # where a shift is not lost in rounding
    torch.testing.assert_close(softmax(small + shift, 0), softmax(small, 0))


@pytest.mark.parametrize("dtype", FLOATS)
def test_softmax_of_nothing_is_zeros_with_zero_gradients(dtype) -> None:
    x = torch.tensor([[-INF, -INF, -INF], [0.5, -INF, 2.0]], dtype=dtype, requires_grad=True)
    shares = softmax(x, -1)
    shares.backward(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=dtype))
    assert (shares[0] == 0).all() and (x.grad[0] == 0).all()
    assert torch.isfinite(x.grad).all() and x.grad[1, 1] == 0 and x.grad[1, 0] != 0


def test_softmax_gradients() -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: softmax(x, 0), [x])
    huge = (torch.randn(2, 4, dtype=torch.float64) * 3 + 1e3).requires_grad_()
    assert gradcheck(lambda x: softmax(x, -1), [huge])


@pytest.mark.parametrize(("shape", "dim"), [((2, 0), -1), ((0, 3), -1), ((2, 0), 0)])
def test_softmax_of_empty_axes(shape, dim) -> None:
    assert softmax(torch.zeros(shape), dim).shape == shape


def test_softmax_door() -> None:
    for wrong in ([1.0, 2.0], torch.tensor([1, 2])):
        with pytest.raises(TypeError, match="^x must be a tensor"):
            softmax(wrong, 0)
    for dim in (2, -3):
        with pytest.raises(ValueError, match="^dim "):
            softmax(torch.zeros(2, 2), dim)


# scores


@pytest.mark.parametrize("dtype", FLOATS)
def test_scores_follow_the_formula(generator, dtype) -> None:
    q, k, _ = random_qkv(generator, dtype=torch.float64)
    expected = torch.einsum("...td,...sd->...ts", q, k) / 2  # sqrt(4)
    scores = attention_scores(q.to(dtype), k.to(dtype))
    assert scores.dtype == dtype
    tolerance = 30 * torch.finfo(dtype).eps
    torch.testing.assert_close(scores.double(), expected, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(attention_scores(q[0, 0], k[0, 0]), expected[0, 0])


@pytest.mark.parametrize("d_k", [4, 64, 1024])
def test_scores_of_unit_vectors_have_unit_variance(d_k) -> None:
    q, k = torch.randn(2, 300, d_k, generator=torch.Generator().manual_seed(d_k))
    assert attention_scores(q, k).var().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("q", "k", "error", "name"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 4), ValueError, "k"),
        (torch.zeros(3), torch.zeros(2, 3), ValueError, "q"),
        (torch.zeros(2, 3), torch.zeros(3), ValueError, "k"),
        (torch.zeros(4, 2, 3), torch.zeros(5, 2, 3), ValueError, "k"),
        ([[1.0]], torch.zeros(2, 1), TypeError, "q"),
        (torch.zeros(2, 1), torch.zeros(2, 1, dtype=torch.int64), TypeError, "k"),
    ],
)
def test_scores_door(q, k, error, name) -> None:
    with pytest.raises(error, match=f"^{name} "):
        attention_scores(q, k)


# masks


@given(st.integers(0, 9), st.integers(0, 9))
def test_causal_mask_last_query_sees_last_key(target, source) -> None:
    mask = causal_mask(target, source)
    assert mask.shape == (target, source) and mask.dtype == torch.bool
    for i in range(target):
        for j in range(source):
            assert mask[i, j].item() == (j - (source - 1) <= i - (target - 1))
    assert torch.equal(causal_mask(source), causal_mask(source, source))


def test_causal_mask_with_more_queries_than_keys_starts_blind() -> None:
    expected = torch.tensor([[0, 0], [0, 0], [1, 0], [1, 1]]).bool()
    assert torch.equal(causal_mask(4, 2), expected)


def test_causal_mask_door() -> None:
    for arguments, name in (((-1,), "target"), ((2, -1), "source")):
        with pytest.raises(ValueError, match=f"^{name} "):
            causal_mask(*arguments)
    for arguments, name in (((2.0,), "target"), ((2, "2"), "source")):
        with pytest.raises(TypeError, match=f"^{name} "):
            causal_mask(*arguments)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32])
def test_padding_mask(dtype) -> None:
    rows = torch.tensor([[1, 1, 0], [0, 0, 0]])
    mask = padding_mask(rows.to(dtype))
    assert mask.shape == (2, 1, 1, 3) and mask.dtype == torch.bool
    assert torch.equal(mask[:, 0, 0], rows.bool())


def test_padding_mask_door() -> None:
    with pytest.raises(TypeError, match="^attention_mask "):
        padding_mask([[1, 0]])
    for wrong in (torch.ones(3), torch.ones(2, 1, 3), torch.tensor([[0.0, -INF]])):
        with pytest.raises(ValueError, match="^attention_mask "):
            padding_mask(wrong)


# scaled dot-product attention


@pytest.mark.parametrize(
    "mask_shape", [None, (5, 7), (2, 3, 5, 7), (2, 1, 1, 7), (1, 3, 5, 7), (7,)]
)
def test_attention_equals_torch(generator, mask_shape) -> None:
    q, k, v = random_qkv(generator)
    mask = None
    if mask_shape is not None:
        mask = torch.rand(mask_shape, generator=generator) < 0.7
        mask[..., 0] = True  # rows that are blocked throughout have their own test
    output, weights = scaled_dot_product_attention(q, k, v, mask)
    expanded = None if mask is None else mask.expand(2, 3, 5, 7)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=expanded)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(weights @ v, output)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5, dtype=torch.float64))
    if mask is not None:
        assert (weights[~expanded] == 0).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_query_with_nothing_to_attend_to_gives_zeros(generator, dtype) -> None:
    q, k, v = (t.requires_grad_() for t in random_qkv(generator, dtype=dtype))
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[1] = False
    output, weights = scaled_dot_product_attention(q, k, v, mask)
    (output.sum() + weights.square().sum()).backward()
    assert output.dtype == weights.dtype == dtype
    assert (output[:, :, 1] == 0).all() and (weights[:, :, 1] == 0).all()
    assert all(torch.isfinite(t.grad).all() for t in (q, k, v))
    assert (q.grad[:, :, 1] == 0).all() and (q.grad[:, :, 0] != 0).any()


def test_no_finite_score_beats_a_blocked_one(generator) -> None:
    q, k, v = random_qkv(generator, batch=(), dtype=torch.float32)
    q, k = q.abs() * 1e10, -k.abs() * 1e15  # every score is far below -1e9
    mask = causal_mask(5, 7)
    _, weights = scaled_dot_product_attention(q, k, v, mask)
    assert (weights[~mask] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(5))


def test_no_sources_at_all_give_zeros() -> None:
    q = torch.randn(2, 5, 4, requires_grad=True)
    output, weights = scaled_dot_product_attention(q, torch.zeros(2, 0, 4), torch.zeros(2, 0, 6))
    assert torch.equal(output, torch.zeros(2, 5, 6)) and weights.shape == (2, 5, 0)


def test_attention_gradients(generator) -> None:
    q, k, v = (t.requires_grad_() for t in random_qkv(generator, batch=(2,), target=3, source=4))
    mask = causal_mask(3, 4)
    mask[0] = False
    assert gradcheck(lambda *qkv: scaled_dot_product_attention(*qkv, mask), [q, k, v])


def test_attention_changes_no_argument(generator) -> None:
    arguments = [*random_qkv(generator), causal_mask(5, 7)]
    before = [t.clone() for t in arguments]
    scaled_dot_product_attention(*arguments)
    streaming_attention(*arguments[:3], block_size=3, causal=True)
    assert all(map(torch.equal, arguments, before))


@pytest.mark.parametrize(
    ("v", "mask", "error", "name"),
    [
        ([[1.0]], None, TypeError, "v"),
        (torch.zeros(7, 2).long(), None, TypeError, "v"),
        (torch.zeros(6, 2), None, ValueError, "v"),
        (torch.zeros(7), None, ValueError, "v"),
        (torch.zeros(7, 2), torch.zeros(5, 7), TypeError, "mask"),
        (torch.zeros(7, 2), [[True]], TypeError, "mask"),
        (torch.zeros(7, 2), torch.ones(7, 5).bool(), ValueError, "mask"),
        (torch.zeros(7, 2), torch.ones(1, 5, 7).bool(), ValueError, "mask"),
    ],
)
def test_attention_door(v, mask, error, name) -> None:
    with pytest.raises(error, match=f"^{name} "):
        scaled_dot_product_attention(torch.zeros(5, 4), torch.zeros(7, 4), v, mask)


# heads


def test_heads_are_contiguous_runs_of_channels() -> None:
    x = torch.randn(2, 5, 12)
    heads = split_heads(x, 3)
    assert heads.shape == (2, 3, 5, 4)
    for h, channels in enumerate(x.split(4, dim=-1)):
        assert torch.equal(heads[:, h], channels)


@given(st.integers(0, 3), st.integers(0, 4), st.integers(1, 4), st.integers(1, 3))
def test_merging_undoes_splitting(batch, time, n_heads, d_k) -> None:
    x = torch.randn(batch, time, n_heads * d_k)
    assert torch.equal(merge_heads(split_heads(x, n_heads)), x)


def test_heads_door() -> None:
    for n_heads in (5, 0, -2):
        with pytest.raises(ValueError, match="^n_heads must divide the width 12"):
            split_heads(torch.zeros(2, 3, 12), n_heads)
        with pytest.raises(ValueError, match="^n_heads must divide the width 12"):
            MultiHeadAttention(12, n_heads)
    with pytest.raises(ValueError, match="^x must have the shape"):
        split_heads(torch.zeros(3, 4), 1)
    with pytest.raises(ValueError, match="^x must have the shape"):
        merge_heads(torch.zeros(2, 3, 4))
    with pytest.raises(TypeError, match="^x must be"):
        split_heads([1.0], 1)
    with pytest.raises(TypeError, match="^x must be"):
        merge_heads([1.0])


# multi-head attention


def torch_twin(ours: MultiHeadAttention) -> nn.MultiheadAttention:
    """torch's own layer with the same weights."""
    width = ours.q_proj.in_features
    twin = nn.MultiheadAttention(width, ours.n_heads, batch_first=True).double().eval()
    projections = [ours.q_proj, ours.k_proj, ours.v_proj]
    with torch.no_grad():
        twin.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        twin.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
    twin.out_proj.load_state_dict(ours.out_proj.state_dict())
    return twin


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_multi_head_attention_equals_torch(generator, cross, masked) -> None:
    ours = MultiHeadAttention(12, 3).double()
    x = torch.randn(2, 5, 12, generator=generator, dtype=torch.float64)
    context = torch.randn(2, 7, 12, generator=generator, dtype=torch.float64) if cross else None
    source = 7 if cross else 5
    mask = causal_mask(5, source) if masked else None
    keys = x if context is None else context
    with record_attention() as weights:
        output = ours(x, context=context, mask=mask)
    expected, expected_weights = torch_twin(ours)(
        x, keys, keys, attn_mask=None if mask is None else ~mask, average_attn_weights=False
    )
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(weights[0], expected_weights)


def test_multi_head_attention_parts() -> None:
    layer = MultiHeadAttention(8, 2)
    parts = dict(layer.named_children())
    assert list(parts) == ["q_proj", "k_proj", "v_proj", "out_proj"]
    assert all(type(p) is nn.Linear and p.bias is not None for p in parts.values())
    assert isinstance(layer(torch.randn(1, 3, 8)), torch.Tensor)
    parameters = list(inspect.signature(layer.forward).parameters.values())
    assert [(p.name, p.default) for p in parameters[1:]] == [("context", None), ("mask", None)]


def test_without_a_mask_the_order_does_not_matter(generator) -> None:
    layer = MultiHeadAttention(12, 3).double()
    x = torch.randn(2, 6, 12, generator=generator, dtype=torch.float64)
    order = torch.randperm(6, generator=generator)
    torch.testing.assert_close(layer(x[:, order]), layer(x)[:, order])
    # a causal mask ends that: it tells positions apart
    causal = layer(x[:, order], mask=causal_mask(6))
    assert not torch.allclose(causal, layer(x, mask=causal_mask(6))[:, order])


def test_nobody_looks_ahead(generator) -> None:
    layer = MultiHeadAttention(12, 3)
    x = torch.randn(2, 6, 12, generator=generator)
    changed = x.clone()
    changed[:, 4:] = 1e3 * torch.randn(2, 2, 12, generator=generator)
    before, after = (layer(text, mask=causal_mask(6)) for text in (x, changed))
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_padding_changes_nothing(generator) -> None:
    layer = MultiHeadAttention(12, 3).double()
    x = torch.randn(1, 4, 12, generator=generator, dtype=torch.float64)
    filler = torch.randn(1, 3, 12, generator=generator, dtype=torch.float64)
    padded = torch.cat([x, 100 * filler], dim=1)
    mask = padding_mask(torch.tensor([[1, 1, 1, 1, 0, 0, 0]]))
    torch.testing.assert_close(layer(padded, mask=mask)[:, :4], layer(x))


def test_a_fully_padded_row_stays_finite() -> None:
    layer = MultiHeadAttention(12, 3)
    x = torch.randn(2, 4, 12, requires_grad=True)
    output = layer(x, mask=padding_mask(torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0]])))
    output.square().sum().backward()
    torch.testing.assert_close(output[1], layer.out_proj.bias.expand(4, 12))
    gradients = [x.grad, *(p.grad for p in layer.parameters())]
    assert all(torch.isfinite(g).all() for g in gradients)


def test_multi_head_attention_door() -> None:
    layer, x = MultiHeadAttention(8, 2), torch.zeros(2, 3, 8)
    with pytest.raises(ValueError, match=r"^x must be \[batch, time, 8\]"):
        layer(torch.zeros(2, 3, 7))
    for wrong in (torch.zeros(3, 8), torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"^x must have the shape \[batch, target, width\]"):
            layer(wrong)
    for wrong in (torch.zeros(2, 3, 7), torch.zeros(3, 8), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="^context must have the shape"):
            layer(x, context=wrong)
    with pytest.raises(ValueError, match="^context "):
        layer(x, context=torch.zeros(3, 3, 8))
    with pytest.raises(TypeError, match="^x "):
        layer([[1.0]])
    with pytest.raises(TypeError, match="^mask "):
        layer(x, mask=torch.zeros(3, 3))


# streaming attention


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(0, 9), st.integers(1, 11), st.booleans(), st.integers(0, 99))
def test_streaming_equals_full(target, source, block_size, causal, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, k, v = random_qkv(generator, target=target, source=source)
    q = q * 30  # sharp weights, whose running maximum moves
    mask = causal_mask(target, source) if causal else None
    expected, _ = scaled_dot_product_attention(q, k, v, mask)
    torch.testing.assert_close(streaming_attention(q, k, v, block_size, causal), expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_streaming_keeps_the_dtype(generator, dtype) -> None:
    q, k, v = random_qkv(generator, dtype=torch.float64)
    expected, _ = scaled_dot_product_attention(q, k, v, causal_mask(5, 7))
    output = streaming_attention(q.to(dtype), k.to(dtype), v.to(dtype), 2, causal=True)
    assert output.dtype == dtype
    tolerance = 30 * torch.finfo(dtype).eps
    torch.testing.assert_close(output.double(), expected, atol=tolerance, rtol=tolerance)


def test_streaming_with_blind_queries_has_finite_gradients(generator) -> None:
    q, k, v = (t.requires_grad_() for t in random_qkv(generator, target=6, source=3))
    output = streaming_attention(q, k, v, block_size=2, causal=True)
    output.sum().backward()
    assert (output[:, :, :3] == 0).all()
    assert all(torch.isfinite(t.grad).all() for t in (q, k, v))
    assert (q.grad[:, :, :3] == 0).all()


def test_streaming_gradients(generator) -> None:
    qkv = [t.requires_grad_() for t in random_qkv(generator, batch=(2,), target=5, source=4)]
    assert gradcheck(lambda *qkv: streaming_attention(*qkv, block_size=3, causal=True), qkv)


class LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


@pytest.mark.parametrize("causal", [False, True])
def test_streaming_never_builds_the_score_matrix(generator, causal) -> None:
    def largest(attend, target, source) -> int:
        q, k, v = random_qkv(generator, (1,), target, source, 4, 4, torch.float32)
        with torch.no_grad(), LargestTensor() as mode:
            attend(q, k, v)
        return mode.elements

    def streaming(q, k, v):
        return streaming_attention(q, k, v, block_size=16, causal=causal)

    def full(q, k, v):
        return scaled_dot_product_attention(q, k, v, causal_mask(len(q[0]), len(k[0])))

    assert largest(full, 256, 512) == 256 * 512  # the meter sees what it should
    assert largest(streaming, 256, 512) == 256 * 16
    assert largest(streaming, 512, 512) == 512 * 16  # grows with the targets,
    # and not with the sources beyond the keys themselves
    assert largest(streaming, 256, 1024) == max(256 * 16, 1024 * 4)


@pytest.mark.parametrize(
    ("shapes", "block_size", "name"),
    [
        ([(5, 4), (7, 4), (7, 6)], 0, "block_size"),
        ([(5, 4), (7, 4), (7, 6)], -1, "block_size"),
        ([(5, 4), (7, 3), (7, 6)], 2, "k"),
        ([(5, 4), (7, 4), (6, 6)], 2, "v"),
        ([(4,), (7, 4), (7, 6)], 2, "q"),
        ([(5, 4), (7, 4), (7,)], 2, "v"),
    ],
)
def test_streaming_door(shapes, block_size, name) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        streaming_attention(*map(torch.zeros, shapes), block_size)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_streaming_door_for_types(position) -> None:
    qkv = [torch.zeros(5, 4)] * 3
    for wrong in ([1.0], torch.zeros(5, 4).long()):
        arguments = [*qkv[:position], wrong, *qkv[position + 1 :]]
        with pytest.raises(TypeError, match=f"^{'qkv'[position]} "):
            streaming_attention(*arguments, 2)


# recording


def test_recording_collects_every_call_in_order() -> None:
    first, second = MultiHeadAttention(8, 2), MultiHeadAttention(8, 4)
    x = torch.randn(3, 5, 8)
    with record_attention() as outer:
        y = first(x, mask=causal_mask(5))
        with record_attention() as inner:
            second(y, context=x[:, :2])
    second(x)  # outside: not seen
    assert [tuple(w.shape) for w in outer] == [(3, 2, 5, 5), (3, 4, 5, 2)]
    assert len(inner) == 1 and torch.equal(inner[0], outer[1])
    assert not outer[0].requires_grad
    assert (outer[0][..., ~causal_mask(5)] == 0).all()


def test_recording_changes_no_output_and_ends_with_an_error() -> None:
    layer, x = MultiHeadAttention(8, 2), torch.randn(1, 4, 8)
    plain = layer(x)
    with record_attention():
        assert torch.equal(layer(x), plain)
    with pytest.raises(RuntimeError, match="stop"), record_attention() as weights:
        raise RuntimeError("stop")
    layer(x)
    assert weights == []


def test_recording_does_not_see_other_threads() -> None:
    layer, x = MultiHeadAttention(8, 2), torch.randn(1, 4, 8)
    with record_attention() as weights, ThreadPoolExecutor(1) as pool:
        pool.submit(layer, x).result()
        layer(x)
    assert len(weights) == 1


def test_the_source_a_learner_reads_has_no_recording_in_it() -> None:
    source = inspect.getsource(attention.scaled_dot_product_attention)
    assert source.startswith("@check_shapes\ndef scaled_dot_product_attention(")
    assert "record" not in source + inspect.getsource(MultiHeadAttention)


@torch.no_grad()
def test_attend_to_is_torchs_attention_with_three_sources() -> None:
    ours = MultiHeadAttention(12, 3)
    theirs = nn.MultiheadAttention(12, 3, batch_first=True)
    parts = [ours.q_proj, ours.k_proj, ours.v_proj]
    theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.out_proj.load_state_dict(ours.out_proj.state_dict())
    queries, keys, values = torch.randn(2, 4, 12), torch.randn(2, 5, 12), torch.randn(2, 5, 12)
    mask = torch.tensor([[1, 1, 1, 0, 0]] * 3 + [[0, 1, 0, 1, 1]]).bool()
    for ours_mask, theirs_mask in ((None, None), (mask, ~mask)):
        expected, _ = theirs(queries, keys, values, attn_mask=theirs_mask)
        torch.testing.assert_close(attend_to(ours, queries, keys, values, ours_mask), expected)
    torch.testing.assert_close(attend_to(ours, queries, keys, keys), ours(queries, keys))
    with pytest.raises(ValueError, match="^values must have the shape"):
        attend_to(ours, queries, keys, values[:, 1:])
    with pytest.raises(ValueError, match="^queries must be"):
        attend_to(ours, *(x[..., :6] for x in (queries, keys, values)))
