import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor

from course_lib.checks.compare import difference

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(TREES)
def test_everything_equals_itself(tree):
    assert difference(tree, tree, 0.0) is None


@pytest.mark.parametrize(
    ("expected", "got", "kind", "says"),
    [
        (1.0, None, "missing", "`return`"),
        (1, True, "type", "bool"),
        (1, 1.0, "type", "float"),
        (1.0, np.float32(1.0), "type", "NumPy number"),
        (1.0, tensor(1.0), "type", ".item()"),
        ([1], (1,), "type", "tuple"),
        (tensor([1.0]), [1.0], "type", "list"),
        (tensor([1.0]), tensor([1.0]).double(), "dtype", "float64"),
        (tensor([1.0]), tensor([[1.0]]), "shape", "[1, 1]"),
        ([1, 2], [1, 2, 3], "length", "3 items"),
        ({"a": 1}, {"b": 1}, "keys", "'b'"),
        ("a", "b", "value", "'b'"),
        (1.0, 1.1, "value", "1.1"),
        (tensor([1.0, 2.0]), tensor([1.0, float("nan")]), "value", "NaN"),
        (tensor([1.0, 2.0]), tensor([1.0, 3.0]), "value", "[1]"),
        (tensor([True]), tensor([False]), "value", "expected True, got False"),
        ({"a": [1, 2]}, {"a": [1, 3]}, "value", "['a'][1]"),
    ],
)
def test_says_what_differs(expected, got, kind, says):
    found = difference(expected, got, 1e-5)
    assert found.kind == kind
    assert says in found.says


def test_tolerance_is_absolute_or_relative():
    assert difference(tensor([1000.0]), tensor([1000.5]), 1e-3) is None
    assert difference(tensor([0.0]), tensor([5e-4]), 1e-3) is None
    assert difference(tensor([1.0]), tensor([1.1]), 1e-3) is not None
    assert difference(1e6, 1e6 + 1, 1e-5) is None


def test_infinities_and_empty_tensors_compare():
    inf = float("inf")
    assert difference(tensor([-inf, 1.0]), tensor([-inf, 1.0]), 1e-5) is None
    assert difference(tensor([-inf]), tensor([-1e9]), 1e-5) is not None
    assert difference(torch.zeros(0, 3), torch.zeros(0, 3), 1e-5) is None
