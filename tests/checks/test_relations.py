"""What a wrong result has to do with the right one: each relation is found, and no other said."""

import pytest
import torch

from course_lib import attention, transformer
from course_lib.checks import Case, Exercise, evaluate, relations
from course_lib.checks.relations import first_relation
from course_lib.checks.trial import try_out


@pytest.fixture(autouse=True)
def enough_time(monkeypatch):
    """How busy the machine is plays no part."""
    monkeypatch.setattr(relations, "_SECONDS", 60.0)


def scaled_sum(x, weights, mask=None):
    """Rows of x, weighted and summed where the mask allows it."""
    kept = x * weights[:, None]
    if mask is not None:
        kept = kept.masked_fill(~mask[:, None], 0.0)
    return kept.cumsum(0)


def exercise(reference=scaled_sum):
    made = Exercise("tests.scaled_sum", points=1, reference=reference)

    @made.cases
    def _(draw):
        for n, width in ((4, 3), (5, 2), (6, 4), (3, 5)):
            given = {"x": draw.normal(n, width), "weights": draw.normal(n)}
            yield Case(f"{n} rows", given)
            mask = torch.arange(n) % 3 != 1
            yield Case(f"{n} rows, masked", given | {"mask": mask})

    return made


def said(solution, made=None):
    return first_relation(try_out(made or exercise(), solution, 0, False))


@pytest.mark.parametrize(
    ("solution", "words"),
    [
        (lambda x, w, mask=None: -scaled_sum(x, w, mask), "sign turned"),
        (lambda x, w, mask=None: scaled_sum(x, w, mask) ** 2, "square of the right one"),
        (lambda x, w, mask=None: scaled_sum(x, w, mask).double(), "only their dtype"),
        (lambda x, w, mask=None: scaled_sum(x, w, mask).tolist(), "come back as a tensor"),
        (lambda x, w, mask=None: scaled_sum(x, w, mask)[None], "only the shape"),
        (lambda x, w, mask=None: scaled_sum(x, w, mask) * len(x), "times `x.shape[-2]`"),
        (lambda x, w, mask=None: scaled_sum(x, w, mask) * 0.5, "times 0.5"),
        (lambda x, w, mask=None: scaled_sum(x, w, mask) + 2, "plus 2"),
        (lambda x, w, mask=None: scaled_sum(x, w, mask) + x, "plus `x`"),
        (lambda x, w, mask=None: scaled_sum(x, w, mask).T, "last two axes are exchanged"),
        (lambda x, w, mask=None: scaled_sum(x, w, mask).flip(0), "back to front along the first"),
        (lambda x, w, mask=None: scaled_sum(x, w, mask).sum(0), "summed along axis"),
        (lambda x, w, mask=None: scaled_sum(x, w, None), "in place of `mask`"),
        (lambda x, w, mask=None: scaled_sum(x, w, None if mask is None else ~mask), "`~mask`"),
        (lambda x, w, mask=None: scaled_sum(x, w.softmax(-1), mask), "`weights.softmax(-1)`"),
        (lambda x, w, mask=None: x, "`x` as it came in"),
        (lambda x, w, mask=None: torch.rand(x.shape), "another result the second time"),
        (lambda x, w, mask=None: x.cumsum(0), "`weights`"),
        (
            lambda x, w, mask=None: torch.cat([scaled_sum(x, w, mask)[:-1], x[-1:]]),
            "Only the last place along axis -2 is wrong",
        ),
    ],
)
def test_a_relation_is_found(solution, words):
    assert words in said(solution)


@pytest.mark.parametrize("strange", [torch.sin, lambda t: t.abs().sqrt() * t.argsort(0)])
def test_what_has_nothing_to_do_with_it_is_given_no_relation(strange):
    def unheard_of(x, weights, mask=None):
        hidden = 1.0 if mask is None else mask.float()[:, None] + 0.5
        return strange(x * 7 + weights[:, None] ** 3) * hidden

    assert said(unheard_of) is None


def test_two_changes_at_once():
    says = said(lambda x, w, mask=None: scaled_sum(x * 2, w, None if mask is None else ~mask))
    assert "`2 * x`" in says or "`2 * weights`" in says
    assert "`~mask`" in says


def test_a_relation_in_the_cases_that_do_not_tell_is_not_said():
    """`q` and `k` of one size can be exchanged without a sign of it in one case alone."""
    made = Exercise("tests.one", points=1, reference=lambda a, b: 2.0 * a + b)

    @made.cases
    def _(draw):
        yield Case("one", {"a": 1.0, "b": 2.0})
        yield Case("two", {"a": 3.0, "b": 3.0})

    assert said(lambda a, b: a + 2.0 * b if a == 1.0 else 2.0 * a + b, made) is None


def test_one_part_of_a_pair():
    def weights_wrong(q, k, v, mask=None):
        output, weights = attention.scaled_dot_product_attention(q, k, v, mask)
        return output, weights.sin() + 3

    report = evaluate("attention.scaled_dot_product_attention", weights_wrong)
    assert "the first part is right in every case" in report.message


def test_the_gradient_is_told_from_the_values():
    def without_gradient(x, weight, bias, eps):
        return transformer.layer_norm(x, weight, bias, eps).detach() + 0 * x.sum()

    report = evaluate("transformer.layer_norm", without_gradient)
    assert "gradient" in report.headline


def test_state_between_calls_is_found():
    kept = []

    def remembers(x, weights, mask=None):
        kept.append(1)
        return scaled_sum(x, weights, mask) * len(kept)

    assert "the second time" in said(remembers)
