from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck

from course_lib.attention import causal_mask, padding_mask
from course_lib.transformer import (
    TransformerBlock,
    count_parameters,
    gelu_feed_forward,
    layer_norm,
    lstm_step,
    rms_norm,
    swiglu,
)

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def randn(*shape, dtype=torch.float64, requires_grad=False):
    return torch.randn(*shape, dtype=dtype, requires_grad=requires_grad)


# norms


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(8,), (3, 8), (2, 3, 8), (0, 8)])
@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_norms_equal_torch(dtype, shape, eps) -> None:
    x = (randn(*shape) * 3 + 2).to(dtype)
    weight, bias = randn(8).to(dtype), randn(8).to(dtype)
    before = x.clone()
    tolerance = {"atol": 60 * torch.finfo(dtype).eps, "rtol": 30 * torch.finfo(dtype).eps}
    ours = layer_norm(x, weight, bias, eps)
    torch.testing.assert_close(ours, F.layer_norm(x, (8,), weight, bias, eps), **tolerance)
    ours = rms_norm(x, weight, eps)
    torch.testing.assert_close(ours, F.rms_norm(x, (8,), weight, eps), **tolerance)
    assert torch.equal(x, before)


@given(st.integers(2, 30), st.floats(0.1, 100), st.floats(-50, 50))
def test_norms_do_not_see_scale_and_layer_norm_no_shift(width, scale, shift) -> None:
    x, one, zero = randn(3, width), torch.ones(width).double(), torch.zeros(width).double()
    normed = layer_norm(x, one, zero, 0.0)
    torch.testing.assert_close(layer_norm(x * scale + shift, one, zero, 0.0), normed)
    torch.testing.assert_close(normed.var(-1, correction=0), torch.ones(3).double())
    torch.testing.assert_close(rms_norm(x * scale, one, 0.0), rms_norm(x, one, 0.0))
    torch.testing.assert_close(normed, rms_norm(x - x.mean(-1, keepdim=True), one, 0.0))


@pytest.mark.parametrize("dtype", FLOATS)
def test_norms_of_a_constant_row_stay_finite(dtype) -> None:
    x = torch.tensor([[2.0] * 4, [0.0] * 4], dtype=dtype, requires_grad=True)
    one = torch.ones(4, dtype=dtype)
    output = layer_norm(x, one, 0 * one, 1e-5) + rms_norm(x, one, 1e-5)
    output.sum().backward()
    assert torch.isfinite(output).all() and torch.isfinite(x.grad).all()


def test_norm_gradients() -> None:
    x, weight, bias = (randn(*s, requires_grad=True) for s in [(2, 3, 5), (5,), (5,)])
    assert gradcheck(lambda *a: layer_norm(*a, 1e-5), [x, weight, bias])
    assert gradcheck(lambda *a: rms_norm(*a, 1e-5), [x, weight])


def test_norms_door() -> None:
    x, good, bad = torch.zeros(2, 4), torch.ones(4), torch.ones(3)
    for wrong in (bad, torch.ones(1, 4), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="^weight "):
            layer_norm(x, wrong, good, 1e-5)
        with pytest.raises(ValueError, match="^bias "):
            layer_norm(x, good, wrong, 1e-5)
        with pytest.raises(ValueError, match="^weight "):
            rms_norm(x, wrong, 1e-5)
    with pytest.raises(ValueError, match="^eps "):
        layer_norm(x, good, good, -1.0)
    with pytest.raises(ValueError, match="^eps "):
        rms_norm(x, good, -1.0)
    for wrong in ([1.0], x.long()):
        with pytest.raises(TypeError, match="^x "):
            layer_norm(wrong, good, good, 1e-5)
        with pytest.raises(TypeError, match="^x "):
            rms_norm(wrong, good, 1e-5)


# feed-forward


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 4)])
def test_feed_forwards_equal_torch(dtype, shape) -> None:
    x = randn(*shape).to(dtype)
    w_in, b_in, w_out, b_out, w_up = (
        randn(*s).to(dtype) for s in [(6, 4), (6,), (4, 6), (4,), (6, 4)]
    )
    tolerance = {"atol": 100 * torch.finfo(dtype).eps, "rtol": 30 * torch.finfo(dtype).eps}
    expected = F.linear(F.gelu(F.linear(x, w_in, b_in)), w_out, b_out)
    ours = gelu_feed_forward(x, w_in, b_in, w_out, b_out)
    torch.testing.assert_close(ours, expected, **tolerance)
    expected = F.linear(F.silu(F.linear(x, w_in)) * F.linear(x, w_up), w_out)
    torch.testing.assert_close(swiglu(x, w_in, w_up, w_out), expected, **tolerance)


def test_gelu_is_the_exact_one() -> None:
    x = torch.linspace(-5, 5, 201).double()[:, None]
    one, zero = torch.ones(1, 1).double(), torch.zeros(1).double()
    ours = gelu_feed_forward(x, one, zero, one, zero)
    torch.testing.assert_close(ours, F.gelu(x))
    assert (ours - F.gelu(x, approximate="tanh")).abs().max() > 1e-4


@pytest.mark.parametrize("size", [1e4, 1e15])
def test_feed_forwards_stay_finite_for_huge_inputs(size) -> None:
    x = torch.tensor([[size, -size]], requires_grad=True)
    one, zero = torch.eye(2), torch.zeros(2)
    output = gelu_feed_forward(x, one, zero, one, zero) + swiglu(x, one, one / size, one)
    output.sum().backward()
    torch.testing.assert_close(output, torch.tensor([[2 * size, 0.0]]))
    assert torch.isfinite(x.grad).all()


def test_feed_forward_gradients() -> None:
    shapes = [(3, 4), (6, 4), (6,), (4, 6), (4,)]
    assert gradcheck(gelu_feed_forward, [randn(*s, requires_grad=True) for s in shapes])
    shapes = [(3, 4), (6, 4), (6, 4), (4, 6)]
    assert gradcheck(swiglu, [randn(*s, requires_grad=True) for s in shapes])


@pytest.mark.parametrize(
    ("function", "name", "wrong"),
    [
        (gelu_feed_forward, "x", (3, 5)),
        (gelu_feed_forward, "w_in", (6,)),
        (gelu_feed_forward, "b_in", (4,)),
        (gelu_feed_forward, "w_out", (6, 4)),
        (gelu_feed_forward, "b_out", (1, 4)),
        (swiglu, "x", (3, 5)),
        (swiglu, "w_gate", (6,)),
        (swiglu, "w_up", (4, 6)),
        (swiglu, "w_down", (6, 4)),
    ],
)
def test_feed_forwards_door(function, name, wrong) -> None:
    shapes = {"x": (3, 4), "w_in": (6, 4), "b_in": (6,), "w_out": (4, 6), "b_out": (4,)}
    if function is swiglu:
        shapes = {"x": (3, 4), "w_gate": (6, 4), "w_up": (6, 4), "w_down": (4, 6)}
    arguments = {n: torch.zeros(s) for n, s in shapes.items()}
    assert function(**arguments).shape == (3, 4)
    with pytest.raises(ValueError, match=rf"\b{name} (must|\[)"):  # a wrong x shows in w_in
        function(**{**arguments, name: torch.zeros(wrong)})
    with pytest.raises(TypeError, match="^x "):
        function(**{**arguments, "x": [1.0]})


# the block


def torch_twin(ours: TransformerBlock, eps: float = 1e-5) -> nn.TransformerEncoderLayer:
    """torch's own layer with the same weights."""
    ffn_width, width = ours.ffn_in.weight.shape
    twin = nn.TransformerEncoderLayer(
        width,
        ours.attention.n_heads,
        ffn_width,
        dropout=0.0,
        activation="gelu",
        layer_norm_eps=eps,
        batch_first=True,
        norm_first=ours.norm == "pre",
        dtype=torch.float64,
    )
    projections = [ours.attention.q_proj, ours.attention.k_proj, ours.attention.v_proj]
    with torch.no_grad():
        twin.self_attn.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        twin.self_attn.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
    twin.self_attn.out_proj.load_state_dict(ours.attention.out_proj.state_dict())
    twin.linear1.load_state_dict(ours.ffn_in.state_dict())
    twin.linear2.load_state_dict(ours.ffn_out.state_dict())
    twin.norm1.load_state_dict(ours.norm1.state_dict())
    twin.norm2.load_state_dict(ours.norm2.state_dict())
    return twin


def random_block(norm, eps=1e-5) -> TransformerBlock:
    block = TransformerBlock(12, 3, 20, norm, eps=eps).double()
    for parameter in block.parameters():  # norms that are not 1 and 0, biases that are not small
        nn.init.normal_(parameter, std=0.5)
    return block


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_block_equals_torch(norm, masked, eps) -> None:
    block, x = random_block(norm, eps), randn(2, 5, 12)
    mask = causal_mask(5) if masked else None
    expected = torch_twin(block, eps)(x, src_mask=None if mask is None else ~mask)
    torch.testing.assert_close(block(x, mask=mask), expected)


def test_block_parts() -> None:
    block = TransformerBlock(8, 2, 12, "pre")
    parts = {name for name, _ in block.named_children()}
    assert parts == {"attention", "ffn_in", "ffn_out", "norm1", "norm2"}
    assert block.norm1.eps == block.norm2.eps == 1e-5
    assert block.ffn_in.bias is not None and block.ffn_out.bias is not None


def test_pre_norm_leaves_a_clear_path_and_post_norm_does_not() -> None:
    """With parts that say nothing, a pre-norm block passes its input on untouched."""
    x = randn(2, 3, 12)
    outputs = {}
    for norm in ("pre", "post"):
        block = TransformerBlock(12, 3, 20, norm).double()
        for part in (block.attention.out_proj, block.ffn_out):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
        outputs[norm] = block(x)
    assert torch.equal(outputs["pre"], x)
    torch.testing.assert_close(outputs["post"], F.layer_norm(x, (12,)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_block_invariances(norm) -> None:
    block, x = random_block(norm), randn(2, 6, 12)
    order = torch.randperm(6)
    torch.testing.assert_close(block(x[:, order]), block(x)[:, order])
    changed = torch.cat([x[:, :4], randn(2, 2, 12)], dim=1)
    before, after = (block(text, mask=causal_mask(6)) for text in (x, changed))
    torch.testing.assert_close(before[:, :4], after[:, :4], atol=0, rtol=0)
    padding = padding_mask(torch.tensor([[1, 1, 1, 1, 0, 0]] * 2))
    torch.testing.assert_close(block(x, mask=padding)[:, :4], block(x[:, :4]))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_block_of_a_fully_padded_row_stays_finite(norm) -> None:
    block, x = random_block(norm), randn(2, 3, 12, requires_grad=True)
    output = block(x, mask=padding_mask(torch.tensor([[1, 1, 0], [0, 0, 0]])))
    output.square().sum().backward()
    assert torch.isfinite(output).all() and torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in block.parameters())


def test_block_door() -> None:
    with pytest.raises(ValueError, match="^norm must be"):
        TransformerBlock(8, 2, 16, "before")
    with pytest.raises(ValueError, match="^n_heads "):
        TransformerBlock(8, 3, 16, "pre")
    with pytest.raises(ValueError, match="^ffn_width "):
        TransformerBlock(8, 2, 0, "pre")
    with pytest.raises(ValueError, match="^x must"):
        TransformerBlock(8, 2, 16, "post")(torch.zeros(3, 8))


# LSTM


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lstm_steps_equal_torchs_lstm(dtype) -> None:
    theirs = nn.LSTM(3, 5, batch_first=True, dtype=dtype)
    w_x, w_h, b_x, b_h = (p.detach() for p in theirs.parameters())
    x = randn(2, 7, 3, dtype=dtype)
    h = c = torch.zeros(2, 5, dtype=dtype)
    said = []
    for t in range(7):
        h, c = lstm_step(x[:, t], h, c, w_x, w_h, b_x + b_h)
        said.append(h)
    expected, (last_h, last_c) = theirs(x)
    torch.testing.assert_close(torch.stack(said, dim=1), expected)
    torch.testing.assert_close((h, c), (last_h[0], last_c[0]))
    assert h.dtype == dtype


def test_lstm_step_equals_torchs_cell_from_any_state() -> None:
    cell = nn.LSTMCell(3, 5)
    x, h, c = randn(2, 3).float(), randn(2, 5).float(), 3 * randn(2, 5).float()
    before = [t.clone() for t in (x, h, c)]
    weights = cell.weight_ih, cell.weight_hh, cell.bias_ih + cell.bias_hh
    torch.testing.assert_close(lstm_step(x, h, c, *weights), cell(x, (h, c)))
    assert all(map(torch.equal, (x, h, c), before))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [1e2, 1e4])
def test_lstm_step_is_stable(dtype, size) -> None:
    x = torch.tensor([[size], [-size]], dtype=dtype, requires_grad=True)
    h, c = torch.zeros(2, 2, dtype=dtype), torch.full((2, 2), 5.0, dtype=dtype)
    signs = torch.tensor([[1.0], [-1.0]] * 4, dtype=dtype)
    w_h, b = torch.zeros(8, 2, dtype=dtype), torch.zeros(8, dtype=dtype)
    new_h, new_c = lstm_step(x, h, c, signs, w_h, b)
    (new_h.sum() + new_c.sum()).backward()
    assert new_h.dtype == new_c.dtype == dtype
    assert all(torch.isfinite(t).all() for t in (new_h, new_c, x.grad))
    # where all gates are open: 5 is kept and 1 comes in; where they are shut: nothing
    open_and_shut = torch.tensor([[6.0, 0.0], [0.0, 6.0]], dtype=dtype)
    torch.testing.assert_close(new_c, open_and_shut)


def test_lstm_step_gradients() -> None:
    shapes = [(2, 3), (2, 5), (2, 5), (20, 3), (20, 5), (20,)]
    assert gradcheck(lstm_step, [randn(*s, requires_grad=True) for s in shapes])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("h", (3, 5)), ("c", (2, 4)), ("w_x", (3, 20)), ("w_h", (20, 3)), ("b", (2, 20))],
)
def test_lstm_step_door(name, wrong) -> None:
    shapes = {"x": (2, 3), "h": (2, 5), "c": (2, 5), "w_x": (20, 3), "w_h": (20, 5), "b": (20,)}
    arguments = {n: torch.zeros(s) for n, s in shapes.items()}
    lstm_step(**arguments)
    with pytest.raises(ValueError, match=f"^{name} must"):
        lstm_step(**{**arguments, name: torch.zeros(wrong)})
    with pytest.raises(TypeError, match="^x must"):
        lstm_step(**{**arguments, "x": torch.zeros(2, 3).long()})


# counting


@dataclass(frozen=True)
class Config:
    vocab_size: int = 11
    max_length: int = 7
    width: int = 6
    n_layers: int = 2
    n_heads: int = 3
    ffn_width: int = 10
    tied: bool = True


def built_model(config: Config) -> nn.ModuleDict:
    blocks = [
        TransformerBlock(config.width, config.n_heads, config.ffn_width, "pre")
        for _ in range(config.n_layers)
    ]
    model = nn.ModuleDict(
        {
            "tokens": nn.Embedding(config.vocab_size, config.width),
            "positions": nn.Embedding(config.max_length, config.width),
            "blocks": nn.ModuleList(blocks),
            "norm": nn.LayerNorm(config.width),
            "head": nn.Linear(config.width, config.vocab_size, bias=False),
        }
    )
    if config.tied:
        model.head.weight = model.tokens.weight
    return model


@settings(max_examples=25)
@given(
    st.builds(
        Config,
        vocab_size=st.integers(1, 30),
        max_length=st.integers(1, 20),
        width=st.sampled_from([6, 12]),
        n_layers=st.integers(0, 3),
        n_heads=st.sampled_from([1, 2, 3]),
        ffn_width=st.integers(1, 30),
        tied=st.booleans(),
    )
)
def test_counts_equal_the_built_model(config) -> None:
    sizes: dict[str, int] = dict.fromkeys(["attention", "feed_forward", "norm"], 0)
    model = built_model(config)
    for name, parameter in model.named_parameters():  # names a shared parameter once
        if name.startswith(("tokens", "positions", "head")):
            sizes[name.split(".")[0]] = parameter.numel()
        else:
            part = next(p for p in ("attention", "ffn", "norm") if p in name)
            sizes["feed_forward" if part == "ffn" else part] += parameter.numel()
    total = sum(p.numel() for p in model.parameters())
    assert count_parameters(config) == {
        "token_embedding": sizes["tokens"],
        "position_embedding": sizes["positions"],
        "attention": sizes["attention"],
        "feed_forward": sizes["feed_forward"],
        "norm": sizes["norm"],
        "head": sizes.get("head", 0),
        "total": total,
        "non_embedding": total - sizes["tokens"] - sizes["positions"],
    }


def test_count_of_gpt2() -> None:
    """GPT-2 small is this architecture: `transformers` counts the same (124 439 808)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.device("meta"):
        gpt2 = GPT2LMHeadModel(GPT2Config())
    config = Config(50257, 1024, 768, 12, 12, 4 * 768, tied=True)
    expected = sum(p.numel() for p in gpt2.parameters())
    assert count_parameters(config)["total"] == expected == 124_439_808


def test_count_door() -> None:
    with pytest.raises(ValueError, match="^config.n_heads must divide 6, got 4"):
        count_parameters(replace(Config(), n_heads=4))
    with pytest.raises(ValueError, match="^config.n_heads"):
        count_parameters(replace(Config(), n_heads=0))
    with pytest.raises(ValueError, match="^config.n_layers"):
        count_parameters(replace(Config(), n_layers=-1))
    with pytest.raises(TypeError, match="^config.width"):
        count_parameters(replace(Config(), width=6.0))
    with pytest.raises(TypeError, match="^config must be"):
        count_parameters(object())
