"""From a pre-trained encoder to a task: heads for texts and tokens, and three ways to fine-tune
(notebook 05)."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from course_lib.arguments import check_arguments
from course_lib.encoder import Encoder, mean_pool
from course_lib.initialisation import initialise
from course_lib.objectives import classification_loss
from course_lib.training import train

__all__ = [
    "LoRALinear",
    "SequenceClassifier",
    "TokenClassifier",
    "add_lora",
    "fine_tune",
    "load_lora",
    "merge_lora",
    "save_lora",
    "trainable_parameters",
]


class LoRALinear(nn.Module):
    """A frozen linear layer and a thin, trainable detour beside it (Hu et al. 2021).

    base(x) + alpha / rank * x A^T B^T. B starts at zero, so the detour changes nothing at first;
    A starts normal with deviation 1 / sqrt(in). Only A and B train.

    Args:
        base: the layer to adapt; it is frozen in place.
        rank: the width of the detour.
        alpha: its strength: the detour is multiplied by alpha / rank.
        generator: draws A; torch's own generator if not given.

    Attributes:
        A: [rank, in].
        B: [out, rank].

    Raises:
        TypeError: `base` is not an `nn.Linear`.
        ValueError: `rank` is below 1.
    """

    def __init__(
        self,
        base: nn.Linear,
        rank: int,
        alpha: float,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(base, nn.Linear):
            raise TypeError(f"base must be an nn.Linear, got {type(base).__name__}")
        if rank < 1:
            raise ValueError(f"rank must be at least 1, got {rank}")

        self.base = base.requires_grad_(False)
        self.scale = alpha / rank
        A = torch.randn(rank, base.in_features, generator=generator, dtype=base.weight.dtype)
        self.A = nn.Parameter(A / math.sqrt(base.in_features))
        self.B = nn.Parameter(A.new_zeros(base.out_features, rank))

    def forward(self, x: Float[Tensor, "*shape in"]) -> Float[Tensor, "*shape out"]:
        """The frozen layer's output, and what the detour adds."""
        return self.base(x) + self.scale * (x @ self.A.T @ self.B.T)

    def merge(self) -> nn.Linear:
        """One ordinary layer that does the same; this layer stays as it is."""
        merged = copy.deepcopy(self.base).requires_grad_()
        with torch.no_grad():
            merged.weight += self.scale * self.B @ self.A  # [out, in]
        return merged


class _Classifier(nn.Module):
    """An encoder and one linear layer, a logit for each class."""

    def __init__(
        self, encoder: Encoder, n_classes: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.width, n_classes)
        initialise(self.head, generator)


class SequenceClassifier(_Classifier):
    """P(class | text): an encoder, the mean over its tokens, one linear layer.

    Args:
        encoder: what reads.
        n_classes: number of classes.
        generator: draws the layer's weights.
    """

    def forward(
        self, ids: Int64[Tensor, "batch time"], attention_mask: Shaped[Tensor, "batch time"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits of the classes, a row for each text."""
        return self.head(mean_pool(self.encoder(ids, attention_mask), attention_mask))


class TokenClassifier(_Classifier):
    """P(class of each token | text): an encoder, and one linear layer at each position.

    Arguments as `SequenceClassifier`.
    """

    def forward(
        self, ids: Int64[Tensor, "batch time"], attention_mask: Shaped[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time classes"]:
        """Logits of the classes, a row for each token."""
        return self.head(self.encoder(ids, attention_mask))


@check_arguments
def add_lora(
    model: nn.Module,
    rank: int,
    alpha: float,
    *,
    names: Collection[str] = ("q_proj", "v_proj"),
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Freeze a model in place and put a `LoRALinear` around the linear layers with these names.

    Queries and values are what Hu et al. (2021, section 7.1) found worth adapting first.

    Returns:
        The same model. One that is refused stays as it was.

    Raises:
        TypeError: an argument is of another kind.
        ValueError: a name is not that of a linear layer, or `rank` is below 1.
    """
    if rank < 1:
        raise ValueError(f"rank must be at least 1, got {rank}")

    found = [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if name in names and isinstance(layer, nn.Linear)
    ]
    unknown = set(names) - {name for _, name, _ in found}
    if unknown or not found:
        raise ValueError(f"names must be of linear layers in the model, got {tuple(names)}")
    model.requires_grad_(False)
    for parent, name, layer in found:
        setattr(parent, name, LoRALinear(layer, rank, alpha, generator))
    return model


@check_arguments
def merge_lora(model: nn.Module) -> None:
    """Replace every `LoRALinear` in a model, in place, by one ordinary layer that does the same."""
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LoRALinear):
                setattr(parent, name, layer.merge())


@check_arguments
def save_lora(model: nn.Module, path: str | Path) -> None:
    """Save what LoRA added to a model, without the model: A, B and the scale of each layer.

    Args:
        model: has been through `add_lora`.
        path: the safetensors file to write.

    Raises:
        ValueError: the model has no `LoRALinear`.
    """
    from safetensors.torch import save_file

    layers = _lora_layers(model)
    if not layers:
        raise ValueError("model must hold a LoRALinear, got none")
    tensors = {f"{name}.A": layer.A.detach().contiguous() for name, layer in layers.items()}
    tensors |= {f"{name}.B": layer.B.detach().contiguous() for name, layer in layers.items()}
    save_file(tensors, path, {name: repr(layer.scale) for name, layer in layers.items()})


@check_arguments
def load_lora(model: nn.Module, path: str | Path) -> None:
    """Put what `save_lora` saved into a model like the one that it was taken from.

    The model is frozen, as by `add_lora`. If it has a `LoRALinear` already, that one's place is
    taken. A model that is refused stays as it was.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not from `save_lora`, or of another model.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            scales = file.metadata() or {}
            saved = {
                name: (file.get_tensor(f"{name}.A"), file.get_tensor(f"{name}.B"), float(scale))
                for name, scale in scales.items()
            }
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"path must lead to a file of save_lora, got {path}: {error}") from error
    layers = {name: layer for name, layer in model.named_modules() if name in saved}
    found: dict[str, tuple[nn.Linear, Tensor, Tensor, float]] = {}
    for name, (A, B, scale) in saved.items():
        layer = layers.get(name)
        base = layer.base if isinstance(layer, LoRALinear) else layer
        if not isinstance(base, nn.Linear) or base.weight.shape != (len(B), A.shape[1]):
            raise ValueError(f"path holds the LoRA of another model: {name!r} does not fit")
        found[name] = base, A, B, scale
    if not found:
        raise ValueError(f"path must lead to a file of save_lora, got {path}")
    model.requires_grad_(False)
    for name, (base, A, B, scale) in found.items():
        layer = LoRALinear(base, len(A), scale * len(A), torch.Generator())
        layer.scale, layer.A, layer.B = scale, nn.Parameter(A), nn.Parameter(B)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer)


def _lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    return {name: one for name, one in model.named_modules() if isinstance(one, LoRALinear)}


@check_arguments
def trainable_parameters(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@check_arguments
def fine_tune(
    model: nn.Module,
    inputs: tuple[Shaped[Tensor, "n ..."], ...],
    labels: Int64[Tensor, "n *shape"],
    *,
    steps: int,
    generator: torch.Generator,
    learning_rate: float,
    batch_size: int = 32,
    **options: Any,
) -> list[dict[str, float]]:
    """Train a classifier in place on labelled examples, as far as its parameters are not frozen.

    Args:
        model: called as `model(*inputs)` on some rows; returns logits.
        inputs: tensors with a row for each example, such as ids and attention mask.
        labels: a class for each example, or for each token of it; -100 does not count.
        steps, generator, learning_rate: as in `train`, with a warm-up of a tenth of the steps.
        batch_size: examples a step, drawn with replacement.
        options: others of `train`.

    Returns:
        The history, as `train`.

    Raises:
        ValueError: `inputs` and `labels` have different numbers of rows, `batch_size` is below 1,
            or as `train`.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    rows = [len(tensor) for tensor in inputs]
    if set(rows) != {len(labels)}:
        raise ValueError(f"inputs must have {len(labels)} rows, as labels have, got {rows}")

    def next_loss(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(labels), (batch_size,), generator=generator)
        return classification_loss(model(*(tensor[chosen] for tensor in inputs)), labels[chosen])

    return train(
        model,
        next_loss,
        steps=steps,
        generator=generator,
        learning_rate=learning_rate,
        **{"warmup": steps // 10, "description": "fine-tuning", **options},
    )
