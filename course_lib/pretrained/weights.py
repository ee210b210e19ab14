"""Put read weights into a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Model = TypeVar("Model", bound=nn.Module)


class _SkipDraw(TorchFunctionMode):
    """Inside, `torch.nn.init` draws nothing: the weights are about to be replaced."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def build_model(
    model_class: Callable[[Any], Model], config: Any, weights: Mapping[str, Tensor]
) -> Model:
    """A model in eval mode with these weights, without making others first.

    Raises:
        ValueError: as `load_weights`.
    """
    with torch.device("meta"), _SkipDraw():  # "meta" tensors have a shape, but no memory
        model = model_class(config)
    load_weights(model, weights)
    return model.eval()


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Make these tensors the model's parameters: all of them, and no others.

    The model takes the tensors themselves, no copies.

    Raises:
        ValueError: a tensor is missing, unknown, or has another shape; says which, what the
            model expects and what came.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    got = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    problems = [
        f"{name}: expected {expected.get(name, 'no such tensor')}, got {got.get(name, 'none')}"
        for name in sorted(expected.keys() | got)
        if expected.get(name) != got.get(name)
    ]
    if problems:
        shown = "\n    ".join(problems[:8])
        raise ValueError(f"weights: {len(problems)} do not fit the model, such as\n    {shown}")
    model.load_state_dict(weights, assign=True)


def rename_tensors(
    tensors: Mapping[str, Tensor], blocks: str, parts: Mapping[str, str]
) -> dict[str, Tensor]:
    """The tensors under our names: "blk.7.attn_q.weight" -> "blocks.7.attention.q_proj.weight".

    Args:
        tensors: by their names in the file.
        blocks: what stands before a block's number there ("blk").
        parts: from the file's name of a part ("attn_q") to ours ("attention.q_proj"). A part
            that is not in here keeps its name, for `load_weights` to complain about.
    """
    renamed = {}
    for name, tensor in tensors.items():
        part, _, kind = name.rpartition(".")
        if part.startswith(f"{blocks}."):
            layer, _, part = part.removeprefix(f"{blocks}.").partition(".")
            renamed[f"blocks.{layer}.{parts.get(part, part)}.{kind}"] = tensor
        else:
            renamed[f"{parts.get(part, part)}.{kind}"] = tensor
    return renamed


def read_config(path: Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json of transformers.

    Raises:
        ValueError: it is no JSON, or its entries are not as `wanted`.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    for key, value in wanted.items():
        if config.get(key) != value:
            raise ValueError(f"{path}: {key} must be {value!r}, got {config.get(key)!r}")
    return config


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
    floats = {name: t.float() for name, t in tensors.items() if t.is_floating_point()}
    return {**tensors, **floats}
