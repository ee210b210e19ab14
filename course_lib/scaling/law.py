"""The parametric law L(N, D) = E + A / N^alpha + B / D^beta, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from course_lib.arguments import check_arguments, positive
from course_lib.scaling.arrays import takes_arrays

CONSTANTS = ("E", "A", "B", "alpha", "beta")


@dataclass(frozen=True)
class ScalingLaw:
    """The constants of L(N, D) = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, equation 2).

    Attributes:
        E: the loss that is left with endless parameters and tokens; nats per token.
        A: how much a finite model costs.
        alpha: how quickly that falls with parameters.
        B: how much a finite text costs.
        beta: how quickly that falls with tokens.
        intervals: (low, high) of each constant by its name, 95 % of the refits; empty without.
        refits: the laws fitted to resampled runs, for intervals of whatever follows from a law.
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    refits: Sequence[ScalingLaw] = field(default=(), repr=False)


def parametric_loss(
    n: float | Tensor, d: float | Tensor, params: ScalingLaw | Sequence[float]
) -> float | Tensor:
    """The loss that a law predicts: E + A / N^alpha + B / D^beta, in nats per token.

    Args:
        n: parameters, a number or a tensor.
        d: tokens, likewise.
        params: a law, or the five numbers E, A, B, alpha, beta in this order.

    Raises:
        ValueError: `params` is neither.
    """
    if isinstance(params, ScalingLaw):
        params = (params.E, params.A, params.B, params.alpha, params.beta)
    if len(params) != 5:
        raise ValueError(f"params must be a law or E, A, B, alpha, beta, got {params}")

    E, A, B, alpha, beta = params
    return E + A / n**alpha + B / d**beta


def compute_optimal(budget: float, law: ScalingLaw) -> tuple[float, float]:
    """(N, D) with the lowest loss that a law predicts for a budget of 6 N D FLOPs.

    Along the budget, D = C / 6 N. The derivative of the loss is zero where
    alpha A / N^alpha = beta B / D^beta: a percent more parameters gains what a percent more tokens
    gains (Hoffmann et al. 2022, equation 4).

    Raises:
        ValueError: `budget` is not above 0, or the law has no optimum: A, B, alpha and beta must be
            above 0.
    """
    if not budget > 0:
        raise ValueError(f"budget must be above 0, got {budget}")
    four = {"A": law.A, "B": law.B, "alpha": law.alpha, "beta": law.beta}
    if not min(four.values()) > 0:
        raise ValueError(f"law must have A, B, alpha, beta above 0 to have an optimum, got {four}")

    product = budget / 6  # N D
    together = law.alpha + law.beta
    balance = (law.alpha * law.A / (law.beta * law.B)) ** (1 / together)
    n = balance * product ** (law.beta / together)
    return n, product / n


# Checked here, so that the functions above are what the exercises show.

parametric_loss = check_arguments(positive("n", "d", finite=False)(parametric_loss))
parametric_loss = takes_arrays(parametric_loss)
compute_optimal = check_arguments(positive("budget")(compute_optimal))
