"""Ways to multiply by a matrix of weights, for `fast.decoder`: as it is, or kept in fewer bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "FEW",
    "GROUP",
    "LINEAR",
    "Bias",
    "Map",
    "Maps",
    "Together",
    "Weight",
    "bfloat16",
    "float32",
    "int4",
    "plain",
    "stacked",
]

Weight = Float[Tensor, "out in"]
Bias = Float[Tensor, "out"] | None
Map = Callable[[Tensor], Tensor]
Maps = Callable[[Tensor], Sequence[Tensor]]
Together = Callable[[Sequence[Weight], Sequence[Bias]], Maps]


def plain(weight: Weight, bias: Bias = None) -> Map:
    """The matrix as it is; gradients go through."""
    return lambda x: F.linear(x, weight, bias)


def stacked(linear: Callable[..., Map]) -> Together:
    """Several matrices that multiply the same vector, as one."""

    def together(weights: Sequence[Weight], biases: Sequence[Bias]) -> Maps:
        given = [bias for bias in biases if bias is not None]
        bias = torch.cat(given) if given else None
        multiply, sizes = linear(torch.cat(list(weights)), bias), [len(one) for one in weights]
        return lambda x: multiply(x).split(sizes, dim=-1)

    return together


def _packed(weight: Weight, bias: Bias = None) -> Map:
    """The matrix in the order in which oneDNN, torch's library for CPUs, reads it for few rows."""
    if not torch.backends.mkldnn.is_available():
        return plain(weight, bias)
    if weight.dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return plain(weight, bias)
    packed, multiply = torch.ops.mkldnn._reorder_linear_weight(weight), torch.ops.mkldnn
    return lambda x: multiply._linear_pointwise(x, packed, bias, "none", [], "")


def float32(weight: Weight, bias: Bias = None) -> Map:
    """All bits. A single row is quicker with the matrix as it is."""
    one, many = plain(weight, bias), _packed(weight, bias)
    return lambda x: one(x) if x.numel() == x.shape[-1] else many(x)


def bfloat16(weight: Weight, bias: Bias = None) -> Map:
    """8 significant bits of 24."""
    multiply = _packed(weight.bfloat16(), None if bias is None else bias.bfloat16())
    return lambda x: multiply(x.bfloat16()).float()


GROUP = 32  # neighbours that share their 16 levels
FEW = 16  # rows up to which reading the matrix takes longer than computing with it


def int4(weight: Weight, bias: Bias = None) -> Map:
    """16 levels in each group of neighbours; for more than a few rows, the same levels in bfloat16.

    Raises:
        ValueError: the matrix cannot be cut into such groups.
    """
    rows, columns = weight.shape
    if rows % 16 or columns % GROUP:
        raise ValueError(f"int4 needs matrices of [16 n, {GROUP} m], got {[rows, columns]}")
    groups = weight.unflatten(1, (-1, GROUP))
    least, most = groups.aminmax(dim=2, keepdim=True)  # [rows, groups, 1]
    step = (most - least).clamp(min=1e-30) / 15
    levels = ((groups - least) / step).round().to(torch.int32).flatten(1)  # 0 ... 15
    packed = torch._convert_weight_to_int4pack_for_cpu(levels, 1)
    # the kernel computes (level - 8) * step + middle
    scales = torch.cat([step, least + 8 * step], dim=2).transpose(0, 1).bfloat16().contiguous()

    many = bfloat16((least + levels.view_as(groups) * step).flatten(1), bias)

    def few(x: Float[Tensor, "*shape in"]) -> Float[Tensor, "*shape out"]:
        y = torch._weight_int4pack_mm_for_cpu(x.bfloat16().flatten(0, -2), packed, GROUP, scales)
        y = y.float().view(*x.shape[:-1], rows)
        return y if bias is None else y + bias

    return lambda x: few(x) if x.numel() <= FEW * columns else many(x)


LINEAR = {  # how to multiply in the blocks, and at the head
    "float32": (float32, float32),
    "bfloat16": (bfloat16, bfloat16),
    "int4": (int4, bfloat16),
}
