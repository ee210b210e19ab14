"""Put read weights into a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from course_lib.pretrained.config_json import read_json
from course_lib.pretrained.sources import SAFETENSORS, SAFETENSORS_INDEX

__all__ = [
    "build_model",
    "load_weights",
    "read_safetensors",
    "read_tensors",
    "rename_tensors",
    "with_prefix",
    "without_second_head",
]

Model = TypeVar("Model", bound=nn.Module)


class _SkipDraw(TorchFunctionMode):
    """Inside, `torch.nn.init` draws nothing: the weights are about to be replaced."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def build_model(
    model_class: Callable[[Any], Model], config: Any, weights: Mapping[str, Tensor]
) -> Model:
    """A model in eval mode with these weights, without making others first.

    Raises:
        ValueError: the weights are too few for the config, or as `load_weights`.
    """
    _check_sizes(config, weights)
    with torch.device("meta"), _SkipDraw():  # "meta" tensors have a shape, but no memory
        model = model_class(config)
    load_weights(model, weights)
    return model.eval()


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Make these tensors the model's parameters: all of them, and no others.

    The model takes the tensors themselves, no copies.

    Raises:
        ValueError: a tensor is missing, unknown, or has another shape; says which, what the
            model expects and what came. Or a tensor holds no floats, or some that are not finite.
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
    _check_numbers(weights)
    model.load_state_dict(weights, assign=True)


def _check_numbers(weights: Mapping[str, Tensor]) -> None:
    for name, tensor in weights.items():
        if not tensor.is_floating_point():
            raise ValueError(f"weights: {name} must hold floats, got {tensor.dtype}")
        if tensor.numel() and not all(end.isfinite() for end in tensor.aminmax()):
            raise ValueError(f"weights: {name} holds numbers that are not finite")


def _check_sizes(config: Any, weights: Mapping[str, Tensor]) -> None:
    """Whether a config's sizes are near what the weights hold, before a model is made of them."""
    layers = {name.split(".")[1] for name in weights if name.startswith("blocks.")}
    if config.n_layers != len(layers):
        raise ValueError(f"weights: expected {config.n_layers} blocks, got {len(layers)}")
    held = sum(tensor.numel() for tensor in weights.values())
    for name in ("vocab_size", "ffn_width", "n_heads", "width"):
        if getattr(config, name) * config.width > held:
            got = f"{getattr(config, name)} by {config.width}"
            raise ValueError(f"weights: {held} numbers are too few for the {name}, {got}")


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


def with_prefix(
    tensors: Mapping[str, Tensor], prefix: str, head: str, buffers: tuple[str, ...]
) -> dict[str, Tensor]:
    """The weights by the names that a whole model's file has, whichever class was saved.

    Args:
        prefix: of all names but the head's ("transformer"); the base model's own file lacks it.
        head: the name of the head ("lm_head").
        buffers: endings of names of what is computed and not learned (".attn.bias").
    """
    whole = (f"{prefix}.", f"{head}.")
    return {
        name if name.startswith(whole) else f"{prefix}.{name}": tensor
        for name, tensor in tensors.items()
        if not name.endswith(buffers)
    }


def without_second_head(weights: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """The weights of a tied model, whose files may hold the token table a second time.

    Raises:
        ValueError: the head is not the token table.
    """
    weights = dict(weights)
    head = weights.pop("head.weight", None)
    if head is not None and not torch.equal(head, weights.get("token_embedding.weight", head)):
        raise ValueError(f"{folder}: tie_word_embeddings is true, but the head is another table")
    return weights


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder, of one file or of the several that an index names; float32.

    Raises:
        FileNotFoundError: there is neither a file nor an index, or a file of the index is missing.
        ValueError: a file is damaged, the index names a file elsewhere, or tensors that are not
            where it says.
    """
    if (folder / SAFETENSORS).exists() or not (folder / SAFETENSORS_INDEX).exists():
        return read_safetensors(folder / SAFETENSORS)
    places = read_json(folder / SAFETENSORS_INDEX).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(f, str) for f in places.values()):
        raise ValueError(
            f"{folder / SAFETENSORS_INDEX}: weight_map must say which file holds which tensor"
        )
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(places.values())):
        if Path(file).name != file:
            raise ValueError(
                f"{folder / SAFETENSORS_INDEX}: weight_map must name files beside it, got {file!r}"
            )
        tensors |= read_safetensors(folder / file)
    if tensors.keys() != places.keys():
        odd = sorted(tensors.keys() ^ places.keys())[:8]
        raise ValueError(
            f"{folder / SAFETENSORS_INDEX}: weight_map and the files differ in {', '.join(odd)}"
        )
    return tensors


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, floats as float32.

    Raises:
        FileNotFoundError: there is no such file.
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
