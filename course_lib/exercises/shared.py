"""What exercises of several ideas share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from course_lib.checks.exercise import compares_gradients, gradient_of


def gradient_that_flows(position: int) -> Callable[..., dict[str, Any]]:
    """As `gradient_of`, and whether training could call `backward()` at all: where the right
    gradient is zero, a constant would look the same."""

    @compares_gradients
    def observe(solution: Callable, *arguments: Any) -> dict[str, Any]:
        outputs: list[Any] = []

        def kept(*given: Any) -> Any:
            outputs.append(solution(*given))
            return outputs[-1]

        gradient = gradient_of(position)(kept, *arguments)
        output = outputs[-1]
        flows = isinstance(output, Tensor) and output.requires_grad
        return {"backward() runs": flows, "gradient": gradient}

    return observe


def load_weights(layer: Any, weights: dict[str, Tensor]) -> Any:
    """A layer of the learner's with these weights, loaded by their names.

    Raises:
        ValueError: its parameters are others; torch's own error names the learner's class, and so
            differs from everybody else's.
    """
    shapes = {name: list(value.shape) for name, value in layer.state_dict().items()}
    asked = {name: list(value.shape) for name, value in weights.items()}
    if shapes != asked:
        lacking = [name for name in asked if shapes.get(name) != asked[name]]
        extra = [name for name in shapes if name not in asked]
        parts = [f"lacks {', '.join(lacking)}"] if lacking else []
        parts += [f"has {', '.join(extra)} besides"] if extra else []
        raise ValueError(f"weights cannot be loaded: the layer {' and '.join(parts)}")
    layer.load_state_dict(weights)
    return layer
