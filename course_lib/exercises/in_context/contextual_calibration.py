"""What `in_context.contextual_calibration` demands."""

from __future__ import annotations

import torch

from course_lib import in_context
from course_lib.checks.exercise import Case, Exercise

contextual_calibration = Exercise(
    "in_context.contextual_calibration", points=1, reference=in_context.contextual_calibration
)


@contextual_calibration.cases
def _(draw):
    def probs(*shape):
        return draw.normal(*shape, scale=1.2).softmax(-1)

    def case(about, option_probs, content_free_probs):
        arguments = {"option_probs": option_probs, "content_free_probs": content_free_probs}
        return Case(about, arguments)

    yield case(
        "a model that leans toward the first of two", torch.tensor([0.6, 0.4]),
        torch.tensor([0.8, 0.2]),
    )  # fmt: skip
    yield case("three options", probs(3), probs(3))
    yield case("no leaning at all", probs(4), torch.full((4,), 0.25))
    yield case("several questions", probs(2, 3), probs(3))
    yield case("a batch of one question", probs(1, 3), probs(3))
    yield case("a single option", probs(1) * 0.3, probs(1) * 0.6)
    yield case("as many questions as options", probs(3, 3), probs(3))
    yield case("options that are not all there is: they sum to less", 0.1 * probs(3, 2), probs(2))
    yield case("a question in a batch of batches", probs(2, 3, 4), probs(4))
    sure = torch.tensor([[0.999, 0.001], [0.0, 1.0]])
    yield case("a model that is very sure", sure, torch.tensor([0.99, 0.01]))
    yield case("double precision", probs(2, 3).double(), probs(3).double())
    if draw.hidden:
        yield case("many questions", probs(30, 5), probs(5))


def _shared(p):
    return p / p.sum(-1, keepdim=True)


@contextual_calibration.misconception
def does_not_renormalise(option_probs, content_free_probs):
    """The division is right, but the results do not sum to one. Divide each row by its sum."""
    return option_probs / content_free_probs


@contextual_calibration.misconception
def subtracts_the_leaning(option_probs, content_free_probs):
    """You subtract what the model says without content, so that probabilities may fall below 0.
    Divide by it."""
    return _shared(option_probs - content_free_probs)


@contextual_calibration.misconception
def multiplies_by_the_leaning(option_probs, content_free_probs):
    """You multiply, which makes the model lean twice as much. Divide: what it says too readily has
    to count less."""
    return _shared(option_probs * content_free_probs)


@contextual_calibration.misconception
def divides_the_wrong_way_round(option_probs, content_free_probs):
    """You divide the content-free probabilities by the others. It is the other way round."""
    return _shared(content_free_probs / option_probs)


@contextual_calibration.misconception
def takes_a_softmax(option_probs, content_free_probs):
    """After the division you take softmax. That is for logits; these are weights already, so
    dividing by their sum is enough."""
    return (option_probs / content_free_probs).softmax(-1)


@contextual_calibration.misconception
def renormalises_before_the_division(option_probs, content_free_probs):
    """You scale to sum to one first and divide then, so the result does not sum to one. The other
    way round."""
    return _shared(option_probs) / content_free_probs


@contextual_calibration.misconception
def divides_by_the_sum_of_all_questions(option_probs, content_free_probs):
    """You divide by the sum over all questions together. Each row has its own sum: along the last
    axis, with `keepdim=True`."""
    fair = option_probs / content_free_probs
    return fair / fair.sum()


@contextual_calibration.misconception
def sums_over_the_questions(option_probs, content_free_probs):
    """You sum along the first axis, over the questions. The options of *one* question have to sum
    to one: the last axis."""
    fair = option_probs / content_free_probs
    return fair / fair.sum(0, keepdim=True)


@contextual_calibration.alternative
def in_logarithms(option_probs, content_free_probs):
    """A division is a difference of logarithms, and softmax renormalises it."""
    return (option_probs.log() - content_free_probs.log()).softmax(-1)


@contextual_calibration.alternative
def as_a_matrix(option_probs, content_free_probs):
    """The paper's form: a diagonal matrix of weights."""
    weights = torch.diag(1 / content_free_probs)
    return torch.nn.functional.normalize(option_probs @ weights, p=1, dim=-1)
