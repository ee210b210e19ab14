"""What `decoding.repetition_penalty` demands."""

from __future__ import annotations

import torch

from course_lib import decoding
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.exercises.decoding.shared import INF

repetition_penalty = Exercise(
    "decoding.repetition_penalty", points=2, reference=decoding.repetition_penalty
)


@repetition_penalty.cases
def _(draw):
    def case(about, logits, ids, penalty):
        return Case(about, {"logits": logits, "ids": torch.as_tensor(ids), "penalty": penalty})

    signed = torch.tensor([3.0, -3.0, 1.0, -1.0])
    yield case("a positive and a negative logit", signed, [0, 1], 2.0)
    yield case("a token that came three times", signed, [2, 2, 2], 1.5)
    yield case("a logit of 0", torch.tensor([0.0, 1.0, -1.0]), [0], 2.0)
    yield case("a penalty below 1", draw.normal(4), [1, 3], 0.5)
    yield case("a penalty of 1", draw.normal(4), [0, 1], 1.0)
    yield case("no text yet", draw.normal(3), torch.zeros(0, dtype=torch.int64), 2.0)
    rows = torch.tensor([[2.0, -1.0, 3.0, -2.0, 1.0], [-2.0, 1.0, -3.0, 2.0, 4.0]])
    yield case("a batch, each row with its own text", rows, [[0, 1, 0], [2, 3, 3]], 1.3)
    yield case("a batch of one row, a text of one token", rows[1:], [[3]], 1.5)
    blocked = torch.tensor([1.0, -INF, -2.0, 2.0])
    yield case("a token that is ruled out (-inf)", blocked, [1, 3, 2], 2.0)
    yield case("double precision", draw.normal(2, 6).double(), draw.ids(6, 2, 4), 1.2)
    one = {"logits": torch.tensor([1.0, 2.0]), "ids": torch.tensor([0])}
    yield refuses("a penalty of 0", {**one, "penalty": 0.0}, "penalty")
    outside = {**one, "ids": torch.tensor([5]), "penalty": 2.0}
    yield refuses("an id outside the vocabulary", outside, "ids")
    if draw.hidden:
        yield case("many rows", draw.normal(10, 50, scale=4.0), draw.ids(50, 10, 30), 1.25)


def _present(logits, ids):
    return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, ids, True)


def _counts(logits, ids):
    return torch.zeros_like(logits).scatter_add(-1, ids, torch.ones_like(ids).to(logits.dtype))


@repetition_penalty.misconception
def raises_negative_logits(logits, ids, penalty):
    """You divide every logit, as the formula in the paper says. But a negative one divided by 2
    comes *closer* to zero: the token becomes more likely. Multiply the negative ones."""
    return torch.where(_present(logits, ids), logits / penalty, logits)


@repetition_penalty.misconception
def penalises_each_time_it_came(logits, ids, penalty):
    """A token that came three times gets the penalty three times in yours. Here it counts once,
    however often the token came."""
    factor = penalty ** _counts(logits, ids)
    return torch.where(logits > 0, logits / factor, logits * factor)


@repetition_penalty.misconception
def subtracts_the_penalty(logits, ids, penalty):
    """You subtract. That is another recipe (a presence penalty, as some services offer it). Here
    positive logits are divided and negative ones multiplied."""
    return torch.where(_present(logits, ids), logits - penalty, logits)


@repetition_penalty.misconception
def subtracts_for_each_time_it_came(logits, ids, penalty):
    """You subtract the penalty for each time a token came. That is another recipe (a frequency
    penalty). Here positive logits are divided and negative ones multiplied, once."""
    counts = _counts(logits, ids)
    return torch.where(counts > 0, logits - penalty * counts, logits)


@repetition_penalty.misconception
def multiplies_what_is_positive(logits, ids, penalty):
    """The two cases are the wrong way round: yours makes repeated tokens *more* likely. Divide what
    is positive, multiply what is negative: both move the logit down."""
    higher = torch.where(logits > 0, logits * penalty, logits / penalty)
    return torch.where(_present(logits, ids), higher, logits)


@repetition_penalty.misconception
def raises_positive_logits(logits, ids, penalty):
    """You multiply every logit. For a negative one that is right; a positive one grows, and its
    token becomes more likely. Divide the positive ones."""
    return torch.where(_present(logits, ids), logits * penalty, logits)


@repetition_penalty.misconception
def forbids_what_came(logits, ids, penalty):
    """You rule out every token that came. The penalty only makes it less likely; most words of a
    text have to come again sooner or later."""
    return logits.masked_fill(_present(logits, ids), -INF)


@repetition_penalty.misconception
def mixes_the_texts_of_a_batch(logits, ids, penalty):
    """In yours a token is penalised in every row as soon as it came in one. Row i of `ids` is the
    text of row i of `logits` alone."""
    present = torch.zeros_like(logits, dtype=torch.bool)
    present[..., ids.unique()] = True
    lower = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(present, lower, logits)


@repetition_penalty.misconception
def penalises_everything(logits, ids, penalty):
    """Every logit gets the penalty, whether its token came or not. `ids` says which came."""
    return torch.where(logits > 0, logits / penalty, logits * penalty)


@repetition_penalty.misconception
def penalises_what_did_not_come(logits, ids, penalty):
    """You penalise the tokens that are *not* in the text. It is the others that repeat."""
    lower = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(_present(logits, ids), logits, lower)


@repetition_penalty.misconception
def penalises_the_probabilities(logits, ids, penalty):
    """You turn the logits into (log-)probabilities first. Those have no zero in the middle, so the
    rule for positive and negative means something else. Penalise the logits as they are."""
    log_probs = logits.log_softmax(-1)
    return torch.where(_present(logits, ids), log_probs * penalty, log_probs)


@repetition_penalty.alternative
def gather_and_scatter(logits, ids, penalty):
    """Fetch what came, change it, put it back; twice the same value does no harm."""
    _check_penalty(logits, ids, penalty)
    came = logits.gather(-1, ids)
    return logits.scatter(-1, ids, torch.where(came < 0, came * penalty, came / penalty))


@repetition_penalty.alternative
def with_sets(logits, ids, penalty):
    """A set of ids for each row."""
    _check_penalty(logits, ids, penalty)
    out = logits.clone()
    for row, text in zip(torch.atleast_2d(out), torch.atleast_2d(ids), strict=True):
        for id in set(text.tolist()):
            row[id] = row[id] / penalty if row[id] > 0 else row[id] * penalty
    return out


def _check_penalty(logits, ids, penalty):
    if penalty <= 0:
        raise ValueError("penalty must be positive")
    if ids.numel() and (ids.min() < 0 or ids.max() >= logits.shape[-1]):
        raise ValueError("ids must lie in the vocabulary")
