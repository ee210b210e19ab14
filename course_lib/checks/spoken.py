"""The name of a function, read out."""

from __future__ import annotations

import re

# What a name cannot spell: capitals, apostrophes, hyphens.
_SPELT = {
    "bert": "BERT", "bos": "BOS", "bpe": "BPE", "cls": "CLS", "eos": "EOS", "gelu": "GELU",
    "gpt": "GPT", "gru": "GRU", "ids": "ids", "isnt": "isn't", "doesnt": "doesn't", "dont": "don't",
    "kth": "k-th", "kv": "KV", "llama": "LLaMA", "lora": "LoRA", "lstm": "LSTM", "nan": "NaN",
    "nth": "n-th", "onnx": "ONNX", "relu": "ReLU", "rms": "RMS", "rope": "RoPE", "sep": "SEP",
    "torchs": "torch's", "swiglu": "SwiGLU", "unk": "UNK", "utf": "UTF-8", "wilson": "Wilson",
}  # fmt: skip


def spoken(name: str) -> str:
    """`divides_by_all` or `GivesPaddingAPosition` -> "gives padding a position"."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    words = name.strip("_").lower().split("_")
    return " ".join(_SPELT.get(word, word) for word in words)
