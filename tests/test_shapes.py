import pytest
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from course_lib.shapes import check_shapes


@check_shapes
def attend(
    q: Float[Tensor, "*batch target d_k"],
    k: Float[Tensor, "*batch source d_k"],
    mask: Bool[Tensor, "*#batch #target #source"] | None = None,
    scale: float = 1.0,
) -> Float[Tensor, "*batch target source"]:
    """Scores."""
    return scale * (q @ k.mT)


Q, K = torch.randn(2, 3, 4), torch.randn(2, 5, 4)


def test_lets_good_arguments_through():
    assert torch.equal(attend(Q, K, scale=2.0), 2 * Q @ K.mT)
    assert attend(Q, k=K, mask=torch.ones(3, 1, dtype=torch.bool)).shape == (2, 3, 5)
    assert attend(Q.double(), K.double(), None).dtype == torch.float64
    assert attend.__name__ == "attend" and attend.__doc__ == "Scores."


@pytest.mark.parametrize(
    ("error", "named", "arguments"),
    [
        (TypeError, "q", (Q.long(), K)),
        (TypeError, "q", (3, K)),
        (TypeError, "mask", (Q, K, torch.ones(3, 5))),
        (ValueError, "q", (Q[0, 0], K)),
        (ValueError, "k", (Q, K[0])),
        (ValueError, "k", (Q, K[..., :2])),
        (ValueError, "mask", (Q, K, torch.ones(4, 5, dtype=torch.bool))),
    ],
)
def test_names_the_argument(error, named, arguments):
    with pytest.raises(error, match=f"^{named} must"):
        attend(*arguments)


def test_error_says_what_was_expected_and_what_came():
    with pytest.raises(ValueError, match=r"\[\*batch, source, d_k\], got \[2, 5, 2\] beside q"):
        attend(Q, K[..., :2])


def test_wrong_calls_stay_ordinary_type_errors():
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        attend(Q)


def test_checks_methods_and_any_dtype():
    class Lookup(nn.Module):
        @check_shapes
        def forward(self, ids: Int[Tensor, "batch time"], mask: Shaped[Tensor, "batch time"]):
            return ids, mask

    ids = torch.zeros(2, 3, dtype=torch.long)
    Lookup()(ids, ids.bool())
    Lookup()(ids, ids.float())
    with pytest.raises(ValueError, match="mask must have the shape"):
        Lookup()(ids, ids[0])
