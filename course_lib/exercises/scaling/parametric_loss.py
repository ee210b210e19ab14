"""What `scaling.parametric_loss` demands."""

from __future__ import annotations

from course_lib import scaling
from course_lib.checks.exercise import Case, Exercise
from course_lib.scaling import ScalingLaw

parametric_loss = Exercise("scaling.parametric_loss", 1, scaling.parametric_loss)


@parametric_loss.cases
def _(draw):
    def case(about, n, d, params):
        return Case(about, {"n": n, "d": d, "params": params})

    yield case("numbers to do in the head", 4.0, 9.0, (1.0, 6.0, 12.0, 0.5, 0.5))
    yield case("two exponents", 16.0, 8.0, (0.5, 3.0, 5.0, 0.25, 2 / 3))
    yield case("the five numbers in a list", 16.0, 27.0, [0.5, 3.0, 5.0, 0.5, 1 / 3])
    law = ScalingLaw(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    yield case("a law", 70e9, 1.4e12, law)
    n, d = draw.normal(5).exp() * 1e4, draw.normal(5).exp() * 1e6
    yield case("many runs at once", n, d, (1.2, 40.0, 90.0, 0.45, 0.3))
    grid = {"n": n.double()[None], "d": d.double()[:, None]}
    yield case("every size with every length", grid["n"], grid["d"], law)
    if draw.hidden:
        yield case("single runs as tensors", n[0], d[1], [2.0, 7.0, 11.0, 0.2, 0.6])


def _five(params):
    if isinstance(params, ScalingLaw):
        return params.E, params.A, params.B, params.alpha, params.beta
    return tuple(params)


@parametric_loss.misconception
def leaves_out_what_cannot_be_removed(n, d, params):
    """This is what parameters and tokens can still win. The loss has a third part, E, that no model
    gets rid of."""
    _, A, B, alpha, beta = _five(params)
    return A / n**alpha + B / d**beta


@parametric_loss.misconception
def exchanges_the_exponents(n, d, params):
    """alpha belongs to the parameters N, beta to the tokens D; yours are the other way round."""
    E, A, B, alpha, beta = _five(params)
    return E + A / n**beta + B / d**alpha


@parametric_loss.misconception
def exchanges_the_factors(n, d, params):
    """A belongs to the parameters N, B to the tokens D; you have them the other way round."""
    E, A, B, alpha, beta = _five(params)
    return E + B / n**alpha + A / d**beta


@parametric_loss.misconception
def multiplies_where_it_should_divide(n, d, params):
    """In your law the loss grows with N and D. The powers stand below the bar of the fraction."""
    E, A, B, alpha, beta = _five(params)
    return E + A * n**alpha + B * d**beta


@parametric_loss.misconception
def raises_the_factor_too(n, d, params):
    """(A / N)^alpha raises A to the power as well. Only N is: A / N^alpha."""
    E, A, B, alpha, beta = _five(params)
    return E + (A / n) ** alpha + (B / d) ** beta


@parametric_loss.misconception
def takes_each_factor_with_its_exponent(n, d, params):
    """You read the five numbers as E, A, alpha, B, beta. Their order is E, A, B, alpha, beta."""
    E, A, alpha, B, beta = _five(params)
    return E + A / n**alpha + B / d**beta


@parametric_loss.misconception
def takes_numbers_only(n, d, params):
    """Five numbers work, a `ScalingLaw` does not: it has to be asked for its `E`, `A`, `B`, `alpha`
    and `beta`."""
    E, A, B, alpha, beta = params
    return E + A / n**alpha + B / d**beta


@parametric_loss.misconception
def knows_only_tuples_for_five_numbers(n, d, params):
    """You ask for a tuple, and five numbers in a list are taken for a `ScalingLaw`. Ask instead
    whether it is a `ScalingLaw`; all else is five numbers."""
    five = params if isinstance(params, tuple) else _attributes(params)
    E, A, B, alpha, beta = five
    return E + A / n**alpha + B / d**beta


def _attributes(params):
    return params.E, params.A, params.B, params.alpha, params.beta


@parametric_loss.misconception
def takes_laws_only(n, d, params):
    """A `ScalingLaw` works, five numbers do not: they have no attributes. Ask which of the two it
    is."""
    E, A, B, alpha, beta = _attributes(params)
    return E + A / n**alpha + B / d**beta


@parametric_loss.alternative
def with_negative_powers(n, d, params):
    E, A, B, alpha, beta = _five(params)
    return A * n**-alpha + B * d**-beta + E


@parametric_loss.alternative
def attribute_by_attribute(n, d, params):
    if not isinstance(params, ScalingLaw):
        params = ScalingLaw(*params)
    return params.E + params.A / n**params.alpha + params.B / d**params.beta
