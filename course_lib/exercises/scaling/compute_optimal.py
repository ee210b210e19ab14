"""What `scaling.compute_optimal` demands."""

from __future__ import annotations

import math

from course_lib import scaling
from course_lib.checks.exercise import Case, Exercise
from course_lib.scaling import ScalingLaw

compute_optimal = Exercise("scaling.compute_optimal", 3, scaling.compute_optimal, tolerance=1e-4)


@compute_optimal.cases
def _(draw):
    def case(about, budget, *constants):
        return Case(about, {"budget": budget, "law": ScalingLaw(*constants)})

    yield case("parameters and tokens count the same", 600.0, 1.0, 3.0, 3.0, 0.5, 0.5)
    yield case("tokens cost more", 6e4, 1.0, 2.0, 5.0, 0.5, 0.5)
    yield case("two exponents", 6e6, 1.0, 4.0, 4.0, 0.3, 0.6)
    yield case("Chinchilla's budget", 5.76e23, 1.69, 406.4, 410.7, 0.34, 0.28)
    A, B = draw.random.uniform(20, 60), draw.random.uniform(100, 900)
    alpha, beta = draw.random.uniform(0.2, 0.35), draw.random.uniform(0.4, 0.6)
    yield case("a law of a small sweep", 3e11, 1.3, A, B, alpha, beta)
    if draw.hidden:
        yield case("the exponents exchanged", 1e15, 0.4, A, B, beta, alpha)


def _optimum(budget, law, *, per=6, g=None, exponent=None):
    product, together = budget / per, law.alpha + law.beta
    if g is None:
        g = (law.alpha * law.A / (law.beta * law.B)) ** (1 / together)
    n = g * product ** (law.beta / together if exponent is None else exponent)
    return n, product / n


@compute_optimal.misconception
def forgets_that_a_token_costs_six(budget, law):
    """Your N times D is the whole budget. The budget is 6 N D, so N times D is a sixth of it."""
    return _optimum(budget, law, per=1)


@compute_optimal.misconception
def forgets_the_six_for_the_tokens(budget, law):
    """N is right. But with your D, 6 N D is six times the budget: D = C / 6 N."""
    n, _ = _optimum(budget, law)
    return n, budget / n


@compute_optimal.misconception
def exchanges_the_exponents_of_the_budget(budget, law):
    """N should grow like C^(beta / (alpha + beta)): a large beta means that tokens soon do their
    part, and the budget goes into parameters. You have alpha above the bar."""
    return _optimum(budget, law, exponent=law.alpha / (law.alpha + law.beta))


@compute_optimal.misconception
def turns_the_balance_round(budget, law):
    """G = (alpha A / (beta B))^(1 / (alpha + beta)). Yours has the fraction upside down, and gives
    parameters what belongs to tokens."""
    together = law.alpha + law.beta
    return _optimum(budget, law, g=(law.beta * law.B / (law.alpha * law.A)) ** (1 / together))


@compute_optimal.misconception
def balances_the_terms_themselves(budget, law):
    """At your optimum A / N^alpha equals B / D^beta. What must be equal is what one percent more of
    each would *gain*: alpha A / N^alpha and beta B / D^beta."""
    together = law.alpha + law.beta
    return _optimum(budget, law, g=(law.A / law.B) ** (1 / together))


@compute_optimal.misconception
def leaves_out_the_balance(budget, law):
    """The exponent is right, the factor is missing: without G = (alpha A / (beta B))^(1 / (alpha +
    beta)) the constants A and B have no say."""
    return _optimum(budget, law, g=1.0)


@compute_optimal.misconception
def leaves_the_root_out_of_the_balance(budget, law):
    """alpha A / (beta B) still has to be raised to 1 / (alpha + beta)."""
    return _optimum(budget, law, g=law.alpha * law.A / (law.beta * law.B))


@compute_optimal.misconception
def takes_twenty_tokens_for_each_parameter(budget, law):
    """You spend 20 tokens on each parameter, whatever the law says. That number is what one law
    gives for certain budgets; ask *this* law."""
    n = math.sqrt(budget / 120)
    return n, 20 * n


@compute_optimal.misconception
def shares_the_budget_evenly(budget, law):
    """You grow N and D with the square root of the budget. That is right only where alpha equals
    beta."""
    return _optimum(budget, law, exponent=0.5)


@compute_optimal.misconception
def returns_tokens_first(budget, law):
    """Both numbers are right, and they come in the wrong order: N first, then D."""
    return _optimum(budget, law)[::-1]


@compute_optimal.alternative
def by_bisection(budget, law):
    def parameters_gain_more(log_n):
        n = math.exp(log_n)
        d = budget / 6 / n
        return law.alpha * law.A / n**law.alpha > law.beta * law.B / d**law.beta

    low, high = -50.0, math.log(budget) + 50
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if parameters_gain_more(middle) else (low, middle)
    n = math.exp(low)
    return n, budget / 6 / n


@compute_optimal.alternative
def tokens_from_their_own_formula(budget, law):
    together = law.alpha + law.beta
    g = (law.alpha * law.A / law.beta / law.B) ** (1 / together)
    n = g * (budget / 6) ** (law.beta / together)
    return n, (budget / 6) ** (law.alpha / together) / g
