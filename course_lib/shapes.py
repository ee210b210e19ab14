"""Errors at the door: the shapes and dtypes in a signature are checked at each call."""

from __future__ import annotations

import functools
import operator
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

from jaxtyping import jaxtyped
from torch import Tensor

from course_lib.arguments import by_name, check_arguments, is_array

__all__ = ["broadcasts", "check_shapes", "check_sizes", "plain_ids"]

Function = TypeVar("Function", bound=Callable[..., Any])


def check_shapes(function: Function) -> Function:
    """Check tensor arguments against their `jaxtyping` annotations before the function runs.

    An axis name stands for one size throughout the signature, so that
    `q: Float[Tensor, "target d_k"], k: Float[Tensor, "source d_k"]` refuses queries and keys of
    different width. None passes where the annotation allows it. Arguments that are no tensors are
    looked at as in `check_arguments`.

    Raises:
        TypeError: at a call, an argument is not a tensor, or has another kind of dtype than its
            annotation.
        ValueError: an argument's shape does not fit its annotation or the arguments before it, or
            the function has no answer for a tensor that is empty or not finite, or for floats of
            different precision.
    """
    arguments_of = by_name(function)
    plain_checked = check_arguments(function)

    @functools.cache
    def hints() -> dict[str, Any]:
        annotations = typing.get_type_hints(function)
        arrays = {name: _array_in(annotation) for name, annotation in annotations.items()}
        return {name: hint for name, hint in arrays.items() if hint and name != "return"}

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        arguments = arguments_of(args, kwargs)
        with jaxtyped("context"):
            for name, hint in hints().items():
                if arguments.get(name) is not None:
                    _check(name, arguments[name], hint, arguments)
        try:
            return plain_checked(**arguments)
        except RuntimeError as error:
            cause = _cause(arguments)
            if cause:
                raise ValueError(cause) from error
            raise

    return cast(Function, checked)


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


def plain_ids(ids: Any) -> Iterator[int]:
    """Whole numbers one by one, be they in a list, a tensor, an array or any iterable.

    Raises:
        TypeError: they are something else.
    """
    ids = ids.tolist() if hasattr(ids, "tolist") else ids
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise TypeError(f"ids must be an iterable of whole numbers, got {ids!r}")
    for id in ids:
        try:
            yield operator.index(id)
        except TypeError:
            raise TypeError(f"ids must be whole numbers, got {id!r}") from None


def broadcasts(shape: Sequence[int], to: Sequence[int]) -> bool:
    """Whether a tensor of `shape` stretches to the shape `to`: axes are matched from the last one
    on, and each is missing, of size 1, or of the right size."""
    pairs = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(size in (1, full) for size, full in pairs)


def _array_in(annotation: Any) -> Any:
    """`Float[Tensor, "time"] | None` -> `Float[Tensor, "time"]`; None where there is no array."""
    for part in (annotation, *typing.get_args(annotation)):
        if is_array(part):
            return part
    return None


def _cause(arguments: dict[str, Any]) -> str | None:
    """What about these tensors may be why torch could not go on, if anything."""
    tensors = {name: x for name, x in arguments.items() if isinstance(x, Tensor)}
    for name, x in tensors.items():
        if x.numel() == 0:
            return f"{name} must not be empty, got the shape {list(x.shape)}"
    floats = {name: x for name, x in tensors.items() if x.is_floating_point()}
    if len({x.dtype for x in floats.values()}) > 1:
        each = ", ".join(f"{name} {x.dtype}" for name, x in floats.items())
        return f"tensors must have one precision, got {each}"
    for name, x in floats.items():
        if not x.isfinite().all():
            return f"{name} must be finite, got NaN or an infinity"
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
