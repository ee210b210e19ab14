"""What `probability.chain_rule_log_prob` demands."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from course_lib import probability
from course_lib.checks.exercise import Case, Exercise

chain_rule_log_prob = Exercise(
    "probability.chain_rule_log_prob",
    points=2,
    reference=probability.chain_rule_log_prob,
    tolerance=1e-4,  # room for a sum of hundreds of terms in float32, in any order
)


@chain_rule_log_prob.cases
def _(draw):
    def case(about, log_probs, ids):
        return Case(about, {"next_token_log_probs": log_probs, "ids": ids})

    def log_probs(time, vocab, scale=1.0):
        return draw.normal(time, vocab, scale=scale).log_softmax(-1)

    by_hand = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]]).log()
    yield case("two tokens, three to choose from", by_hand, torch.tensor([0, 1]))
    yield case("one token", log_probs(1, 4), draw.ids(4, 1))
    yield case("a vocabulary of one", log_probs(2, 1), draw.ids(1, 2))
    yield case("no token at all", log_probs(0, 3), draw.ids(3, 0))
    yield case("a longer text", log_probs(5, 4), draw.ids(4, 5))
    yield case("more tokens to choose from than there are steps", log_probs(3, 9), draw.ids(9, 3))
    yield case("one token, again and again", log_probs(4, 5), draw.ids(5, 1).repeat(4))
    impossible = torch.tensor([[0.25, 0.75, 0.0], [0.5, 0.0, 0.5]]).log()
    yield case("an impossible token came", impossible, torch.tensor([1, 1]))
    yield case("impossible tokens that did not come", impossible, torch.tensor([1, 2]))
    certain = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).log()
    yield case("every token was certain", certain, torch.tensor([1, 0]))
    yield case("double precision", log_probs(3, 4).double(), draw.ids(4, 3))
    time = 800 if draw.hidden else 300
    yield case("a text of hundreds of tokens", log_probs(time, 7, scale=2.0), draw.ids(7, time))


def _came(log_probs, ids):
    return log_probs[torch.arange(len(ids)), ids]


@chain_rule_log_prob.misconception
def multiplies_until_nothing_is_left(next_token_log_probs, ids):
    """You multiply probabilities and take the logarithm at the end. The product of hundreds of
    numbers below 1 is too small for a float and becomes 0. Add the logarithms instead."""
    return _came(next_token_log_probs, ids).exp().prod().log().item()


@chain_rule_log_prob.misconception
def returns_the_probability(next_token_log_probs, ids):
    """This is the probability of the text. Return its logarithm: leave out the last `exp`."""
    return _came(next_token_log_probs, ids).sum().exp().item()


@chain_rule_log_prob.misconception
def takes_the_mean(next_token_log_probs, ids):
    """You return the mean over the tokens. The probability of the whole text is a product, so its
    logarithm is the sum."""
    return _came(next_token_log_probs, ids).mean().item()


@chain_rule_log_prob.misconception
def leaves_out_the_first_token(next_token_log_probs, ids):
    """The sum begins with the second token. The first one counts too: row 0 says how likely each
    token is at the very beginning."""
    return _came(next_token_log_probs[1:], ids[1:]).sum().item()


@chain_rule_log_prob.misconception
def leaves_out_the_last_token(next_token_log_probs, ids):
    """The sum ends before the last token: `range(len(ids))` runs up to the last place already,
    without a -1. Every token counts."""
    return _came(next_token_log_probs[:-1], ids[:-1]).sum().item()


@chain_rule_log_prob.misconception
def reads_the_row_after(next_token_log_probs, ids):
    """You read the probability of a token from the row behind its own. Row t is what the model
    said before it saw `ids[t]`, so row t belongs with `ids[t]`."""
    return _came(next_token_log_probs[1:], ids[:-1]).sum().item()


@chain_rule_log_prob.misconception
def takes_the_logarithm_twice(next_token_log_probs, ids):
    """The table holds logarithms already, and you take the logarithm of them again. They are not
    above 0, so that has no value. Add them as they are."""
    return _came(next_token_log_probs, ids).log().sum().item()


@chain_rule_log_prob.misconception
def measures_in_bits(next_token_log_probs, ids):
    """Your logarithm has base 2, so this is measured in bits. Asked for are nats, the natural
    logarithm, in which the table is written already."""
    return _came(next_token_log_probs, ids).sum().item() / math.log(2)


@chain_rule_log_prob.misconception
def shifts_by_one(next_token_log_probs, ids):
    """You read the probability of a token from the row before its own. Row t is already what the
    model said *before* it saw `ids[t]`, so row t belongs with `ids[t]`."""
    return _came(next_token_log_probs[:-1], ids[1:]).sum().item()


@chain_rule_log_prob.misconception
def takes_every_id_from_every_row(next_token_log_probs, ids):
    """`[:, ids]` picks all the ids from each of the rows: a whole square of numbers. Needed is one
    number per row: from row 0 the entry `ids[0]`, from row 1 the entry `ids[1]`, and so on."""
    return next_token_log_probs[:, ids].sum().item()


@chain_rule_log_prob.misconception
def adds_up_the_whole_table(next_token_log_probs, ids):
    """You add all entries of the table, whatever the `ids`. From each row only one entry counts:
    that of the token that came."""
    return next_token_log_probs.sum().item()


@chain_rule_log_prob.misconception
def follows_the_most_likely_tokens(next_token_log_probs, ids):
    """You take the highest entry of each row: that scores the model's favourite text. Take the
    entry of the token that came, likely or not."""
    return next_token_log_probs.max(dim=1).values.sum().item()


@chain_rule_log_prob.misconception
def turns_the_sign(next_token_log_probs, ids):
    """The number is right, the sign is not. A loss is minus the log-probability; asked for is
    the log-probability itself, which is never above 0."""
    return F.nll_loss(next_token_log_probs, ids, reduction="sum").item()


@chain_rule_log_prob.misconception
def multiplies_zero_by_infinity(next_token_log_probs, ids):
    """Multiplying by zeros and ones goes wrong when a token that did not come has log-probability
    -inf: 0 times -inf is not a number. Pick the entries that count instead."""
    one_hot = F.one_hot(ids, next_token_log_probs.shape[1])
    return (one_hot * next_token_log_probs).sum().item()


@chain_rule_log_prob.misconception
def returns_a_tensor_instead_of_a_float(next_token_log_probs, ids):
    """The value is right, but it is a tensor. The signature promises a float: add `.item()`."""
    return _came(next_token_log_probs, ids).sum()


@chain_rule_log_prob.misconception
def adds_tensors_in_a_loop(next_token_log_probs, ids):
    """Each entry you add is a tensor with one number, so the sum is a tensor too (and the int 0
    for an empty text). The signature promises a float: start from 0.0 and add `.item()`s."""
    total = 0
    for t, id in enumerate(ids):
        total += next_token_log_probs[t, id]
    return total


@chain_rule_log_prob.misconception
def starts_from_an_int(next_token_log_probs, ids):
    """For an empty text nothing is added, and the int 0 comes back that you started from. The
    signature promises a float: start from 0.0."""
    total = 0
    for t, id in enumerate(ids):
        total += next_token_log_probs[t, id].item()
    return total


@chain_rule_log_prob.misconception
def returns_inside_the_loop(next_token_log_probs, ids):
    """Your function returns within its loop, so it ends after the first token. Move the `return`
    to the left, behind the loop."""
    total = 0.0
    for t, id in enumerate(ids):
        total += next_token_log_probs[t, id].item()
        return total


@chain_rule_log_prob.misconception
def multiplies_the_logarithms(next_token_log_probs, ids):
    """You multiply the log-probabilities. Probabilities are multiplied; their logarithms are
    added."""
    return _came(next_token_log_probs, ids).prod().item()


@chain_rule_log_prob.alternative
def one_step_after_another(next_token_log_probs, ids):
    """The formula as a loop."""
    total = 0.0
    for row, id in zip(next_token_log_probs, ids, strict=True):
        total += row[id].item()
    return total


@chain_rule_log_prob.alternative
def with_gather(next_token_log_probs, ids):
    """`gather` picks one entry of each row; the sum stays in float32."""
    return next_token_log_probs.gather(1, ids.unsqueeze(1)).sum().item()


@chain_rule_log_prob.alternative
def as_a_loss_with_its_sign_turned(next_token_log_probs, ids):
    """torch's name for it is the negative log-likelihood."""
    return -F.nll_loss(next_token_log_probs, ids, reduction="sum").item()
