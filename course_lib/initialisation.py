"""Fresh weights for the architectures."""

from __future__ import annotations

import math

import torch
from torch import nn

from course_lib.arguments import check_arguments

__all__ = ["initialise"]


@check_arguments
def initialise(
    model: nn.Module,
    generator: torch.Generator | None = None,
    n_residual: int = 1,
    deviation: float = 0.02,
) -> None:
    """Draw new weights as GPT-2 and BERT do, in place: normal with deviation 0.02, biases 0.

    What writes into the residual stream (`out_proj`, `ffn_out`) is drawn smaller, by
    1 / sqrt(n_residual), so that the stream does not grow with depth (Radford et al. 2019,
    section 2.3). Norms keep their scale of 1.

    Args:
        model: any module; its `nn.Linear` and `nn.Embedding` layers are drawn anew.
        generator: same seed, same weights; torch's own generator if not given.
        n_residual: how many layers add to the stream: two a block in GPT-2; 1 as in BERT.
        deviation: 0.02 suits widths of about a thousand; 1 / sqrt(width) suits any, and in a narrow
            model it is much larger.

    Raises:
        ValueError: `n_residual` is below 1, or `deviation` is negative.
    """
    if n_residual < 1:
        raise ValueError(f"n_residual must be at least 1, got {n_residual}")
    if deviation < 0:
        raise ValueError(f"deviation must not be negative, got {deviation}")

    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            writes = name.endswith(("out_proj", "ffn_out"))
            std = deviation / math.sqrt(n_residual) if writes else deviation
            nn.init.normal_(module.weight, std=std, generator=generator)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
