"""Errors at the door: the shapes and dtypes in a signature are checked at each call."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jaxtyping import AbstractArray, jaxtyped
from torch import Tensor

Function = TypeVar("Function", bound=Callable)


def check_shapes(function: Function) -> Function:
    """Check tensor arguments against their `jaxtyping` annotations before the function runs.

    An axis name stands for one size throughout the signature, so that
    `q: Float[Tensor, "target d_k"], k: Float[Tensor, "source d_k"]` refuses queries and keys of
    different width. Arguments that may be None, and annotations that are not tensors, pass.

    Raises (when the function is called):
        TypeError: an argument is not a tensor, or has another kind of dtype than its annotation.
        ValueError: an argument's shape does not fit its annotation or the arguments before it.
    """
    signature = inspect.signature(function)

    @functools.cache
    def hints() -> dict[str, Any]:
        annotations = typing.get_type_hints(function)
        arrays = {name: _array_in(annotation) for name, annotation in annotations.items()}
        return {name: hint for name, hint in arrays.items() if hint and name != "return"}

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        arguments = signature.bind(*args, **kwargs).arguments
        with jaxtyped("context"):
            for name, hint in hints().items():
                if arguments.get(name) is not None:
                    _check(name, arguments[name], hint, arguments)
        return function(*args, **kwargs)

    return checked


def check_sizes(config: Any, *names: str) -> None:
    """Check the sizes of a model's configuration: whole numbers from 1, a width of whole heads.

    Args:
        config: has `width` and `n_heads`.
        names: the fields that are sizes, these two among them.

    Raises:
        TypeError: a size is not an int.
        ValueError: a size is below 1, or `n_heads` does not divide `width`.
    """
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int):
            raise TypeError(f"{name} must be an int, got {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if config.width % config.n_heads != 0:
        raise ValueError(f"n_heads must divide the width {config.width}, got {config.n_heads}")


def broadcasts(shape: Sequence[int], to: Sequence[int]) -> bool:
    """Whether a tensor of `shape` stretches to the shape `to`: axes are matched from the last one
    on, and each is missing, of size 1, or of the right size."""
    pairs = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(size in (1, full) for size, full in pairs)


def _array_in(annotation: Any) -> Any:
    """`Float[Tensor, "time"] | None` -> `Float[Tensor, "time"]`; None where there is no array."""
    for part in (annotation, *typing.get_args(annotation)):
        if isinstance(part, type) and issubclass(part, AbstractArray):
            return part
    return None


def _check(name: str, value: Any, hint: Any, arguments: dict[str, Any]) -> None:
    kind = hint.__name__.partition("[")[0]  # "Float", "Int", "Bool", or "Shaped" for any of them
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
    if kind != "Shaped" and str(value.dtype).removeprefix("torch.") not in hint.dtypes:
        raise TypeError(f"{name} must be a tensor of dtype {kind.lower()}, got {value.dtype}")
    if not isinstance(value, hint):
        others = ", ".join(
            f"{other} {list(tensor.shape)}"
            for other, tensor in arguments.items()
            if isinstance(tensor, Tensor) and other != name
        )
        beside = f" beside {others}" if others else ""
        raise ValueError(
            f"{name} must have the shape [{', '.join(hint.dim_str.split())}], "
            f"got {list(value.shape)}{beside}"
        )
