"""What `decoding.sample` demands."""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib import decoding
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.checks.report import in_words
from course_lib.exercises.decoding.shared import INF, fits, seeded

sample = Exercise("decoding.sample", points=1, reference=decoding.sample, tolerance=0.0)


def _drawn(solution, logits, seed):
    """The ids, as a tensor: one id may also come as a Python number."""
    ids = solution(logits, seeded(seed))
    return torch.tensor(ids) if type(ids) is int else ids


def _shares_fit(solution, row, equal_rows, seed):
    """Draw one row of logits many times, as a batch."""
    got = solution(row.expand(equal_rows, -1), seeded(seed))
    if not isinstance(got, Tensor) or got.numel() != equal_rows:
        raise TypeError(f"sample must return one id for each row, got {in_words(got)}")
    counts = got.flatten().bincount(minlength=len(row))
    shares = " ".join(f"{share:.2f}" for share in (counts / counts.sum()).tolist())
    wanted = " ".join(f"{prob:.2f}" for prob in row.softmax(-1).tolist())
    print(f"share of each id in {equal_rows} draws: {shares}\nsoftmax of a row: {wanted}")
    return {
        "as often as softmax says": fits(counts, row.softmax(-1)),
        "equal rows draw for themselves": len(got.unique()) > 1,
    }


def _follows_the_generator(solution, logits, seed):
    def calls(generator):
        rows = logits.expand(5, -1)
        return [solution(rows, generator).tolist() for _ in range(20)]

    state = torch.get_rng_state()
    first = calls(seeded(seed))
    return {
        "the same seed gives the same ids": first == calls(seeded(seed)),
        "the next call gives others": any(ids != first[0] for ids in first),
        "torch's own random numbers are left alone": torch.equal(state, torch.get_rng_state()),
    }


@sample.cases
def _(draw):
    def case(about, logits, observe):
        return Case(about, {"logits": logits, "seed": draw.random.randrange(10**6)}, observe)

    only = torch.full((5,), -INF)
    only[draw.random.randrange(5)] = 2.0
    yield case("one row with one possible token", only, _drawn)
    rows = torch.full((4, 5), -INF)
    rows[torch.arange(4), draw.permutation(5)[:4]] = torch.tensor([1.0, -3.0, 0.0, 200.0])
    yield case("a batch, one possible token in each row", rows, _drawn)
    yield case("a batch of a single row", rows[:1], _drawn)
    yield case("the same possible token in each row", only.expand(3, -1), _drawn)
    known = torch.tensor([0.1, 0.55, 0.35]).log()[draw.permutation(3)]
    some = torch.cat([torch.tensor([2.0, 1.0, 0.5]), torch.tensor([-INF])])[draw.permutation(4)]
    for about, row in (
        ("a batch of equal rows: probabilities 0.1, 0.35 and 0.55", known),
        ("a batch of equal rows: positive logits, and a token that is ruled out", some),
    ):
        arguments = {"row": row, "equal_rows": 1500, "seed": draw.random.randrange(10**6)}
        yield Case(about, arguments, _shares_fit)
    yield case("many draws", known, _follows_the_generator)
    nothing = torch.tensor([[0.0, 1.0], [-INF, -INF]])
    yield refuses("a row without a possible token", {"logits": nothing, "generator": None},
                  "logits")  # fmt: skip


@sample.misconception
def takes_the_best(logits, generator):
    """You always take the most likely token. That is greedy; sampling takes each token as often as
    its probability says."""
    return logits.argmax(-1)


@sample.misconception
def ignores_the_generator(logits, generator):
    """You draw from torch's own random numbers. Hand `generator` on to what draws: then the same
    seed gives the same text, whatever else is drawn in between."""
    return torch.multinomial(logits.softmax(-1), 1).squeeze(-1)


@sample.misconception
def starts_the_generator_anew(logits, generator):
    """Every call draws the same: you seed inside the function. Take the numbers from the generator
    you are given; it moves on by itself."""
    return torch.multinomial(logits.softmax(-1), 1, generator=seeded(0)).squeeze(-1)


@sample.misconception
def forgets_the_softmax(logits, generator):
    """`multinomial` wants probabilities, or at least weights that are not negative. Logits are
    neither: take softmax first."""
    return torch.multinomial(logits, 1, generator=generator).squeeze(-1)


@sample.misconception
def keeps_an_axis_of_one(logits, generator):
    """The ids come in an axis of size 1, as `multinomial` gives them. Take it off: [batch, vocab]
    becomes [batch], and [vocab] becomes one id."""
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)


@sample.misconception
def squeezes_a_batch_of_one(logits, generator):
    """A batch of one row comes back without its batch axis: `squeeze()` takes off every axis of
    size 1. Tell it which one: the last."""
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze()


@sample.misconception
def draws_every_possible_token_equally(logits, generator):
    """Every token that is not ruled out is equally likely in yours. Use the probabilities that
    softmax gives."""
    possible = (logits > -INF).to(logits.dtype)
    return torch.multinomial(possible, 1, generator=generator).squeeze(-1)


@sample.misconception
def throws_once_for_the_whole_batch(logits, generator):
    """All rows share one random number, so equal rows always draw the same token. Each row needs
    its own."""
    chance = torch.rand((), generator=generator, dtype=torch.float64)
    total = logits.double().softmax(-1).cumsum(-1)
    return (total <= chance * total[..., -1:]).sum(-1)


@sample.misconception
def takes_softmax_over_the_batch(logits, generator):
    """Your softmax goes over the first axis, so the texts of a batch share out each token among
    them. The probabilities of one text lie along the last axis."""
    return torch.multinomial(logits.softmax(0), 1, generator=generator).squeeze(-1)


@sample.alternative
def a_dart_at_a_line(logits, generator):
    """Lay the probabilities end to end on a line, throw a dart, see where it sticks."""
    _some_possible(logits)
    total = logits.double().softmax(-1).cumsum(-1)
    dart = torch.rand((*logits.shape[:-1], 1), generator=generator, dtype=torch.float64)
    return (total <= dart * total[..., -1:]).sum(-1)


@sample.alternative
def noise_and_argmax(logits, generator):
    """The Gumbel-max trick: add noise of the right kind, take the best."""
    _some_possible(logits)
    noise = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
    return (logits - (-noise.clamp(min=1e-300).log()).log()).argmax(-1)


@sample.alternative
def row_after_row(logits, generator):
    """One draw at a time; a Python number for a single row."""
    _some_possible(logits)
    if logits.ndim == 1:
        return int(torch.multinomial(logits.softmax(-1), 1, generator=generator))
    return torch.tensor([row_after_row(row, generator) for row in logits])


def _some_possible(logits):
    if (logits == -INF).all(-1).any():
        raise ValueError("logits must leave a token possible")
