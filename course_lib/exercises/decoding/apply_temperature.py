"""What `decoding.apply_temperature` demands."""

from __future__ import annotations

import torch

from course_lib import decoding
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.exercises.decoding.shared import INF

apply_temperature = Exercise(
    "decoding.apply_temperature", points=1, reference=decoding.apply_temperature
)


@apply_temperature.cases
def _(draw):
    def case(about, logits, temperature):
        return Case(about, {"logits": logits, "temperature": temperature})

    yield case("three logits, colder", torch.tensor([2.0, 0.0, -1.0]), 0.5)
    yield case("three logits, hotter", draw.normal(3), 4.0)
    yield case("a temperature of 1", draw.normal(4), 1.0)
    yield case("a batch", draw.normal(2, 5, scale=3.0), 0.7)
    blocked = draw.normal(4)
    blocked[1] = -INF
    yield case("a batch of one row, a single token", draw.normal(1, 1), 0.25)
    yield case("a token that is ruled out (-inf)", blocked, 2.0)
    yield case("large logits, double precision", draw.normal(3, 4, scale=500.0).double(), 0.3)
    one = torch.tensor([1.0, 2.0])
    yield refuses("a temperature of 0", {"logits": one, "temperature": 0.0}, "temperature")
    yield refuses("a negative one", {"logits": one, "temperature": -1.0}, "temperature")
    if draw.hidden:
        yield case("many rows", draw.normal(20, 50, scale=5.0), 1.3)


@apply_temperature.misconception
def multiplies_by_the_temperature(logits, temperature):
    """You multiply, so that a high temperature sharpens. It is the other way round: divide, and a
    high temperature brings the logits closer together."""
    return logits * temperature


@apply_temperature.misconception
def divides_the_probabilities(logits, temperature):
    """You turn the logits into probabilities and divide those: all shrink alike, and nothing
    changes between them. Divide the logits."""
    return logits.softmax(-1) / temperature


@apply_temperature.misconception
def returns_probabilities(logits, temperature):
    """The division is right, and then you take softmax. A filter returns logits: other filters
    come after it, and softmax last of all, once."""
    return (logits / temperature).softmax(-1)


@apply_temperature.misconception
def raises_the_probabilities_to_a_power(logits, temperature):
    """On probabilities, temperature is the power 1 / T, and that is what you do. But this function
    gets logits and returns logits. There the power becomes a division."""
    return logits.softmax(-1) ** (1 / temperature)


@apply_temperature.misconception
def normalises_as_well(logits, temperature):
    """Your probabilities would be right, but these are not the logits divided by the temperature:
    `log_softmax` has moved them. A filter does its one thing and leaves the rest alone."""
    return logits.log_softmax(-1) / temperature


@apply_temperature.misconception
def normalises_afterwards(logits, temperature):
    """After the division you take `log_softmax`, which moves all the logits. The probabilities stay
    the same, but a filter does its one thing and leaves the rest alone."""
    return (logits / temperature).log_softmax(-1)


@apply_temperature.alternative
def by_the_inverse(logits, temperature):
    """Multiply by 1 / T."""
    return (1 / _positive(temperature)) * logits


@apply_temperature.alternative
def number_by_number(logits, temperature):
    """A loop over all numbers."""
    _positive(temperature)
    numbers = [value / temperature for value in logits.flatten().tolist()]
    return torch.tensor(numbers, dtype=logits.dtype).reshape(logits.shape)


def _positive(temperature):
    if temperature <= 0:
        raise ValueError("temperature must be positive")
    return temperature
