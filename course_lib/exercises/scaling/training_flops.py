"""What `scaling.training_flops` demands."""

from __future__ import annotations

from course_lib import scaling
from course_lib.checks.exercise import Case, Exercise

training_flops = Exercise("scaling.training_flops", 1, scaling.training_flops)


@training_flops.cases
def _(draw):
    yield Case("two parameters, five tokens", {"n_params": 2, "n_tokens": 5})
    yield Case("a small model", {"n_params": 8912.0, "n_tokens": draw.random.uniform(1e5, 1e7)})
    yield Case("Chinchilla", {"n_params": 70e9, "n_tokens": 1.4e12})
    if draw.hidden:
        large = {"n_params": draw.random.uniform(1e9, 1e12), "n_tokens": 3e12}
        yield Case("a large model", large)


@training_flops.misconception
def counts_the_way_forward_only(n_params, n_tokens):
    """2 N D is the way forward. A training also goes back, and that costs twice as much again: a
    gradient for the weights and one for what came in."""
    return 2.0 * n_params * n_tokens


@training_flops.misconception
def counts_the_way_back_once(n_params, n_tokens):
    """Your way back costs as much as the way forward. But it makes two products where the way
    forward made one: the gradient of the weights, and that of what came in."""
    return 4.0 * n_params * n_tokens


@training_flops.misconception
def counts_a_multiplication_with_its_addition_as_one(n_params, n_tokens):
    """You count one operation for each multiply-and-add. A FLOP is one operation on numbers: the
    multiplication is one, the addition another."""
    return 3.0 * n_params * n_tokens


@training_flops.misconception
def goes_forward_twice(n_params, n_tokens):
    """8 N D is what a training costs that saves memory by computing the way forward a second time
    on the way back. The plain training, and the C of all scaling laws, is without it."""
    return 8.0 * n_params * n_tokens


@training_flops.misconception
def multiplies_parameters_by_tokens(n_params, n_tokens):
    """Each token meets each parameter: N D meetings. Now count the operations in one meeting, on
    the way forward and on the way back."""
    return float(n_params * n_tokens)


@training_flops.alternative
def pass_by_pass(n_params, n_tokens):
    forward = 2 * n_params * n_tokens
    return float(forward + 2 * forward)


@training_flops.alternative
def per_token(n_params, n_tokens):
    return n_tokens * (6.0 * n_params)
