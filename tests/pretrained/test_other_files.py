"""Files that are not ours: what transformers computes with them, or a refusal that says why.

A matrix of architectures, options and writers. Every file is written by `transformers`; the
"version 4" of one is what that version writes: older names, and no entry that has its default.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from course_lib.encoder import Encoder
from course_lib.fast import FastDecoder
from course_lib.pretrained.export import export_decoder, load_decoder
from course_lib.pretrained.minilm import read_minilm
from course_lib.pretrained.weights import build_model

VOCAB, LENGTH = 64, 48
LINEAR = {"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0}
YARN |= {"original_max_position_embeddings": 16}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 500.0, "factor": 2.0}
PARTIAL = {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5}


def whole(scaling: dict) -> dict:
    return scaling | {"partial_rotary_factor": 1.0}


GPT2 = {"n_positions": LENGTH, "n_embd": 24, "n_layer": 2, "n_head": 4}
SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"intermediate_size": 36, "max_position_embeddings": LENGTH}
NEOX = SIZES | {"use_parallel_residual": False}
NEOX |= {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0} | whole({})}
KINDS = {
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT2),
    "gpt_neox": ("GPTNeoXForCausalLM", "GPTNeoXConfig", NEOX),
    "llama": ("LlamaForCausalLM", "LlamaConfig", SIZES),
}
EQUAL = {  # kind, options
    "as GPT-2 is": ("gpt2", {}),
    "gelu": ("gpt2", {"activation_function": "gelu"}),
    "gelu_pytorch_tanh": ("gpt2", {"activation_function": "gelu_pytorch_tanh"}),
    "n_inner": ("gpt2", {"n_inner": 40}),
    "untied GPT-2": ("gpt2", {"tie_word_embeddings": False}),
    "eps of GPT-2": ("gpt2", {"layer_norm_epsilon": 1e-2}),
    "NeoX": ("gpt_neox", {}),
    "tied NeoX": ("gpt_neox", {"tie_word_embeddings": True}),
    "gelu_new in NeoX": ("gpt_neox", {"hidden_act": "gelu_new"}),
    "NeoX without biases": ("gpt_neox", {"attention_bias": False}),
    "linear in NeoX": ("gpt_neox", {"rope_parameters": whole(LINEAR)}),
    "llama3 in NeoX": ("gpt_neox", {"rope_parameters": whole(LLAMA3)}),
    "LLaMA": ("llama", {}),
    "tied LLaMA": ("llama", {"tie_word_embeddings": True}),
    "shared heads": ("llama", {"num_key_value_heads": 2}),
    "one shared head": ("llama", {"num_key_value_heads": 1}),
    "head_dim": ("llama", {"head_dim": 10}),
    "head_dim, shared heads": ("llama", {"head_dim": 4, "num_key_value_heads": 2}),
    "attention_bias": ("llama", {"attention_bias": True}),
    "mlp_bias": ("llama", {"mlp_bias": True}),
    "all biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "eps of LLaMA": ("llama", {"rms_norm_eps": 1e-2}),
    "linear": ("llama", {"rope_parameters": LINEAR}),
    "llama3": ("llama", {"rope_parameters": LLAMA3}),
    "llama3, tied, head_dim": (
        "llama",
        {"rope_parameters": LLAMA3, "tie_word_embeddings": True, "head_dim": 8},
    ),
}
REFUSED = {  # kind, options, what the refusal names
    "relu": ("gpt2", {"activation_function": "relu"}, "activation_function"),
    "unscaled": ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights"),
    "by layer": (
        "gpt2",
        {"scale_attn_by_inverse_layer_idx": True},
        "scale_attn_by_inverse_layer_idx",
    ),
    "parallel": ("gpt_neox", {"use_parallel_residual": True}, "use_parallel_residual"),
    "some channels": ("gpt_neox", {"rope_parameters": PARTIAL}, "rotary_pct"),
    "yarn in NeoX": ("gpt_neox", {"rope_parameters": whole(YARN)}, "rope_type"),
    "yarn": ("llama", {"rope_parameters": YARN}, "rope_type"),
    "dynamic": ("llama", {"rope_parameters": DYNAMIC}, "rope_type"),
    "gelu in LLaMA": ("llama", {"hidden_act": "gelu"}, "hidden_act"),
}
WRITERS = ["5", "4"]


def make(kind: str, options: dict):
    """A model of transformers whose weights are far from their first values."""
    model_class, config_class, sizes = KINDS[kind]
    config = getattr(transformers, config_class)(**{"vocab_size": VOCAB} | sizes | options)
    config.bos_token_id = config.eos_token_id = None
    model = getattr(transformers, model_class)(config).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return model


def change_config(folder: Path, **entries) -> None:
    config = json.loads((folder / "config.json").read_text()) | entries
    (folder / "config.json").write_text(json.dumps(config))


def as_version_4(folder: Path, config_class) -> None:
    """The folder's config as transformers 4 writes it."""
    config = json.loads((folder / "config.json").read_text())
    default = config_class().to_dict()
    kept = {n: v for n, v in config.items() if v != default.get(n) or n == "model_type"}
    rope = dict(kept.pop("rope_parameters", {}))
    kept["torch_dtype"] = kept.pop("dtype", "float32")
    if "rope_theta" in rope:
        kept["rope_theta"] = rope.pop("rope_theta")
        if kept["model_type"] == "gpt_neox":
            kept["rotary_emb_base"] = kept["rope_theta"]
    if "partial_rotary_factor" in rope:
        kept["rotary_pct"] = kept["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
    if rope.get("rope_type", "default") != "default":
        kept["rope_scaling"] = rope | {"type": rope["rope_type"]}
    (folder / "config.json").write_text(json.dumps(kept))


def save(model, folder: Path, writer: str, **options) -> None:
    model.save_pretrained(folder, **options)
    if writer == "4":
        as_version_4(folder, type(model.config))


def assert_equal(ours, theirs) -> None:
    ids = torch.randint(VOCAB, (2, 30), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", EQUAL)
def test_logits_equal_transformers(name, writer, tmp_path):
    kind, options = EQUAL[name]
    theirs = make(kind, options)
    save(theirs, tmp_path, writer)
    ours = load_decoder(tmp_path)
    assert_equal(ours, theirs)
    assert_equal(FastDecoder(ours), theirs)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", REFUSED)
def test_other_computations_are_refused_by_name(name, writer, tmp_path):
    kind, options, says = REFUSED[name]
    save(make(kind, options), tmp_path, writer)
    with pytest.raises(ValueError, match=says):
        load_decoder(tmp_path)


@pytest.mark.parametrize("name", EQUAL)
def test_what_was_read_can_be_written_again(name, tmp_path):
    kind, options = EQUAL[name]
    theirs = make(kind, options)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_decoder(tmp_path / "theirs")
    export_decoder(ours, tmp_path / "ours")
    assert_equal(ours, transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours").eval())
    assert load_decoder(tmp_path / "ours").config == ours.config


def test_two_names_that_say_different_things(tmp_path):
    make("gpt_neox", {}).save_pretrained(tmp_path)
    change_config(tmp_path, rotary_emb_base=500.0, rope_theta=1000.0)
    with pytest.raises(
        ValueError, match="rotary_emb_base must be rope_theta, got 500.0 and 1000.0"
    ):
        load_decoder(tmp_path)


# ---- the same weights, lying otherwise


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kind", KINDS)
def test_in_several_files(kind, writer, tmp_path):
    theirs = make(kind, {})
    save(theirs, tmp_path, writer, max_shard_size="10KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert_equal(load_decoder(tmp_path), theirs)


def rewrite(folder: Path, change) -> None:
    """Change the tensors of a folder."""
    tensors = change(load_file(folder / "model.safetensors"))
    save_file({n: t.clone() for n, t in tensors.items()}, folder / "model.safetensors")


NAMES = {"gpt2": ("transformer", "lm_head"), "gpt_neox": ("gpt_neox", "embed_out")}
NAMES |= {"llama": ("model", "lm_head")}
BUFFERS = {
    "gpt2": {"transformer.h.0.attn.bias": torch.ones(1, 1, 4, 4).tril()},
    "gpt_neox": {"gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9)},
    "llama": {"model.layers.1.self_attn.rotary_emb.inv_freq": torch.ones(3)},
}


def without_the_base_s_name(tensors, kind):
    return {name.removeprefix(f"{NAMES[kind][0]}."): t for name, t in tensors.items()}


def with_the_head_twice(tensors, kind):
    table = next(tensor for tensor in tensors.values() if tensor.shape == (VOCAB, 24))
    return tensors | {f"{NAMES[kind][1]}.weight": table}


def with_buffers(tensors, kind):
    return tensors | BUFFERS[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "layout", [without_the_base_s_name, with_the_head_twice, with_buffers], ids=lambda f: f.__name__
)
def test_names_that_files_have(kind, layout, tmp_path):
    theirs = make(kind, {"tie_word_embeddings": True})
    theirs.save_pretrained(tmp_path)
    rewrite(tmp_path, lambda tensors: layout(tensors, kind))
    assert_equal(load_decoder(tmp_path), theirs)


def test_a_tied_head_that_is_another_table(tmp_path):
    make("llama", {"tie_word_embeddings": True}).save_pretrained(tmp_path)
    rewrite(tmp_path, lambda tensors: tensors | {"lm_head.weight": torch.ones(VOCAB, 24)})
    with pytest.raises(ValueError, match="tie_word_embeddings"):
        load_decoder(tmp_path)


# ---- BERT

BERT = {"vocab_size": VOCAB, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
BERT |= {"intermediate_size": 36, "max_position_embeddings": LENGTH}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("model_class", ["BertModel", "BertForMaskedLM"])
@pytest.mark.parametrize("options", [{}, {"type_vocab_size": 3}, {"layer_norm_eps": 1e-2}], ids=str)
@pytest.mark.parametrize("shards", [False, True])
def test_bert(model_class, options, writer, shards, tmp_path):
    theirs = getattr(transformers, model_class)(transformers.BertConfig(**BERT | options)).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    save(theirs, tmp_path, writer, **({"max_shard_size": "10KB"} if shards else {}))
    weights, config = read_minilm(tmp_path)
    ids = torch.randint(VOCAB, (2, 20), generator=generator)
    base = getattr(theirs, "bert", theirs)
    with torch.no_grad():
        ours = build_model(Encoder, config, weights)(ids)
        torch.testing.assert_close(ours, base(ids).last_hidden_state, rtol=1e-4, atol=1e-4)


def test_bert_with_the_names_of_tensorflow(tmp_path):
    transformers.BertModel(transformers.BertConfig(**BERT)).save_pretrained(tmp_path)
    before, _ = read_minilm(tmp_path)
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

    def rename(name):
        for new, older in old.items():
            name = name.replace(new, older)
        return name

    rewrite(tmp_path, lambda tensors: {rename(name): t for name, t in tensors.items()})
    after, _ = read_minilm(tmp_path)
    assert before.keys() == after.keys()


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"hidden_act": "gelu_new"}, "hidden_act must be 'gelu', got 'gelu_new'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"is_decoder": True}, "is_decoder"),
        ({"embedding_size": 128}, "embedding_size is no entry of a bert that course_lib knows"),
    ],
)
def test_a_bert_that_we_do_not_have(entries, says, tmp_path):
    transformers.BertModel(transformers.BertConfig(**BERT)).save_pretrained(tmp_path)
    change_config(tmp_path, **entries)
    with pytest.raises(ValueError, match=says):
        read_minilm(tmp_path)


# ---- damage


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"quantization_config": {"quant_method": "fp8"}}, "quantization_config"),
        ({"sliding_window": 4}, "sliding_window is no entry of a llama"),
        ({"tie_word_embeddings": "false"}, "tie_word_embeddings must be true or false"),
        ({"rms_norm_eps": "1e-5"}, "rms_norm_eps must be a positive number, got '1e-5'"),
        ({"hidden_size": 24.0}, "hidden_size must be a positive whole number"),
        ({"num_hidden_layers": -2}, "num_hidden_layers must be a positive whole number"),
        ({"num_hidden_layers": 10**12}, "expected 1000000000000 blocks, got 2"),
        ({"vocab_size": 10**15}, "too few for the vocab_size"),
        ({"intermediate_size": 10**15}, "too few for the ffn_width"),
        ({"rope_parameters": {"rope_type": "linear"}}, "rope_type 'linear' needs 'factor'"),
        ({"rope_parameters": LINEAR | {"factor": -1}}, "factor"),
        ({"rope_parameters": LINEAR | {"mscale": 2.0}}, "mscale"),
        ({"rope_scaling": [4]}, "rope_scaling must be named entries or null"),
        ({"model_type": []}, r"model_type must be one of .*, got \[\]"),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads"),
        ({"partial_rotary_factor": 0.5}, "rotary_pct .* must be 1"),
    ],
    ids=str,
)
def test_a_damaged_config(entries, says, tmp_path):
    make("llama", {}).save_pretrained(tmp_path)
    change_config(tmp_path, **entries)
    with pytest.raises(ValueError, match=says):
        load_decoder(tmp_path)


@pytest.mark.parametrize("text", ["[1, 2]", "{", '"llama"', "[" * 100_000])
def test_a_config_that_is_none(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="config.json"):
        load_decoder(tmp_path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite(bad, tmp_path):
    make("llama", {}).save_pretrained(tmp_path)

    def spoil(tensors):
        tensors["model.norm.weight"][3] = bad
        return tensors

    rewrite(tmp_path, spoil)
    with pytest.raises(ValueError, match=r"norm.weight holds numbers that are not finite"):
        load_decoder(tmp_path)


def test_weights_that_are_no_floats(tmp_path):
    make("llama", {}).save_pretrained(tmp_path)
    rewrite(tmp_path, lambda tensors: {n: t.to(torch.int8) for n, t in tensors.items()})
    with pytest.raises(ValueError, match=r"must hold floats, got torch.int8"):
        load_decoder(tmp_path)


def test_a_damaged_index(tmp_path):
    make("llama", {}).save_pretrained(tmp_path, max_shard_size="10KB")
    index = tmp_path / "model.safetensors.index.json"
    places = json.loads(index.read_text())["weight_map"]
    for weight_map, error, says in (
        (places | {"model.norm.weight": "../elsewhere.safetensors"}, ValueError, "beside it"),
        (places | {"more.weight": places["model.norm.weight"]}, ValueError, "more.weight"),
        (places | {"model.norm.weight": "gone.safetensors"}, FileNotFoundError, "gone"),
        (["model.safetensors"], ValueError, "weight_map must say"),
    ):
        index.write_text(json.dumps({"weight_map": weight_map}))
        with pytest.raises(error, match=says):
            load_decoder(tmp_path)


def test_nothing_there(tmp_path):
    make("llama", {}).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model.safetensors"):
        load_decoder(tmp_path)
