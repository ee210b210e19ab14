"""Put read weights into a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Make these tensors the model's parameters: all of them, and no others.

    The model takes the tensors themselves, no copies, so a model built on torch's "meta" device
    (no memory, no first draw) can be filled too.

    Raises:
        ValueError: a tensor is missing, unknown, or has another shape; says which, what the
            model expects and what came.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    got = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    problems = [f"{name}: expected {expected[name]}, but it is missing" for name in expected.keys() - got]
    problems += [f"{name}: got {got[name]}, but the model has no such tensor" for name in got.keys() - expected]
    problems += [
        f"{name}: expected {expected[name]}, got {got[name]}"
        for name in expected.keys() & got
        if expected[name] != got[name]
    ]
    if problems:
        shown = "\n    ".join(sorted(problems)[:8])
        raise ValueError(f"weights do not fit the model, {len(problems)} of them:\n    {shown}")
    model.load_state_dict(weights, assign=True)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, floats as float32.

    Raises:
        ValueError: it is not a safetensors file, or not a whole one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except SafetensorError as error:
        size = path.stat().st_size
        raise ValueError(
            f"{path} ({size:,} bytes) is not a safetensors file, or is cut off: {error}"
        ) from error
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
