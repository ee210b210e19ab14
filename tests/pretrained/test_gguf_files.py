"""GGUF files, made with the `gguf` package from models of transformers: what transformers computes,
or a refusal that says why."""

from __future__ import annotations

import json
import struct

import gguf
import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer

from course_lib.pretrained.gguf_file import GGUFFile
from course_lib.pretrained.smollm2 import GGUF_PARTS, load_smollm2, load_smollm2_tokenizer
from course_lib.tokenization import train_bpe

WIDTH, FFN, LAYERS, HEADS, KV_HEADS, LENGTH = 64, 96, 2, 4, 2, 32
NAMES = {  # transformers' name of a part -> llama.cpp's
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
TOKENIZER = train_bpe("the cat sat on the mat and the cat sat", 272, ["<|end|>"])


def spelled_tokens(tmp_path):
    """(tokens, merges) in GPT-2's characters."""
    TOKENIZER.save(tmp_path / "tokenizer.json")
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokens = sorted(theirs.get_vocab(), key=theirs.get_vocab().get)
    merges = json.loads((tmp_path / "tokenizer.json").read_text())["model"]["merges"]
    return tokens, [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]


def make(**options) -> transformers.LlamaForCausalLM:
    config = transformers.LlamaConfig(
        vocab_size=len(TOKENIZER.vocab),
        hidden_size=WIDTH,
        intermediate_size=FFN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=LENGTH,
        **options,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return model


def permuted(rows: np.ndarray, heads: int) -> np.ndarray:
    """As llama.cpp's converter does it."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def write(
    tmp_path,
    model,
    kind="F32",
    entries=(),
    without=(),
    types=None,
    tokens=None,
    alignment=None,
    endianess=gguf.GGUFEndian.LITTLE,
):
    """A GGUF file of a model.

    Args:
        kind: the type of the matrices; the rest is F32.
        entries: (key, value) pairs more.
        without: keys that are left out.
        types: of the tokens, if they shall be told.
    """
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama", endianess=endianess)
    if alignment:
        writer.add_custom_alignment(alignment)
    spelled, merges = spelled_tokens(tmp_path)
    spelled = spelled if tokens is None else tokens(spelled)
    needed = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": spelled,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.token_type": types or [1] * (len(spelled) - 1) + [3],
        "llama.context_length": LENGTH,
        "llama.embedding_length": WIDTH,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": FFN,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-6,
        "llama.rope.freq_base": 10_000.0,
    }
    for key, value in (needed | dict(entries)).items():
        if key not in without:
            add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}
            add |= {str: writer.add_string, list: writer.add_array}
            add[type(value)](key, value)
    for name, tensor in model.state_dict().items():
        part, _, end = name.rpartition(".")
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        layer = part.split(".")[2] if ".layers." in part else None
        short = part if layer is None else part.split(".", 3)[3]
        array = tensor.numpy()
        if NAMES[short] in ("attn_q", "attn_k"):
            array = permuted(array, HEADS if NAMES[short] == "attn_q" else KV_HEADS)
        place = NAMES[short] if layer is None else f"blk.{layer}.{NAMES[short]}"
        quantised = getattr(gguf.GGMLQuantizationType, kind if array.ndim == 2 else "F32")
        array = gguf.quantize(np.ascontiguousarray(array), quantised)
        writer.add_tensor(f"{place}.{end}", array, raw_dtype=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def assert_equal(path, theirs, atol=1e-4):
    model, _ = load_smollm2(path)
    ids = torch.randint(
        theirs.config.vocab_size, (2, 20), generator=torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(ids).logits, rtol=1e-4, atol=atol)


LINEAR = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}
EQUAL = {  # options of the model, what is written
    "F32": ({}, {}),
    "tied": ({"tie_word_embeddings": True}, {}),
    "biases": ({"attention_bias": True, "mlp_bias": True}, {}),
    "attention biases": ({"attention_bias": True}, {}),
    "head_dim": (
        {"head_dim": 24},
        {"entries": {"llama.attention.key_length": 24, "llama.attention.value_length": 24}.items()},
    ),
    "linear": (
        {"rope_parameters": LINEAR},
        {
            "entries": {
                "llama.rope.scaling.type": "linear",
                "llama.rope.scaling.factor": 4.0,
            }.items()
        },
    ),
    "linear, old key": (
        {"rope_parameters": LINEAR},
        {"entries": {"llama.rope.scale_linear": 4.0}.items()},
    ),
    "no scaling": ({}, {"entries": {"llama.rope.scaling.type": "none"}.items()}),
    "no optional keys": ({}, {"without": ("llama.rope.freq_base", "tokenizer.ggml.token_type")}),
    "aligned to 64": ({}, {"alignment": 64}),
    "aligned to 8": ({}, {"alignment": 8}),
    "no experts": ({}, {"entries": {"llama.expert_count": 0}.items()}),
}


@pytest.mark.parametrize("name", EQUAL)
def test_logits_equal_transformers(name, tmp_path):
    options, written = EQUAL[name]
    model = make(**options)
    assert_equal(write(tmp_path, model, **written), model)


def test_as_many_key_heads_as_query_heads_if_nothing_is_said(tmp_path):
    model = make()
    path = write(tmp_path, model, without=["llama.attention.head_count_kv"])
    with pytest.raises(ValueError, match="k_proj.weight: expected"):
        load_smollm2(path)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_types_of_numbers(kind, tmp_path):
    """The weights are those that the `gguf` package makes of the file."""
    model = make()
    quantised = getattr(gguf.GGMLQuantizationType, kind)
    path = write(tmp_path, model, kind)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            numbers = gguf.dequantize(
                gguf.quantize(parameter.detach().numpy(), quantised), quantised
            )
            parameter.data = torch.from_numpy(numbers)
    assert_equal(path, model)


REFUSED = {  # entries, what the refusal names
    "yarn": ({"llama.rope.scaling.type": "yarn"}, "llama.rope.scaling.type"),
    "experts": ({"llama.expert_count": 8}, "llama.expert_count must be 0, got 8"),
    "window": ({"llama.attention.sliding_window": 16}, "llama.attention.sliding_window"),
    "logits": ({"llama.logit_scale": 2.0}, "llama.logit_scale"),
    "partial": ({"llama.rope.dimension_count": 8}, "llama.rope.dimension_count must be 16, got 8"),
    "values": ({"llama.attention.value_length": 8}, "llama.attention.value_length"),
    "layers": ({"llama.block_count": 1_000_000_000}, "expected 1000000000 blocks, got 2"),
    "widths": ({"llama.feed_forward_length": 2_000_000_000}, "too few for the ffn_width"),
    "parts": ({"split.count": 2}, "split.count must be 1, got 2"),
    "types": ({"tokenizer.ggml.token_type": [1, 3]}, "2 types of tokens"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_computations_are_refused_by_name(name, tmp_path):
    entries, says = REFUSED[name]
    path = write(tmp_path, make(), entries=entries.items())
    with pytest.raises(ValueError, match=says):
        load_smollm2(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tokenizer.ggml.tokens", 7),
        ("tokenizer.ggml.merges", [1, 2]),
        ("tokenizer.ggml.token_type", True),
        ("llama.rope.scale_linear", "x"),
        ("llama.rope.freq_base", float("inf")),
        ("llama.attention.layer_norm_rms_epsilon", float("nan")),
        ("llama.attention.head_count", [4, 4]),  # one for each block, as llama.cpp allows
        ("llama.block_count", 2.0),
        ("llama.context_length", 0),
        ("llama.vocab_size", 7),
    ],
    ids=str,
)
def test_entries_of_another_kind(key, value, tmp_path):
    with pytest.raises(ValueError, match=f"{key} must be"):
        load_smollm2(write(tmp_path, make(), entries=[(key, value)]))


def test_the_other_byte_order(tmp_path):
    path = write(tmp_path, make(), endianess=gguf.GGUFEndian.BIG)
    with pytest.raises(ValueError, match="big-endian"):
        load_smollm2(path)


def test_a_type_that_was_changed_afterwards(tmp_path):
    """F32 read as F16: half of the bytes would be left over."""
    path = write(tmp_path, make())
    data = bytearray(path.read_bytes())
    name = b"blk.0.ffn_up.weight"
    at = data.index(name) + len(name) + 4 + 2 * 8  # after the number of axes and two sizes
    assert struct.unpack_from("<I", data, at) == (0,)
    struct.pack_into("<I", data, at, 1)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"must begin at|not a GGUF file"):
        load_smollm2(path)


@pytest.mark.parametrize("offset", [4, 1 << 40, -32])
def test_an_offset_that_was_changed_afterwards(offset, tmp_path):
    path = write(tmp_path, make())
    data = bytearray(path.read_bytes())
    name = b"blk.1.ffn_up.weight"
    at = data.index(name) + len(name) + 4 + 2 * 8 + 4
    (before,) = struct.unpack_from("<Q", data, at)
    struct.pack_into("<Q", data, at, before + offset)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"must begin at|not a GGUF file"):
        load_smollm2(path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(bad, tmp_path):
    model = make()
    model.model.norm.weight.data[3] = bad
    with pytest.raises(ValueError, match=r"norm.weight holds numbers that are not finite"):
        load_smollm2(write(tmp_path, model))


def test_a_type_without_floats(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "ints.gguf", "llama")
    writer.add_tensor("numbers", np.arange(32, dtype=np.int32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ValueError, match=r"ints.gguf: numbers has the type I32"):
        GGUFFile(tmp_path / "ints.gguf").tensors()


# ---- tokens


def test_tokens_of_the_user_are_found_first(tmp_path):
    """Type 4, as llama.cpp and transformers read it; also one with a blank in it."""

    def more(spelled):
        return [*spelled, "<think>", "a b"]

    n = len(TOKENIZER.vocab)
    model = make()
    path = write(tmp_path, model, tokens=more, types=[1] * (n - 1) + [3, 4, 4])
    tokenizer = load_smollm2_tokenizer(path)
    plain = TOKENIZER.encode("the")
    assert tokenizer.encode("<think>the") == [n, *plain]
    assert tokenizer.encode("the a b") == [*TOKENIZER.encode("the "), n + 1]
    assert tokenizer.decode([n, *plain, n + 1]) == "<think>thea b"


def test_every_part_has_its_name():
    assert {NAMES[part] for part in NAMES} == set(GGUF_PARTS)
