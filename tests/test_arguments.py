"""Plain arguments are what their annotations say, or are refused by name."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import numpy as np
import pytest
import torch

from course_lib.arguments import check_arguments, positive


@check_arguments
def told(
    whole: int = 1,
    number: float = 1.0,
    text: str = "",
    ids: list[int] | None = None,
    pair: tuple[str, int] = ("a", 1),
    names: Collection[str] = (),
    counts: Mapping[str, int] | None = None,
    followers: Counter[str] | None = None,
    call: Callable[[int], int] = int,
    way: Literal["up", "down"] = "up",
    rows: Sequence[Sequence[int]] = (),
    **others: int,
) -> dict:
    return dict(locals())


@pytest.mark.parametrize("one", [np.int64(3), np.array(3), torch.tensor(3), np.uint8(3), 3])
def test_whole_numbers_of_any_library_are_ints(one):
    assert told(whole=one)["whole"] == 3 and type(told(one)["whole"]) is int


def test_numbers_and_lists_of_any_library():
    assert type(told(number=np.float32(0.5))["number"]) is float
    grows = torch.tensor(2.0, requires_grad=True)
    assert told(number=grows)["number"] is grows
    for ids in ([1, 2], (1, 2), np.array([1, 2]), torch.tensor([1, 2])):
        assert told(ids=ids)["ids"] == [1, 2] and type(told(ids=ids)["ids"]) is list
    assert told(names={"a", "b"})["names"] == {"a", "b"} and told(z=5)["others"] == {"z": 5}


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"whole": 1.0}, TypeError, "whole must be an int, got 1.0"),
        ({"whole": 10**400}, ValueError, "whole is too large"),
        ({"number": "1"}, TypeError, "number must be a number, got '1'"),
        ({"number": 1j}, TypeError, "number must be a number"),
        ({"number": torch.ones(2)}, TypeError, "number must be a number"),
        ({"number": np.float32("nan")}, ValueError, "number must be a number, got"),
        ({"text": None}, TypeError, "text must be a str, got None"),
        ({"ids": "12"}, TypeError, "ids must be a sequence, got '12'"),
        ({"ids": [1, "2"]}, TypeError, "ids must be an int, got '2'"),
        ({"pair": ("a",)}, ValueError, "pair must hold 2 things together"),
        ({"names": "ab"}, TypeError, "names must be a collection, got 'ab'"),
        ({"names": np.array(0.0)}, TypeError, "names must be a collection, got 0.0"),
        ({"counts": {"a": "b"}}, TypeError, "counts must be an int, got 'b'"),
        ({"followers": {1: 1}}, TypeError, "followers must be a str, got 1"),
        ({"call": 1}, TypeError, "call must be a function, got 1"),
        ({"way": "sideways"}, ValueError, r"way must be one of \('up', 'down'\)"),
        ({"rows": [1, 2]}, TypeError, "rows must be a sequence, got 1"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(arguments, kind, words):
    with pytest.raises(kind, match=f"^{words}"):
        told(**arguments)


def test_wrong_calls_stay_ordinary_type_errors():
    function = check_arguments(lambda a, *, b=1: a)
    for args, kwargs in (((1, 2), {}), ((1,), {"a": 2}), ((), {}), ((1,), {"c": 1})):
        with pytest.raises(TypeError):
            function(*args, **kwargs)


def test_what_has_no_room_is_named():
    @check_arguments
    def zeros(n: int) -> torch.Tensor:
        return torch.zeros(n)

    assert len(zeros(3)) == 3
    with pytest.raises(ValueError, match="^n is too large, got 1000000000000000"):
        zeros(10**15)
    with pytest.raises(RuntimeError, match="negative"):
        zeros(-1)

    @check_arguments
    def exponential(x: float, base: float = math.e) -> float:
        return base**x

    assert exponential(2.0, 3) == 9
    with pytest.raises(ValueError, match="^x is too large, got 1000.0"):
        exponential(1000.0)


def test_positive():
    @positive("x")
    def same(x, y=0):
        return x

    assert same(2, -1) == 2 and same(x=torch.ones(2)).sum() == 2
    for x in (0, -1.0, float("inf"), torch.tensor([1.0, 0.0])):
        with pytest.raises(ValueError, match="^x must be above 0 and finite, got"):
            same(x)
