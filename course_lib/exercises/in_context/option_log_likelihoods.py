"""What `in_context.option_log_likelihoods` demands."""

from __future__ import annotations

import math

import torch

from course_lib import in_context
from course_lib.checks.exercise import Case, Exercise, refuses

option_log_likelihoods = Exercise(
    "in_context.option_log_likelihoods",
    points=3,
    reference=in_context.option_log_likelihoods,
    tolerance=1e-4,
)


def _toy_model(table):
    """Each token that was read adds its row of the table to the logits: it looks back only."""
    return lambda ids: table[ids].cumsum(dim=1)


def _score(solution, table, prompt, options):
    return solution(_toy_model(table), prompt, options)


@option_log_likelihoods.cases
def _(draw):
    def case(about, table, prompt, *options):
        arguments = {"table": table, "prompt": prompt, "options": [list(o) for o in options]}
        return Case(about, arguments, _score)

    def table(vocab=6):
        return draw.normal(vocab, vocab, scale=1.5)

    first, second, third, fourth = (draw.permutation(5)[:4] + 1).tolist()
    yield case("a prompt of one token, options of one", table(), [first], [second], [third])
    yield case("one option of two tokens", table(), [first], [second, third])
    yield case("a longer prompt", table(), [first, second, third], [first], [second], [fourth])
    yield case(
        "two options of two tokens", table(), [third, first], [second, third], [first, fourth]
    )
    yield case(
        "options of different length", table(), [first, third], [second], [third, fourth, first],
        [fourth, second],
    )  # fmt: skip
    yield case("an option that begins another", table(), [second], [first], [first, third])
    yield case("the token 0 in an option", table(), [first], [0], [second, 0], [0, 0, third])
    yield case("an option that is there twice", table(), [first, 0], [third], [third])
    impossible = table()
    impossible[:, 0] = -math.inf
    yield case(
        "a model that never says 0", impossible, [second, first], [first], [third, second, fourth]
    )
    yield case("logits in the hundreds", 40 * table(), [first], [second], [third, fourth])
    faint = table()
    faint[:, second] -= 300
    yield case("a token that is all but impossible", faint, [first], [second], [third, second])
    double = table().double()
    yield case("double precision", double, [first, second], [third, first], [fourth])
    model = _toy_model(table())
    arguments = {"model": model, "prompt": [], "options": [[1], [2]]}
    yield refuses("an empty prompt", arguments, "prompt")
    if draw.hidden:
        options = [draw.ids(9, n).tolist() for n in (3, 1, 4, 2, 5, 1)]
        yield case("many options", table(9), draw.ids(9, 7).tolist(), *options)


def _token_scores(model, prompt, options, *, shift=1, start=None):
    """For each option its tokens' log-probabilities; `shift` and `start` can be wrong."""
    start = len(prompt) if start is None else start
    rows = []
    for option in options:
        ids = torch.tensor([[*prompt, *option]])
        log_probs = model(ids).log_softmax(-1)[0]
        places = torch.arange(start, ids.shape[1])
        rows.append(log_probs[places - shift, ids[0, start:]])
    return rows


@option_log_likelihoods.misconception
def looks_one_place_too_far(model, prompt, options):
    """You read a token's score at its own place. What the model says there is about the *next*
    token; the token at place t is scored at place t - 1."""
    return torch.stack([row.sum() for row in _token_scores(model, prompt, options, shift=0)])


@option_log_likelihoods.misconception
def takes_the_mean(model, prompt, options):
    """You divide by the number of tokens. That is a common remedy for the bias toward short
    options, but here the log-likelihood itself is asked for: the sum."""
    return torch.stack([row.mean() for row in _token_scores(model, prompt, options)])


@option_log_likelihoods.misconception
def scores_only_the_first_token(model, prompt, options):
    """Only the first token of each option is scored. Options that begin alike would be equal: all
    tokens count, each after those before it."""
    return torch.stack([row[0] for row in _token_scores(model, prompt, options)])


@option_log_likelihoods.misconception
def scores_only_the_last_token(model, prompt, options):
    """Only the last token of each option is scored. All tokens count, each after those before
    it."""
    return torch.stack([row[-1] for row in _token_scores(model, prompt, options)])


@option_log_likelihoods.misconception
def scores_the_prompt_as_well(model, prompt, options):
    """You add up the prompt's own tokens too. They are given: what counts begins with the option's
    first token."""
    return torch.stack([row.sum() for row in _token_scores(model, prompt, options, start=1)])


@option_log_likelihoods.misconception
def skips_the_first_token(model, prompt, options):
    """The first token of each option is missing from the sum. It is scored by what the model says
    at the prompt's last place."""
    start = len(prompt) + 1
    return torch.stack([r.sum() for r in _token_scores(model, prompt, options, start=start)])


@option_log_likelihoods.misconception
def adds_up_logits(model, prompt, options):
    """You add up logits. They have no fixed zero, so they cannot be compared between places: take
    `log_softmax` along the vocabulary first."""
    return torch.stack(
        [row.sum() for row in _token_scores(lambda ids: _Raw(model(ids)), prompt, options)]
    )


class _Raw:
    """Logits whose `log_softmax` does nothing."""

    def __init__(self, logits):
        self.logits = logits

    def log_softmax(self, dim):
        return self.logits


@option_log_likelihoods.misconception
def normalises_over_the_places(model, prompt, options):
    """Your `log_softmax` runs over the places of the text. It should run over the vocabulary, the
    last axis: at each place the ids share out one probability."""
    return torch.stack(
        [
            row.sum()
            for row in _token_scores(lambda i: _Raw(model(i).log_softmax(1)), prompt, options)
        ]
    )


@option_log_likelihoods.misconception
def takes_the_log_of_a_softmax(model, prompt, options):
    """Softmax first, then log: where logits lie far apart a probability is rounded to 0, and log 0
    is minus infinity. `log_softmax` does both at once."""
    rows = _token_scores(lambda i: _Raw(model(i).softmax(-1).log()), prompt, options)
    return torch.stack([row.sum() for row in rows])


@option_log_likelihoods.misconception
def counts_in_bits(model, prompt, options):
    """Yours are logarithms to base 2. This course counts in nats, with the natural logarithm."""
    return torch.stack([row.sum() for row in _token_scores(model, prompt, options)]) / math.log(2)


@option_log_likelihoods.misconception
def turns_the_sign(model, prompt, options):
    """Yours are positive: a log-likelihood is the logarithm of a probability, never above 0. With
    the sign turned it is a loss."""
    return -torch.stack([row.sum() for row in _token_scores(model, prompt, options)])


@option_log_likelihoods.misconception
def adds_up_probabilities(model, prompt, options):
    """You add up probabilities. The probability of all tokens together is their *product*; it is
    logarithms that are added."""
    return torch.stack([row.exp().sum() for row in _token_scores(model, prompt, options)])


@option_log_likelihoods.misconception
def returns_probabilities(model, prompt, options):
    """These are probabilities. Log-likelihoods are asked for: of a long option the probability is
    soon too small for a float."""
    return torch.stack([row.sum().exp() for row in _token_scores(model, prompt, options)])


@option_log_likelihoods.misconception
def compares_the_options_with_each_other(model, prompt, options):
    """You normalise over the options, so that they sum to one. Each has a likelihood of its own,
    among all texts there are; whoever calls may compare them."""
    sums = torch.stack([row.sum() for row in _token_scores(model, prompt, options)])
    return sums.log_softmax(0)


@option_log_likelihoods.misconception
def scores_every_token_after_the_prompt_alone(model, prompt, options):
    """You score all the option's tokens with what the model says after the prompt. The second token
    comes after the first: the option has to be read as well."""
    last = model(torch.tensor([[*prompt]])).log_softmax(-1)[0, -1]
    return torch.stack([last[torch.tensor(option)].sum() for option in options])


@option_log_likelihoods.misconception
def counts_the_padding(model, prompt, options):
    """Shorter options are filled up to the longest, and you count the filling as if it were text.
    Add up only as many scores as the option has tokens."""
    longest = max(map(len, options))
    padded = [[*option, *[0] * (longest - len(option))] for option in options]
    return torch.stack([row.sum() for row in _token_scores(model, prompt, padded)])


@option_log_likelihoods.misconception
def multiplies_the_padding_by_zero(model, prompt, options):
    """Multiplying by a mask of zeros and ones works until a score is -inf: 0 times -inf is NaN. Cut
    the padding off, or use `masked_fill` or `where`."""
    longest = max(map(len, options))
    padded = [[*option, *[0] * (longest - len(option))] for option in options]
    mask = [[1.0] * len(option) + [0.0] * (longest - len(option)) for option in options]
    scores = torch.stack(_token_scores(model, prompt, padded))
    return (scores * torch.tensor(mask).to(scores.dtype)).sum(-1)


@option_log_likelihoods.alternative
def one_option_at_a_time(model, prompt, options):
    """No batch, no padding."""
    if not prompt:
        raise ValueError("prompt must not be empty")
    return torch.stack([row.sum() for row in _token_scores(model, prompt, options)])


@option_log_likelihoods.alternative
def with_a_mask(model, prompt, options):
    """All at once; the padding is filled with 0 after the log-probabilities are read."""
    if not prompt:
        raise ValueError("prompt must not be empty")
    lengths = torch.tensor([len(option) for option in options])
    rows = [torch.tensor([*prompt, *option]) for option in options]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    log_probs = model(ids)[:, :-1].log_softmax(-1)
    scores = log_probs.gather(-1, ids[:, 1:, None])[..., 0][:, len(prompt) - 1 :]
    outside = torch.arange(scores.shape[1]) >= lengths[:, None]
    return scores.masked_fill(outside, 0.0).sum(-1)
