"""From a pre-trained encoder to a task: heads for texts and tokens, and three ways to fine-tune
(notebook 05)."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from course_lib.encoder import Encoder, mean_pool
from course_lib.initialisation import initialise
from course_lib.objectives import classification_loss
from course_lib.training import train


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


def add_lora(
    model: nn.Module,
    rank: int,
    alpha: float,
    *,
    names: Collection[str] = ("q_proj", "v_proj"),
    generator: torch.Generator | None = None,
) -> None:
    """Freeze a model in place and put a `LoRALinear` around the linear layers with these names.

    Queries and values are what Hu et al. (2021, section 7.1) found worth adapting first.

    Raises:
        ValueError: no linear layer has such a name.
    """
    model.requires_grad_(False)
    found = [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if name in names and isinstance(layer, nn.Linear)
    ]
    if not found:
        raise ValueError(f"names must be of linear layers in the model, got {tuple(names)}")
    for parent, name, layer in found:
        setattr(parent, name, LoRALinear(layer, rank, alpha, generator))


def merge_lora(model: nn.Module) -> None:
    """Replace every `LoRALinear` in a model, in place, by one ordinary layer that does the same."""
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LoRALinear):
                setattr(parent, name, layer.merge())


def trainable_parameters(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


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
        ValueError: `inputs` and `labels` have different numbers of rows, or as `train`.
    """
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
        **({"warmup": steps // 10, "description": "fine-tuning"} | options),
    )
