from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given
from hypothesis import strategies as st

from course_lib.attention import causal_mask, record_attention
from course_lib.decoder import (
    DecoderBlock,
    DecoderConfig,
    DecoderLM,
    decode_step,
    inference_memory,
    n_parameters,
)
from course_lib.embeddings import input_embeddings
from course_lib.memory import PeakMemory
from course_lib.transformer import TransformerBlock, count_parameters

GPT = DecoderConfig(vocab_size=23, max_length=16, width=24, n_layers=3, n_heads=4, ffn_width=40)
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
MIXED = replace(GPT, positions="rope", bias=False, n_kv_heads=1)
every_kind = pytest.mark.parametrize("config", [GPT, LLAMA, MIXED], ids=["gpt", "llama", "mixed"])


def make_model(config: DecoderConfig, seed: int = 0) -> DecoderLM:
    """Weights large enough for every part to matter in the logits."""
    model = DecoderLM(config, torch.Generator().manual_seed(seed)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed + 1))
            parameter += 0.2 * noise
    return model


def random_ids(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, GPT.vocab_size, shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------ the model is what it says


@given(
    n_heads=st.integers(1, 4),
    d_k=st.integers(1, 6),
    sizes=st.tuples(*[st.integers(1, 20)] * 3),
    n_layers=st.integers(1, 3),
    tied=st.booleans(),
)
def test_default_model_has_the_counted_parameters(n_heads, d_k, sizes, n_layers, tied):
    vocab_size, max_length, ffn_width = sizes
    config = DecoderConfig(
        vocab_size, max_length, n_heads * d_k, n_layers, n_heads, ffn_width, tied
    )
    built = sum(parameter.numel() for parameter in DecoderLM(config).parameters())
    assert built == count_parameters(config)["total"]


def test_default_model_is_a_stack_of_transformer_blocks():
    model, ids = make_model(GPT), random_ids(2, 9)
    x = input_embeddings(ids, model.token_embedding.weight, model.position_embedding.weight)
    for block in model.blocks:
        taught = TransformerBlock(GPT.width, GPT.n_heads, GPT.ffn_width, norm="pre")
        taught.load_state_dict(block.state_dict())
        x = taught(x, mask=causal_mask(9))
    expected = model.norm(x) @ model.token_embedding.weight.T
    torch.testing.assert_close(model(ids), expected, rtol=1e-4, atol=1e-4)


@every_kind
def test_a_block_builds_no_part_to_throw_it_away(config, monkeypatch):
    built, build = [], torch.nn.Module.__init__

    def counted(module, *args, **kwargs):
        built.append(module)
        build(module, *args, **kwargs)

    monkeypatch.setattr(torch.nn.Module, "__init__", counted)
    block = DecoderBlock(config)
    assert {id(part) for part in built} == {id(part) for part in block.modules()}


def test_equals_gpt2_of_transformers():
    reference = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=GPT.vocab_size,
            n_positions=GPT.max_length,
            n_embd=GPT.width,
            n_layer=GPT.n_layers,
            n_head=GPT.n_heads,
            n_inner=GPT.ffn_width,
            activation_function="gelu",
            bos_token_id=0,
            eos_token_id=0,
        )
    ).eval()
    model = make_model(GPT)
    weights = model.state_dict()
    names = {"ffn_in": "mlp.c_fc", "ffn_out": "mlp.c_proj", "attention.out_proj": "attn.c_proj"}
    names |= {"norm1": "ln_1", "norm2": "ln_2"}
    theirs = {
        "transformer.wte.weight": weights["token_embedding.weight"],
        "lm_head.weight": weights["token_embedding.weight"],
        "transformer.wpe.weight": weights["position_embedding.weight"],
        "transformer.ln_f.weight": weights["norm.weight"],
        "transformer.ln_f.bias": weights["norm.bias"],
    }
    for layer in range(GPT.n_layers):
        for kind in ("weight", "bias"):
            ours = f"blocks.{layer}.{{}}.{kind}"
            qkv = [weights[ours.format(f"attention.{part}_proj")] for part in "qkv"]
            tensors = {"attn.c_attn": torch.cat(qkv)}
            tensors |= {their: weights[ours.format(our)] for our, their in names.items()}
            for their, tensor in tensors.items():  # GPT-2 stores its projections as [in, out]
                theirs[f"transformer.h.{layer}.{their}.{kind}"] = (
                    tensor.T if tensor.ndim == 2 else tensor
                )
    reference.load_state_dict(theirs)
    ids = random_ids(3, 11)
    torch.testing.assert_close(model(ids), reference(ids).logits, rtol=1e-4, atol=1e-4)


def test_equals_llama_of_transformers():
    reference = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=LLAMA.vocab_size,
            hidden_size=LLAMA.width,
            intermediate_size=LLAMA.ffn_width,
            num_hidden_layers=LLAMA.n_layers,
            num_attention_heads=LLAMA.n_heads,
            num_key_value_heads=LLAMA.n_kv_heads,
            rms_norm_eps=LLAMA.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": LLAMA.rope_base},
        )
    ).eval()
    model = make_model(LLAMA)
    names = {"token_embedding": "model.embed_tokens", "blocks": "model.layers"}
    names |= {"attention.out_proj": "self_attn.o_proj", "attention": "self_attn", "head": "lm_head"}
    names |= {"norm1": "input_layernorm", "norm2": "post_attention_layernorm"}
    names |= {"ffn_gate": "mlp.gate_proj", "ffn_in": "mlp.up_proj", "ffn_out": "mlp.down_proj"}
    theirs = {}
    for name, tensor in model.state_dict().items():
        name = "model.norm.weight" if name == "norm.weight" else name
        for our, their in names.items():
            name = name.replace(our, their)
        theirs[name] = tensor
    reference.load_state_dict(theirs)
    ids = random_ids(3, 40)  # rope has no last position
    torch.testing.assert_close(model(ids), reference(ids).logits, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------ how it behaves


@every_kind
def test_nobody_looks_ahead(config):
    model, ids = make_model(config), random_ids(2, 10)
    changed = ids.clone()
    changed[:, 6:] = (changed[:, 6:] + 1) % config.vocab_size
    before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:], atol=1e-2)


@every_kind
@pytest.mark.parametrize(
    "lengths", [[1] * 12, [5, 1, 1, 4, 1], [12]], ids=["single", "chunks", "one"]
)
def test_decode_step_equals_forward(config, lengths):
    model, ids = make_model(config), random_ids(3, 12)
    full, cache, end = model(ids), None, 0
    for length in lengths:
        logits, cache = decode_step(model, ids[:, end : end + length], cache)
        end += length
        torch.testing.assert_close(logits, full[:, end - 1], rtol=1e-4, atol=1e-4)
    assert len(cache.keys) == len(cache.values) == config.n_layers
    d_k = config.width // config.n_heads
    assert cache.keys[0].shape == (3, config.n_kv_heads or config.n_heads, 12, d_k)


@every_kind
def test_a_cache_can_be_continued_twice(config):
    model, ids = make_model(config), random_ids(2, 8)
    _, cache = decode_step(model, ids[:, :6], None)
    before = [tensor.clone() for tensor in (*cache.keys, *cache.values, cache.attention_mask)]
    first, longer = decode_step(model, ids[:, 6:7], cache)
    decode_step(model, ids[:, 7:], longer)
    again, _ = decode_step(model, ids[:, 6:7], cache)
    assert torch.equal(first, again)
    for old, new in zip(before, (*cache.keys, *cache.values, cache.attention_mask), strict=True):
        assert torch.equal(old, new)


@every_kind
def test_left_padding_changes_nothing(config):
    model = make_model(config)
    rows = [random_ids(1, length, seed=length) for length in (3, 8, 5)]
    ids = torch.cat([F.pad(row, (8 - row.shape[1], 0), value=1) for row in rows])
    attention_mask = torch.tensor([[0] * (8 - row.shape[1]) + [1] * row.shape[1] for row in rows])
    logits = model(ids, attention_mask)
    assert logits.isfinite().all()
    last, cache = decode_step(model, ids, None, attention_mask)
    token = random_ids(3, 1, seed=99)
    after, _ = decode_step(model, token, cache)  # the cache remembers the padding
    for n, row in enumerate(rows):
        alone = model(row)[0]
        torch.testing.assert_close(logits[n, -len(alone) :], alone, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(last[n], alone[-1], rtol=1e-4, atol=1e-4)
        longer = model(torch.cat([row, token[n : n + 1]], dim=1))[0, -1]
        torch.testing.assert_close(after[n], longer, rtol=1e-4, atol=1e-4)


@every_kind
def test_padding_leaves_gradients_finite(config):
    model, ids = make_model(config), random_ids(2, 6)
    attention_mask = torch.tensor([[0, 0, 0, 1, 1, 1], [1] * 6])
    model(ids, attention_mask)[attention_mask.bool()].square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@every_kind
def test_recording_attention_changes_no_logits(config):
    model, ids = make_model(config), random_ids(2, 7)
    attention_mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1] * 7])
    with record_attention() as weights:
        recorded = model(ids, attention_mask)
    torch.testing.assert_close(recorded, model(ids, attention_mask), rtol=1e-4, atol=1e-4)
    assert [tuple(w.shape) for w in weights] == [(2, config.n_heads, 7, 7)] * config.n_layers
    sums = torch.cat([torch.zeros(2, 4, 2), torch.ones(2, 4, 5)], dim=2)
    sums[1] = 1
    for w in weights:
        assert not w.triu(1).any()
        torch.testing.assert_close(w.sum(-1), sums)
    _, cache = decode_step(model, ids[:, :-1])
    with record_attention() as weights:
        decode_step(model, ids[:, -1:], cache)
    assert tuple(weights[0].shape) == (2, config.n_heads, 1, 7)


def test_rope_scores_depend_on_distance_alone():
    model, ids = make_model(LLAMA), random_ids(1, 5)
    tokens = model.embed(ids, torch.arange(5)[None])
    attention = model.blocks[0].attention
    outputs = []
    for shift in (0, 1000):
        positions = torch.arange(5)[None] + shift
        outputs.append(attention(tokens, causal_mask(5)[None, None], positions))
    torch.testing.assert_close(*outputs, rtol=1e-3, atol=1e-3)


def test_float64_in_float64_out():
    model = make_model(LLAMA).double()
    assert model(random_ids(1, 4)).dtype == torch.float64


# ------------------------------------------------------------------ fresh weights


def test_same_seed_same_model():
    first, same, other = (
        DecoderLM(GPT, torch.Generator().manual_seed(seed)).state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["token_embedding.weight"], other["token_embedding.weight"])


def test_first_weights_are_gpt2s():
    config = replace(GPT, width=128, ffn_width=512, n_layers=8)
    model = DecoderLM(config, torch.Generator().manual_seed(0))
    for block in model.blocks:
        assert block.ffn_in.weight.std().item() == pytest.approx(0.02, rel=0.05)
        for layer in (block.attention.out_proj, block.ffn_out):
            assert layer.weight.std().item() == pytest.approx(0.02 / math.sqrt(16), rel=0.05)
            assert not layer.bias.any()
    loss = F.cross_entropy(
        model(random_ids(4, 16)).flatten(0, 1), random_ids(4, 16, seed=1).flatten()
    )
    assert loss.item() == pytest.approx(math.log(config.vocab_size), rel=0.05)


@every_kind
def test_learns_a_sequence_by_heart(config):
    model = DecoderLM(config, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids = torch.arange(15)[None] * 7 % 23
    for _ in range(60):
        loss = F.cross_entropy(model(ids)[0, :-1], ids[0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(model(ids)[0, :-1].argmax(-1), ids[0, 1:])


# ------------------------------------------------------------------ memory


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@every_kind
@torch.no_grad()
def test_memory_of_weights_and_cache_is_what_torch_allocates(config, dtype):
    model = make_model(config).to(dtype)
    batch, length = 3, 11
    memory = inference_memory(config, batch, length, bytes_per_value=dtype.itemsize)
    assert memory["weights"] == sum(p.nbytes for p in model.parameters())
    _, cache = decode_step(model, random_ids(batch, length))
    assert memory["cache"] == sum(t.nbytes for t in (*cache.keys, *cache.values))
    assert memory["total"] == memory["weights"] + memory["cache"] + memory["activations"]
    assert all(isinstance(value, int) for value in memory.values())


@pytest.mark.parametrize("vocab_size", [23, 5000], ids=["few ids", "many ids"])
@every_kind
@torch.no_grad()
def test_memory_of_activations_is_of_the_right_size(config, vocab_size):
    config = replace(config, vocab_size=vocab_size)
    model, batch = make_model(config), 4
    _, cache = decode_step(model, random_ids(batch, 11))
    with PeakMemory() as measured:
        _, longer = decode_step(model, random_ids(batch, 1), cache)
    copied = sum(t.nbytes for t in (*longer.keys, *longer.values))
    computed = measured.peak - copied  # the cache grows by copying
    counted = inference_memory(config, batch, 12, 4)["activations"]
    assert counted <= computed < 3 * counted  # a few more small tensors are alive beside


@every_kind
@pytest.mark.parametrize("tied", [True, False])
def test_n_parameters_are_those_of_the_built_model(config, tied):
    config = replace(config, tied=tied)
    assert n_parameters(config) == sum(p.numel() for p in make_model(config).parameters())


def test_memory_by_hand():
    config = replace(GPT, width=8, n_heads=2, n_layers=3, ffn_width=32, vocab_size=20)
    memory = inference_memory(config, batch=2, length=5, bytes_per_value=0.5)
    assert memory["cache"] == 2 * 3 * 2 * 5 * 8 // 2
    assert memory["activations"] == 2 * (8 + 8 + 32) // 2
    assert inference_memory(config, 2, 100, 1)["activations"] == 2 * (8 + 8 + 2 * 100)
    assert memory["weights"] == math.ceil(count_parameters(config)["total"] / 2)


def test_memory_of_a_model_too_large_for_this_machine():
    config = replace(LLAMA, width=8192, n_layers=80, n_heads=64, n_kv_heads=8, ffn_width=28672)
    config = replace(config, vocab_size=128_256)
    memory = inference_memory(config, batch=1, length=8192, bytes_per_value=2)
    assert memory["weights"] / 2 == pytest.approx(70.6e9, rel=0.01)  # Llama 3 70B
    assert memory["cache"] == 8192 * 80 * 2 * 8 * 128 * 2


@pytest.mark.parametrize(
    ("batch", "length", "bytes_per_value", "says"),
    [
        (0, 1, 4, "batch must be at least 1, got 0"),
        (1, 0, 4, "length must be at least 1, got 0"),
        (1, 1, 0, "bytes_per_value must be above 0, got 0"),
    ],
)
def test_bad_memory(batch, length, bytes_per_value, says):
    with pytest.raises(ValueError, match=says):
        inference_memory(GPT, batch, length, bytes_per_value)


# ------------------------------------------------------------------ errors at the door


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"width": 0}, ValueError, "width must be at least 1, got 0"),
        ({"n_layers": 2.0}, TypeError, "n_layers must be an int, got 2.0"),
        ({"n_heads": 5}, ValueError, "n_heads must divide the width 24, got 5"),
        ({"n_kv_heads": 3}, ValueError, "n_kv_heads must divide 4 heads, got 3"),
        ({"positions": "alibi"}, ValueError, "positions must be one of .*'alibi'"),
        ({"norm": "batch"}, ValueError, "norm must be one of .*'batch'"),
        ({"feed_forward": "relu"}, ValueError, "feed_forward must be one of .*'relu'"),
        ({"feed_forward": "swiglu"}, ValueError, "bias must be False with swiglu"),
        ({"positions": "rope", "n_heads": 8}, ValueError, "even width per head, got 3"),
    ],
)
def test_bad_config(change, error, says):
    with pytest.raises(error, match=says):
        replace(GPT, **change)


@pytest.mark.parametrize(
    ("ids", "error", "says"),
    [
        ([[1, 2]], TypeError, "must be a tensor, got list"),
        (torch.ones(1, 2), TypeError, "must be a tensor of dtype int64, got torch.float32"),
        (torch.tensor([1, 2]), ValueError, r"must have the shape \[batch, time\], got \[2\]"),
        (torch.zeros(1, 0, dtype=torch.int64), ValueError, "ids must not be empty"),
        (torch.tensor([[1, 23]]), ValueError, r"ids must lie in 0 ... 22, got 1 ... 23"),
        (torch.tensor([[-1, 2]]), ValueError, r"ids must lie in 0 ... 22, got -1 ... 2"),
        (torch.ones(1, 17, dtype=torch.int64), ValueError, "at most 16 tokens a row, got 17"),
    ],
)
def test_bad_ids(ids, error, says):
    model = make_model(GPT)
    with pytest.raises(error, match=says):
        model(ids)
    with pytest.raises(error, match=says):
        decode_step(model, ids, None)


def test_bad_attention_mask():
    model, ids = make_model(GPT), random_ids(2, 4)
    with pytest.raises(ValueError, match="attention_mask must have the shape"):
        model(ids, torch.ones(2, 5))
    with pytest.raises(ValueError, match="attention_mask must"):
        model(ids, torch.full((2, 4), 2))


def test_cache_that_does_not_fit():
    model, ids = make_model(GPT), random_ids(2, 4)
    _, cache = decode_step(model, ids)
    with pytest.raises(
        ValueError, match="cache must have 3 layers, 1 rows, got 3 layers and 2 rows"
    ):
        decode_step(model, ids[:1, :1], cache)
    shallow = make_model(replace(GPT, n_layers=1))
    with pytest.raises(ValueError, match="cache must have 1 layers, 2 rows, got 3 layers"):
        decode_step(shallow, ids[:, :1], cache)


def test_learned_positions_end():
    model, ids = make_model(GPT), random_ids(1, 16)
    _, cache = decode_step(model, ids)
    with pytest.raises(ValueError, match="at most 16 tokens a row, got 17"):
        decode_step(model, ids[:, :1], cache)
