"""What whoever fits a scaling law has: lists, NumPy arrays or columns of a data frame."""

from __future__ import annotations

import functools
import inspect
import typing
from collections import abc
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from course_lib.arguments import is_array

Function = TypeVar("Function", bound=Callable[..., Any])


def takes_arrays(function: Function) -> Function:
    """The same function for lists, arrays and columns in place of float tensors.

    They go in as float64. When one came and no tensor, tensors in the result come back as arrays.

    Raises:
        TypeError: at a call, an argument that should be a tensor does not hold numbers.
    """
    signature = inspect.signature(function)
    hints = functools.cache(lambda: typing.get_type_hints(function))

    @functools.wraps(function)
    def taking(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        came: set[type] = set()
        for name, value in bound.arguments.items():
            bound.arguments[name] = _tensors(name, value, hints().get(name), came)
        result = function(*bound.args, **bound.kwargs)
        return _arrays(result) if came and Tensor not in came else result

    return cast(Function, taking)


def _tensors(name: str, value: Any, hint: Any, came: set[type]) -> Any:
    """The value with tensors where the annotation has them; `came` is told what was there."""
    parts = typing.get_args(hint)
    if isinstance(value, Tensor):
        came.add(Tensor)
    elif hint is Tensor or is_array(hint):
        if isinstance(value, list | tuple) or hasattr(value, "__array__"):
            came.add(type(value))
            return _tensor(name, value)
    elif typing.get_origin(hint) in (abc.Sequence, tuple) and isinstance(value, list | tuple):
        inside = parts * len(value) if typing.get_origin(hint) is abc.Sequence else parts
        if len(inside) == len(value):
            return [_tensors(name, one, part, came) for one, part in zip(value, inside)]
    elif Tensor in parts and (isinstance(value, list | tuple) or len(getattr(value, "shape", ()))):
        return _tensors(name, value, Tensor, came)
    return value


def _tensor(name: str, value: Any) -> Tensor:
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise TypeError(f"of {array.dtype}")
        return torch.tensor(array.astype(np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must hold numbers, got {error}") from None


def _arrays(result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(_arrays(one) for one in result)
    return result.numpy() if isinstance(result, Tensor) else result
