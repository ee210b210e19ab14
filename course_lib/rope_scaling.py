"""Rotary positions slowed down, for texts longer than a model was first trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float64, Real
from torch import Tensor

from course_lib.arguments import check_arguments

__all__ = ["RopeScaling", "apply_scaled_rope", "rope_frequencies"]


@dataclass(frozen=True)
class RopeScaling:
    """Which pairs of channels turn slower, and how much.

    Attributes:
        kind: "linear" slows all pairs down (Chen et al. 2023); "llama3" only those that turn
            seldom within the length the model was first trained on (Dubey et al. 2024).
        factor: how much slower.
        low_freq_factor: of "llama3": pairs with fewer turns than this are slowed in full,
        high_freq_factor: those with more than this not at all, and those between in part.
        original_length: of "llama3": tokens of a text in the first training.

    Raises:
        ValueError: `kind` is unknown, a number is not positive, or the two bounds of "llama3" are
            not in order.
    """

    kind: Literal["linear", "llama3"]
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_length: int = 8192

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "llama3"):
            raise ValueError(f'kind must be "linear" or "llama3", got {self.kind!r}')
        for name in ("factor", "low_freq_factor", "high_freq_factor", "original_length"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.low_freq_factor >= self.high_freq_factor:
            bounds = f"{self.low_freq_factor} and {self.high_freq_factor}"
            raise ValueError(f"low_freq_factor must be below high_freq_factor, got {bounds}")


@check_arguments
def rope_frequencies(
    d_k: int, base: float, scaling: RopeScaling | None = None
) -> Float64[Tensor, "pairs"]:
    """By what angle each pair of channels turns from one token to the next.

    Raises:
        ValueError: `d_k` is odd or below 2, or `base` is not positive.
    """
    if d_k < 2 or d_k % 2 != 0:
        raise ValueError(f"d_k must be even and at least 2, got {d_k}")
    if not base > 0:
        raise ValueError(f"base must be positive, got {base}")
    frequencies = base ** (-torch.arange(0, d_k, 2, dtype=torch.float64) / d_k)
    if scaling is None:
        return frequencies
    if scaling.kind == "linear":
        return frequencies / scaling.factor
    turns = scaling.original_length * frequencies / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)  # 1: as it was, 0: slowed in full
    return frequencies * (kept + (1 - kept) / scaling.factor)


def apply_scaled_rope(
    x: Float[Tensor, "*batch time d_k"],
    positions: Real[Tensor, "*#batch time"],
    base: float,
    scaling: RopeScaling,
) -> Float[Tensor, "*batch time d_k"]:
    """`embeddings.apply_rope`, with each pair's own frequency."""
    angles = positions[..., None] * rope_frequencies(x.shape[-1], base, scaling).to(x.device)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)  # [..., time, d_k / 2]
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
