"""Errors at the door: plain arguments are held against their annotations at each call.

Tensors are `shapes.check_shapes`'s, which has the other arguments of its function looked at here.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import operator
import types
import typing
from collections import abc
from collections.abc import Callable
from itertools import islice
from typing import Any, Literal, TypeVar, cast

import numpy as np
from jaxtyping import AbstractArray
from torch import Tensor, nn

__all__ = ["by_name", "check_arguments", "check_positive", "is_array", "positive"]

Function = TypeVar("Function", bound=Callable[..., Any])
_Check = Callable[[str, Any], Any]  # name and value -> the value as the function wants it

_LOOKED_AT = 16  # entries of a mapping: a vocabulary is long, and passed often
_LARGE = 2**31  # what is beyond it may be too large to hold
_TOO_LARGE = 2**63  # no tensor counts as far


def check_arguments(function: Function) -> Function:
    """Check arguments that are no tensors against their annotations before the function runs.

    Numbers, texts, functions, sequences and mappings are what their annotation says, and a number
    is never NaN. Whole numbers may come from any library, and an array in place of a list. In place
    of an object of this package another may stand, which can do the same; a number, a text or a
    list may not.

    Raises:
        TypeError: at a call, an argument is of another kind than its annotation.
        ValueError: a number is NaN, a choice is unknown, or a number is so large that the answer
            has no room.
    """
    arguments_of = by_name(function)

    @functools.cache
    def checks() -> dict[str, _Check]:
        hints = typing.get_type_hints(function)
        named = inspect.signature(function).parameters.values()
        return {p.name: _check_for(hints[p.name]) for p in named
                if p.name in hints and p.kind is not p.VAR_KEYWORD}  # fmt: skip

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        arguments = arguments_of(args, kwargs)
        for name, check in checks().items():
            if name in arguments:
                arguments[name] = check(name, arguments[name])
        try:
            return function(**arguments)
        except (RuntimeError, MemoryError, OverflowError) as error:
            sizes = {name: abs(value) for name, value in arguments.items() if _is_finite(value)}
            largest = max(sizes, key=sizes.__getitem__, default="")
            if largest and (isinstance(error, OverflowError) or sizes[largest] >= _LARGE):
                message = f"{largest} is too large, got {_short(arguments[largest])}"
                raise ValueError(message) from error
            raise

    return cast(Function, checked)


def positive(*names: str, finite: bool = True) -> Callable[[Function], Function]:
    """Decorator: the numbers in these arguments must be above 0, and finite unless told otherwise.

    Raises:
        ValueError: at a call, one is not.
    """

    def decorate(function: Function) -> Function:
        arguments_of = by_name(function)

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            arguments = arguments_of(args, kwargs)
            for name in names:
                check_positive(name, arguments.get(name, 1), finite)
            return function(**arguments)

        return cast(Function, checked)

    return decorate


def check_positive(name: str, numbers: float | Tensor, finite: bool = True) -> None:
    """Refuse a number, or a tensor with one, that is not above 0, or not finite.

    Raises:
        ValueError: it is so.
    """
    if isinstance(numbers, Tensor):
        wrong = ~(numbers > 0) | (numbers.isinf() & finite)
        got = numbers[wrong].flatten()[:1].tolist()
    else:
        got = [] if numbers > 0 and not (finite and math.isinf(numbers)) else [numbers]
    if got:
        raise ValueError(f"{name} must be above 0{' and finite' * finite}, got {got[0]}")


def by_name(
    function: Callable[..., Any],
) -> Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]]:
    """How a call's arguments are told by their names: `signature.bind`, for calls that are many.

    What is missing or unknown is left for the function to say.
    """
    signature = inspect.signature(function)
    names = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]

    def arguments_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        arguments = dict(zip(names, args)) | kwargs
        if len(arguments) < len(args) + len(kwargs):
            signature.bind(*args, **kwargs)  # says what came twice or was too much
        return arguments

    return arguments_of


def is_array(hint: Any) -> bool:
    """Whether an annotation is one of jaxtyping's, as in `Float[Tensor, "time"]`."""
    return isinstance(hint, type) and issubclass(hint, AbstractArray)


def _check_for(hint: Any) -> _Check:
    """How an argument with this annotation is looked at."""
    kind, inside = typing.get_origin(hint) or hint, typing.get_args(hint)
    if isinstance(hint, TypeVar):
        return _any_of(hint.__constraints__)
    if kind in (typing.Union, types.UnionType):
        return _any_of(inside)
    if kind in (list, tuple, abc.Sequence, abc.Collection):
        return _sequence(kind, inside)
    if kind is Literal:
        return _choice(inside)
    if isinstance(kind, type) and issubclass(kind, abc.Mapping):
        return _mapping(inside)
    if is_array(kind):
        return _instance(Tensor, "a tensor")
    plain: dict[Any, _Check] = {
        Any: lambda name, value: value,
        int: _whole,
        float: _number,
        abc.Callable: _function,
        abc.Iterable: _instance(abc.Iterable, "an iterable", but=str | bytes),
    }
    return plain.get(kind) or _object(kind)


def _whole(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, got {_short(value)}") from None
    if abs(number) >= _TOO_LARGE:
        raise ValueError(f"{name} is too large, got {_short(value)}")
    return number


def _number(name: str, value: Any) -> Any:
    number = value.item() if getattr(value, "ndim", 1) == 0 else value
    if not isinstance(number, numbers.Real):
        raise TypeError(f"{name} must be a number, got {_short(value)}")
    if number != number:
        raise ValueError(f"{name} must be a number, got {value!r}")
    return value if getattr(value, "requires_grad", False) else number


def _function(name: str, value: Any) -> Any:
    if not callable(value):
        raise TypeError(f"{name} must be a function, got {_short(value)}")
    return value


def _instance(kind: Any, called: str, but: Any = ()) -> _Check:
    def check(name: str, value: Any) -> Any:
        if not isinstance(value, kind) or isinstance(value, but):
            raise TypeError(f"{name} must be {called}, got {_short(value)}")
        return value

    return check


def _choice(choices: tuple[str, ...]) -> _Check:
    def check(name: str, value: Any) -> Any:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{name} must be one of {choices}, got {_short(value)}")
        return value

    return check


def _any_of(parts: tuple[Any, ...]) -> _Check:
    """One of several annotations is enough; a tensor stays one where it may."""
    arrays = tuple(part for part in parts if part is Tensor or is_array(part))
    others = [_check_for(part) for part in parts if part not in (*arrays, type(None))]
    if not others:
        others = [_instance(Tensor, "a tensor")]

    def check(name: str, value: Any) -> Any:
        if (value is None and type(None) in parts) or isinstance(value, arrays):
            return value
        errors: list[Exception] = []
        for other in others:
            try:
                return other(name, value)
            except (TypeError, ValueError) as error:
                errors.append(error)
        raise next((error for error in errors if isinstance(error, ValueError)), errors[0])

    return check


def _sequence(kind: Any, inside: tuple[Any, ...]) -> _Check:
    """A list, a tuple or the like, and each thing in it."""
    wanted = abc.Collection if kind is abc.Collection else abc.Sequence
    length = len(inside) if kind is tuple and Ellipsis not in inside else None
    checks = [_check_for(part) for part in inside if part is not Ellipsis]

    def check(name: str, value: Any) -> Any:
        value = value.tolist() if hasattr(value, "tolist") else value
        if not isinstance(value, wanted) or isinstance(value, str | bytes):
            raise TypeError(f"{name} must be a {wanted.__name__.lower()}, got {_short(value)}")
        value = list(value) if kind is list else value
        if length is not None and len(value) != length:
            raise ValueError(f"{name} must hold {length} things together, got {_short(value)}")
        if inside[:1] == (int,) and set(map(type, value)) <= {int}:
            return value  # soon seen, since the ids of a text are many
        for one, look in zip(value, checks if length else checks * len(value)):
            look(name, one)
        return value

    return check


def _mapping(inside: tuple[Any, ...]) -> _Check:
    keys, values = map(_check_for, inside if len(inside) == 2 else (*inside, int))  # a Counter's

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, abc.Mapping):
            raise TypeError(f"{name} must be a mapping, got {_short(value)}")
        for key, one in islice(value.items(), _LOOKED_AT):
            keys(name, key)
            values(name, one)
        return value

    return check


def _object(kind: Any) -> _Check:
    """An object of some class. One of this package's may be replaced by another that can do the
    same, and a model by a function."""
    foreign = kind.__module__.partition(".")[0] in ("builtins", "torch", "pathlib")
    functions = types.FunctionType if issubclass(kind, nn.Module) and not foreign else ()
    protocol = getattr(kind, "_is_protocol", False)  # which says what an object can do, no more

    def check(name: str, value: Any) -> Any:
        if not protocol and isinstance(value, kind):
            return value
        plain = type(value).__module__ == "builtins" or isinstance(value, Tensor | np.ndarray)
        if foreign or (plain and not isinstance(value, functions)):
            raise TypeError(f"{name} must be a {kind.__name__}, got {_short(value)}")
        return value

    return check


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < math.inf


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else type(value).__name__
