"""What `probability.greedy_next_token` demands."""

from __future__ import annotations

import math

import torch

from course_lib import probability
from course_lib.checks.exercise import Case, Exercise

greedy_next_token = Exercise(
    "probability.greedy_next_token", points=1, reference=probability.greedy_next_token
)


@greedy_next_token.cases
def _(draw):
    def case(about, logits):
        return Case(about, {"logits": logits})

    def shuffled(*values):
        return torch.tensor(values)[draw.permutation(len(values))]

    yield case("four tokens", shuffled(-1.5, 0.5, 1.0, 2.5))
    negative = shuffled(-4.0, -3.0, -2.5, -7.0)
    yield case("only negative logits", torch.cat([torch.tensor([-9.0]), negative]))
    yield case("a large negative one", shuffled(3.0, -8.0, 0.5, 1.0))
    yield case("two that are equally high", torch.tensor([0.0, 2.0, 1.0, 2.0]))
    yield case("all equal", torch.zeros(5))
    yield case("a vocabulary of one", torch.tensor([-2.0]))
    hundreds = torch.cat([torch.tensor([120.0]), shuffled(100.0, 150.0, 250.0, 300.0)])
    yield case("logits in the hundreds", hundreds)
    blocked = draw.normal(6)
    blocked[:3] = -math.inf
    yield case("some tokens ruled out (-inf)", blocked)
    yield case("double precision", draw.normal(5).double())
    ties = 1.0 * draw.ids(2, 300)
    yield case("three hundred tokens, about half of them equally high", ties)
    yield case("many tokens", draw.normal(5000 if draw.hidden else 500))


@greedy_next_token.misconception
def returns_the_logit_instead_of_the_id(logits):
    """This is the highest logit itself. Asked for is where it stands: the id of the token."""
    return logits.max().item()


@greedy_next_token.misconception
def returns_the_logit_without_its_decimals(logits):
    """`int(logits.max())` is the highest logit itself, cut to a whole number. Asked for is where
    it stands: the id of the token."""
    return int(logits.max())


@greedy_next_token.misconception
def returns_a_tensor(logits):
    """The id is right, but still wrapped in a tensor. The signature promises an int: wrap it in
    `int(...)`, or call `.item()`."""
    return logits.argmax()


@greedy_next_token.misconception
def takes_the_last_of_equals(logits):
    """When several tokens share the highest logit you return the last of them; the exercise asks
    for the first. In a loop, `>` keeps the first and `>=` moves on to the last."""
    best = 0
    for id, logit in enumerate(logits.tolist()):
        if logit >= logits[best]:
            best = id
    return best


@greedy_next_token.misconception
def thinks_no_logit_is_below_zero(logits):
    """Your search starts from 0, so when every logit is negative nothing ever beats the start.
    Begin with the first logit, or with -inf."""
    best, highest = 0, 0.0
    for id, logit in enumerate(logits.tolist()):
        if logit > highest:
            best, highest = id, logit
    return best


@greedy_next_token.misconception
def takes_the_lowest(logits):
    """You return the token with the lowest logit. A higher logit means a more likely token."""
    return int(logits.argmin())


@greedy_next_token.misconception
def looks_at_the_size_without_the_sign(logits):
    """A logit of -8 is far from zero, but it means an unlikely token. Compare the logits
    themselves, not their absolute values."""
    return int(logits.abs().argmax())


@greedy_next_token.misconception
def overflows_on_the_way_to_probabilities(logits):
    """`exp` of a logit in the hundreds is infinite, and inf / inf is not a number. The detour is
    not needed: probabilities have the same order as the logits they come from."""
    probabilities = logits.exp() / logits.exp().sum()
    return int(probabilities.argmax())


@greedy_next_token.misconception
def counts_ids_from_one(logits):
    """You are one off: ids count from 0, like positions in a Python list."""
    return int(logits.argmax()) + 1


@greedy_next_token.misconception
def leaves_blocked_tokens_out_of_the_count(logits):
    """You leave out tokens whose logit is -inf and count ids among the others only. An id is a
    place in all of `logits`."""
    return int(logits[logits > -math.inf].argmax())


@greedy_next_token.alternative
def as_a_plain_loop(logits):
    """A search from left to right; `>` keeps the first of equals."""
    best = 0
    for id in range(len(logits)):
        if logits[id] > logits[best]:
            best = id
    return best


@greedy_next_token.alternative
def through_a_python_list(logits):
    """`index` finds the first of equals."""
    values = logits.tolist()
    return values.index(max(values))


@greedy_next_token.alternative
def through_probabilities(logits):
    """A stable softmax keeps the order."""
    return logits.softmax(0).argmax().item()
