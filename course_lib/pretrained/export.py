"""Hand a trained decoder over to the rest of the world: a folder that `transformers` loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.pretrained.config_json import (
    GPT2,
    NEOX,
    TANH,
    one_of_two,
    read_config,
    read_json,
    read_rope,
)
from course_lib.pretrained.smollm2 import SAFETENSORS_PARTS, read_llama_folder
from course_lib.pretrained.weights import (
    build_model,
    read_tensors,
    rename_tensors,
    with_prefix,
    without_second_head,
)

__all__ = [
    "GPT2_PARTS",
    "NEOX_PARTS",
    "QKV",
    "TRANSPOSED",
    "SavesTokenizer",
    "export_decoder",
    "load_decoder",
    "rename_back",
]

# GPT-2 keeps the projections of queries, keys and values in one matrix, `c_attn`, and stores all
# projections as [in, out].
GPT2_PARTS = {
    "transformer.wte": "token_embedding",
    "transformer.wpe": "position_embedding",
    "ln_1": "norm1",
    "attn.c_attn": "attention.qkv",
    "attn.c_proj": "attention.out_proj",
    "ln_2": "norm2",
    "mlp.c_fc": "ffn_in",
    "mlp.c_proj": "ffn_out",
    "transformer.ln_f": "norm",
    "lm_head": "head",
}
# GPT-NeoX keeps them in one matrix too, but head by head: query, key and value of head 0, then of
# head 1, ...
NEOX_PARTS = {
    "gpt_neox.embed_in": "token_embedding",
    "input_layernorm": "norm1",
    "attention.query_key_value": "attention.qkv",
    "attention.dense": "attention.out_proj",
    "post_attention_layernorm": "norm2",
    "mlp.dense_h_to_4h": "ffn_in",
    "mlp.dense_4h_to_h": "ffn_out",
    "gpt_neox.final_layer_norm": "norm",
    "embed_out": "head",
}
QKV = [f"attention.{part}_proj" for part in "qkv"]
TRANSPOSED = (
    "attention.qkv.weight",
    "attention.out_proj.weight",
    "ffn_in.weight",
    "ffn_out.weight",
)


@runtime_checkable
class SavesTokenizer(Protocol):
    """`BPETokenizer`, or a `tokenizers.Tokenizer`."""

    def save(self, path: str) -> Any: ...


def export_decoder(
    model: DecoderLM, folder: str | Path, tokenizer: SavesTokenizer | None = None
) -> None:
    """Write `config.json`, `model.safetensors` and, if there is one, `tokenizer.json`.

    `transformers.AutoModelForCausalLM.from_pretrained(folder)` loads the model and gives the same
    logits; `load_decoder(folder)` gives the same weights back, bit by bit.

    Args:
        model: learned positions, LayerNorm, GELU and biases make a GPT-2; with "rope" in place of
            learned positions a GPT-NeoX (Black et al. 2022; parts one after the other); "rope",
            "rms", "swiglu" and no biases make a LLaMA.
        folder: made if it is not there; files of these names are replaced.
        tokenizer: the one the model was trained with.

    Raises:
        ValueError: the model's parts are those of none; the message says which are.
    """
    folder = Path(folder)
    write = {"gpt2": _gpt2_files, "gpt_neox": _neox_files, "llama": _llama_files}
    config, tensors = write[_kind(model.config)](model.config, model.state_dict())
    config["torch_dtype"] = str(model.token_embedding.weight.dtype).removeprefix("torch.")
    # else transformers makes the tokenizer of the original model out of our vocabulary
    config["tokenizer_class"] = "PreTrainedTokenizerFast"

    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    if tokenizer is not None:
        tokenizer.save(str(folder / "tokenizer.json"))


def load_decoder(folder: str | Path) -> DecoderLM:
    """Read a GPT-2, a GPT-NeoX or a LLaMA back: `export_decoder` undone, in eval mode and float32.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the model is of another kind, or a file is damaged.
    """
    folder = Path(folder)
    kind = read_json(folder / "config.json").get("model_type")
    read = {"gpt2": _read_gpt2_folder, "gpt_neox": _read_neox_folder, "llama": read_llama_folder}
    if kind not in list(read):
        raise ValueError(f"{folder}: model_type must be one of {list(read)}, got {kind!r}")
    weights, config = read[kind](folder)
    return build_model(DecoderLM, config, weights)


def _kind(config: DecoderConfig) -> str:
    parts = (config.positions, config.norm)
    gelu = config.feed_forward in _ACTIVATIONS
    all_heads = config.n_kv_heads in (None, config.n_heads) and config.head_width is None
    if parts == ("learned", "layer") and gelu and all_heads and config.bias and config.has_ffn_bias:
        return "gpt2"
    if parts == ("rope", "layer") and gelu and all_heads and config.has_ffn_bias:
        return "gpt_neox"
    if parts == ("rope", "rms") and config.feed_forward == "swiglu":
        return "llama"
    raise ValueError(
        "model must be a GPT-2 (learned positions, layer norm, gelu, biases, no shared heads), a "
        "GPT-NeoX (the same with rope) or a LLaMA (rope, rms, swiglu, no biases), "
        f"got {config}"
    )


def _gpt2_files(
    config: DecoderConfig, weights: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    merged = {name: _transposed(name, tensor) for name, tensor in _merge_qkv(weights, 1).items()}
    entries = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": config.vocab_size,
        "n_positions": config.max_length,
        "n_embd": config.width,
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "n_inner": config.ffn_width,
        "layer_norm_epsilon": config.norm_eps,
        "activation_function": _ACTIVATIONS[config.feed_forward],
        "tie_word_embeddings": config.tied,
        **_without_special_tokens(),
    }
    return entries, rename_back(merged, "transformer.h", GPT2_PARTS)


def _read_gpt2_folder(folder: Path) -> tuple[dict[str, Tensor], DecoderConfig]:
    entries = read_config(folder / "config.json", GPT2)
    config = DecoderConfig(
        vocab_size=entries["vocab_size"],
        max_length=entries["n_positions"],
        width=entries["n_embd"],
        n_layers=entries["n_layer"],
        n_heads=entries["n_head"],
        ffn_width=entries["n_inner"] or 4 * entries["n_embd"],
        tied=entries["tie_word_embeddings"],
        feed_forward="gelu_tanh" if entries["activation_function"] in TANH else "gelu",
        norm_eps=entries["layer_norm_epsilon"],
    )
    buffers = (".attn.bias", ".attn.masked_bias")
    tensors = with_prefix(read_tensors(folder), "transformer", "lm_head", buffers)
    renamed = rename_tensors(tensors, "transformer.h", GPT2_PARTS)
    weights = {name: _transposed(name, tensor) for name, tensor in renamed.items()}
    weights = without_second_head(weights, folder) if config.tied else weights
    return _split_qkv(weights, 1), config


def _neox_files(
    config: DecoderConfig, weights: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    entries = {
        "model_type": "gpt_neox",
        "architectures": ["GPTNeoXForCausalLM"],
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_length,
        "hidden_size": config.width,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "intermediate_size": config.ffn_width,
        "hidden_act": _ACTIVATIONS[config.feed_forward],
        "attention_bias": config.bias,
        "layer_norm_eps": config.norm_eps,
        "use_parallel_residual": False,
        # transformers 5 reads rope_parameters, earlier ones the others
        "rotary_pct": 1.0,
        "rotary_emb_base": config.rope_base,
        **_rope_entries(config, partial_rotary_factor=1.0),
        "tie_word_embeddings": config.tied,
        **_without_special_tokens(),
    }
    merged = _merge_qkv(weights, config.n_heads)
    return entries, rename_back(merged, "gpt_neox.layers", NEOX_PARTS)


def _read_neox_folder(folder: Path) -> tuple[dict[str, Tensor], DecoderConfig]:
    path = folder / "config.json"
    entries = read_config(path, NEOX)
    base = one_of_two(path, entries, "rotary_emb_base", "rope_theta")
    share = one_of_two(path, entries, "rotary_pct", "partial_rotary_factor")
    base, scaling = read_rope(path, entries, base, share)
    config = DecoderConfig(
        vocab_size=entries["vocab_size"],
        max_length=entries["max_position_embeddings"],
        width=entries["hidden_size"],
        n_layers=entries["num_hidden_layers"],
        n_heads=entries["num_attention_heads"],
        ffn_width=entries["intermediate_size"],
        tied=entries["tie_word_embeddings"],
        positions="rope",
        rope_base=base,
        rope_scaling=scaling,
        feed_forward="gelu_tanh" if entries["hidden_act"] in TANH else "gelu",
        norm_eps=entries["layer_norm_eps"],
        bias=entries["attention_bias"],
        ffn_bias=None if entries["attention_bias"] else True,
    )
    buffers = (".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq")
    tensors = with_prefix(read_tensors(folder), "gpt_neox", "embed_out", buffers)
    weights = rename_tensors(tensors, "gpt_neox.layers", NEOX_PARTS)
    weights = without_second_head(weights, folder) if config.tied else weights
    return _split_qkv(weights, config.n_heads), config


def _llama_files(
    config: DecoderConfig, weights: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    entries = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_length,
        "hidden_size": config.width,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads or config.n_heads,
        "intermediate_size": config.ffn_width,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "head_dim": config.d_k,
        "attention_bias": config.bias,
        "mlp_bias": config.has_ffn_bias,
        # transformers 5 reads rope_parameters, earlier ones the others
        "rope_theta": config.rope_base,
        **_rope_entries(config),
        "tie_word_embeddings": config.tied,
        **_without_special_tokens(),
    }
    return entries, rename_back(weights, "model.layers", SAFETENSORS_PARTS)


_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new"}  # GPT-2 itself had the second


def _rope_entries(config: DecoderConfig, **more: float) -> dict[str, Any]:
    """`rope_parameters`, and `rope_scaling` where there is one."""
    base = {"rope_theta": config.rope_base, **more}
    scaling = config.rope_scaling
    if scaling is None:
        return {"rope_parameters": {"rope_type": "default", **base}}
    numbers: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "llama3":
        numbers["low_freq_factor"] = scaling.low_freq_factor
        numbers["high_freq_factor"] = scaling.high_freq_factor
        numbers["original_max_position_embeddings"] = scaling.original_length
    return {"rope_parameters": numbers | base, "rope_scaling": numbers}


def _without_special_tokens() -> dict[str, None]:
    """Else transformers takes the ids of the original models, which mean something else here."""
    return {"bos_token_id": None, "eos_token_id": None}


def rename_back(
    weights: dict[str, Tensor], blocks: str, parts: dict[str, str]
) -> dict[str, Tensor]:
    """`rename_tensors` undone: our names -> the file's."""
    theirs = {ours: their for their, ours in parts.items()}
    renamed = {}
    for name, tensor in weights.items():
        part, _, kind = name.rpartition(".")
        place = ""
        if part.startswith("blocks."):
            _, layer, part = part.split(".", 2)
            place = f"{blocks}.{layer}."
        renamed[f"{place}{theirs[part]}.{kind}"] = tensor
    return renamed


def _merge_qkv(weights: dict[str, Tensor], n_groups: int) -> dict[str, Tensor]:
    """Queries, keys and values in one tensor: `n_groups` times a run of each, in turn."""
    merged = dict(weights)
    for name in weights:
        if f".{QKV[0]}." in name:
            parts = [merged.pop(name.replace(QKV[0], part)) for part in QKV]
            runs = [run for group in zip(*(p.chunk(n_groups) for p in parts)) for run in group]
            merged[name.replace(QKV[0], "attention.qkv")] = torch.cat(runs)
    return merged


def _split_qkv(weights: dict[str, Tensor], n_groups: int) -> dict[str, Tensor]:
    """`_merge_qkv` undone."""
    split = dict(weights)
    for name in weights:
        if ".attention.qkv." in name:
            runs = split.pop(name).chunk(3 * n_groups)
            for number, part in enumerate(QKV):
                split[name.replace("attention.qkv", part)] = torch.cat(runs[number::3])
    return split


def _transposed(name: str, tensor: Tensor) -> Tensor:
    return tensor.T.contiguous() if name.endswith(TRANSPOSED) else tensor
