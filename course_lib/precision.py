"""Half precision: what is summed or squared in float16 is computed in float32, and given back.

float16 ends at 65,504, and bfloat16 has 8 significant bits: squares, dot products and long sums
leave the one and are lost in the other. torch's own kernels go to float32 inside and round once, at
the end; so does a function that has passed through `in_float32`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

__all__ = ["at_least_float32", "in_float32"]

_HALF = {torch.float16, torch.bfloat16}

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def in_float32(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The same function, computed in float32 where all its floats come in one half precision.

    Its results have the precision that came in. Other arguments, and floats of several kinds, go
    to the function as they are.
    """

    @wraps(function)
    def compute(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        dtypes = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
        if len(dtypes) != 1 or not dtypes <= _HALF:
            return function(*args, **kwargs)
        (dtype,) = dtypes
        wide = {name: _floats_to(torch.float32, value) for name, value in kwargs.items()}
        return _floats_to(dtype, function(*_floats_to(torch.float32, args), **wide))

    return compute


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision as float32; anything else as it is."""
    return x.float() if x.dtype in _HALF else x


def _floats_to(dtype: torch.dtype, value: Any) -> Any:
    """A float tensor, or those in a tuple, in another precision; anything else as it is."""
    if isinstance(value, tuple):
        return tuple(_floats_to(dtype, one) for one in value)
    is_float = isinstance(value, Tensor) and value.is_floating_point()
    return value.to(dtype) if is_float else value
