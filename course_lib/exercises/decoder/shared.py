"""What several exercises of `decoder` share."""

from __future__ import annotations

from functools import lru_cache

import torch

from course_lib import decoder

GPT = {"vocab_size": 11, "max_length": 8, "width": 8, "n_layers": 2, "n_heads": 2, "ffn_width": 12}


LLAMA = {
    **GPT,
    "n_heads": 4,
    "n_kv_heads": 2,
    "positions": "rope",
    "norm": "rms",
    "feed_forward": "swiglu",
    "bias": False,
    "tied": False,
}


@lru_cache(maxsize=200)
def random_weights(config, seed):
    """Weights for a decoder that follow from a seed alone, large enough for each to matter."""
    generator = torch.Generator().manual_seed(seed)
    state = decoder.DecoderLM(config).state_dict()
    return {
        name: 0.6 * torch.randn(value.shape, generator=generator) + name.endswith("norm.weight")
        for name, value in state.items()
    }


def build(solution, config, seed):
    model = solution(config)
    model.load_state_dict(random_weights(config, seed))
    return model
