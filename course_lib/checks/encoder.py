"""Notebook 05: what each exercise demands."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import encoder, finetuning, objectives
from course_lib.checks.exercise import Case, Exercise, gradient_of

# --- mask_tokens ---------------------------------------------------------------------------

mask_tokens = Exercise(
    "encoder.mask_tokens",
    points=3,
    reference=objectives.mask_tokens,
    tolerance=0.03,  # shares of 10,000 tokens or more; right solutions differ by about 0.005
)


def _seeded(seed):
    return torch.Generator().manual_seed(seed)


def _read_and_labels(solution, ids, special_mask, mask_id, vocab_size, probability, seed):
    """As lists, in which ids must be equal and not only near."""
    read, labels = solution(ids, special_mask, mask_id, vocab_size, probability, _seeded(seed))
    return {"what the model reads": read.tolist(), "labels": labels.tolist()}


def _labels_alone(*arguments):
    return _read_and_labels(*arguments)["labels"]


def _share(which, among):
    return round(which[among].double().mean().item(), 3) if among.any() else 0.0


def _statistics(solution, ids, special_mask, mask_id, vocab_size, probability, seed):
    """What became of many tokens, in shares."""
    read, labels = solution(
        ids.clone(), special_mask, mask_id, vocab_size, probability, _seeded(seed)
    )
    chosen, ordinary = labels != -100, ~special_mask
    masked, same = read == mask_id, read == ids
    per_row = chosen.sum(1).double()
    expected_spread = math.sqrt(ids.shape[1] * probability * (1 - probability))
    return {
        "share of the ordinary tokens that is chosen (has a label)": _share(chosen, ordinary),
        "special tokens that are chosen": int((chosen & special_mask).sum()),
        "of the chosen, share that became the mask token": _share(masked, chosen),
        "of the chosen, share that became another id": _share(~masked & ~same, chosen),
        "of the chosen, share that stayed": _share(same, chosen),
        "tokens that are not chosen, but changed": int((~chosen & ~same).sum()),
        "labels that are not the original id": int((chosen & (labels != ids)).sum()),
        "the number of chosen tokens varies from row to row": bool(
            per_row.std() > 0.4 * expected_spread
        ),
        "rows are hidden at different places": bool((chosen != chosen[:1]).any()),
    }


def _replacements(solution, ids, special_mask, mask_id, vocab_size, probability, seed):
    """Which ids come in for a token, other than the mask token and the token itself."""
    read, _ = solution(ids.clone(), special_mask, mask_id, vocab_size, probability, _seeded(seed))
    others = read[(read != mask_id) & (read != ids)]
    return {
        f"share of id {i} among them": _share(others == i, torch.ones_like(others).bool())
        for i in range(vocab_size)
    }


def _chance(solution, ids, special_mask, mask_id, vocab_size, probability, seed):
    """Where the chance comes from."""

    def draw(generator, global_seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(global_seed)
            return solution(ids.clone(), special_mask, mask_id, vocab_size, probability, generator)

    def equal(one, other):
        return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))

    generator = _seeded(seed)
    first = draw(generator, 0)
    return {
        "the same seed gives the same result": equal(first, draw(_seeded(seed), 1)),
        "the generator goes on from call to call": not equal(first, draw(generator, 0)),
        "another seed gives another result": not equal(first, draw(_seeded(seed + 1), 0)),
        "dtypes": [str(tensor.dtype) for tensor in first],
    }


@mask_tokens.cases
def _(draw):
    vocab_size = draw.random.randrange(500, 1000)

    def case(about, observe, rows, columns, probability, special=0.2, ids=None, **others):
        ids = draw.ids(vocab_size, rows, columns) if ids is None else ids
        special_mask = torch.rand(ids.shape, generator=draw.generator) < special
        arguments = {"ids": ids, "special_mask": special_mask}
        arguments |= {"mask_id": draw.random.randrange(vocab_size), "vocab_size": vocab_size}
        arguments |= {"probability": probability, "seed": draw.random.randrange(10_000)}
        return Case(about, arguments | others, observe)

    yield case("probability 0: nothing is hidden", _read_and_labels, 2, 4, 0.0)
    yield case("probability 1: every ordinary token has a label", _labels_alone, 2, 5, 1.0)
    yield case("only special tokens", _read_and_labels, 2, 3, 1.0, special=1.1)
    yield case("where the chance comes from", _chance, 8, 30, 0.5)
    often = draw.random.uniform(0.45, 0.6)
    yield case("30,000 tokens, about half of them chosen", _statistics, 60, 500, often)
    yield case("40,000 tokens, no special ones, 30 % chosen", _statistics, 80, 500, 0.3, special=0)
    zeros, small = torch.zeros(200, 500, dtype=torch.int64), {"mask_id": 1, "vocab_size": 6}
    about = "100,000 times the same token: which ids replace it"
    yield case(about, _replacements, 200, 500, 1.0, special=0, ids=zeros, **small)


def _choose(ids, special_mask, probability, generator):
    """Which tokens, their labels, and a draw in 0 ... 1 for each that decides its fate."""
    draw = torch.rand(ids.shape, generator=generator)
    chosen = (draw < probability) & ~special_mask
    return chosen, ids.masked_fill(~chosen, -100), draw / max(probability, 1e-9)


def _hide(ids, chosen, draw, mask_id, random_ids):
    """80 / 10 / 10 by a draw in 0 ... 1."""
    ids = torch.where(chosen & (draw >= 0.8) & (draw < 0.9), random_ids, ids)
    return ids.masked_fill(chosen & (draw < 0.8), mask_id)


def _random_ids(ids, vocab_size, generator):
    return torch.randint(vocab_size, ids.shape, generator=generator)


@mask_tokens.misconception
def always_puts_the_mask_token(ids, special_mask, mask_id, vocab_size, probability, generator):
    """Every chosen token becomes the mask token. Only 80 % of them should: a tenth becomes a random
    id and a tenth stays, so that the model cannot rely on being told where to think."""
    chosen, labels, _ = _choose(ids, special_mask, probability, generator)
    return ids.masked_fill(chosen, mask_id), labels


@mask_tokens.misconception
def compares_the_draw_with_the_shares_themselves(
    ids, special_mask, mask_id, vocab_size, probability, generator
):
    """You compare the draw that chose the tokens with 0.8 and 0.9 themselves. The draws of chosen
    tokens all lie below `probability`, so (nearly) all of them fall below 0.8. Divide the draw by
    `probability` first, multiply the limits by it, or draw anew."""
    chosen, labels, draw = _choose(ids, special_mask, probability, generator)
    random_ids = _random_ids(ids, vocab_size, generator)
    return _hide(ids, chosen, draw * probability, mask_id, random_ids), labels


@mask_tokens.misconception
def takes_a_tenth_of_what_is_left(ids, special_mask, mask_id, vocab_size, probability, generator):
    """80 % become the mask token, as they should. The random ids then take a tenth of the *rest*,
    which is 2 % of the chosen ones. They should be a tenth of all chosen, half of the rest."""
    chosen, labels, draw = _choose(ids, special_mask, probability, generator)
    masked = chosen & (draw < 0.8)
    again = torch.rand(ids.shape, generator=generator)
    replaced = chosen & ~masked & (again < 0.1)
    random_ids = _random_ids(ids, vocab_size, generator)
    return torch.where(replaced, random_ids, ids).masked_fill(masked, mask_id), labels


@mask_tokens.misconception
def leaves_no_chosen_token_as_it_is(ids, special_mask, mask_id, vocab_size, probability, generator):
    """80 % become the mask token and all the others a random id. One tenth of the chosen tokens
    should stay as they are, with a label all the same."""
    chosen, labels, draw = _choose(ids, special_mask, probability, generator)
    random_ids = _random_ids(ids, vocab_size, generator)
    ids = torch.where(chosen & (draw >= 0.8), random_ids, ids)
    return ids.masked_fill(chosen & (draw < 0.8), mask_id), labels


@mask_tokens.misconception
def puts_no_random_ids(ids, special_mask, mask_id, vocab_size, probability, generator):
    """80 % become the mask token and all the others stay. One tenth of the chosen tokens should
    become a random id."""
    chosen, labels, draw = _choose(ids, special_mask, probability, generator)
    return ids.masked_fill(chosen & (draw < 0.8), mask_id), labels


@mask_tokens.misconception
def labels_only_the_mask_tokens(ids, special_mask, mask_id, vocab_size, probability, generator):
    """Only what became the mask token has a label. The random ones and those that stayed were
    chosen as well, and the model is asked about them too."""
    chosen, _, draw = _choose(ids, special_mask, probability, generator)
    read = _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, generator))
    return read, ids.masked_fill(~(chosen & (draw < 0.8)), -100)


@mask_tokens.misconception
def labels_everything(ids, special_mask, mask_id, vocab_size, probability, generator):
    """Your labels are all ids of the text. The model would be paid mostly for copying what it can
    see; give -100 to every token that was not chosen."""
    chosen, _, draw = _choose(ids, special_mask, probability, generator)
    read = _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, generator))
    return read, ids.clone()


@mask_tokens.misconception
def labels_with_0_what_was_not_chosen(
    ids, special_mask, mask_id, vocab_size, probability, generator
):
    """Your labels are 0 where nothing was chosen. But 0 is an id like any other, and the loss would
    count it. What does not count is -100."""
    chosen, labels, draw = _choose(ids, special_mask, probability, generator)
    read = _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, generator))
    return read, labels.masked_fill(~chosen, 0)


@mask_tokens.misconception
def labels_what_was_not_chosen(ids, special_mask, mask_id, vocab_size, probability, generator):
    """Your labels are the wrong way round: -100 stands at the chosen tokens and the ids at all
    others. The model is asked about the chosen ones."""
    chosen, _, draw = _choose(ids, special_mask, probability, generator)
    read = _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, generator))
    return read, ids.masked_fill(chosen, -100)


@mask_tokens.misconception
def takes_the_labels_after_hiding(ids, special_mask, mask_id, vocab_size, probability, generator):
    """Your labels are what the model reads, mask token and all, so there is nothing to guess. Take
    them from the original ids, before anything is hidden."""
    chosen, _, draw = _choose(ids, special_mask, probability, generator)
    read = _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, generator))
    return read, read.masked_fill(~chosen, -100)


@mask_tokens.misconception
def hides_special_tokens_too(ids, special_mask, mask_id, vocab_size, probability, generator):
    """Special tokens and padding are chosen as well. They carry no meaning to guess;
    `special_mask` says which they are."""
    chosen, labels, draw = _choose(ids, special_mask & False, probability, generator)
    return _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, generator)), labels


@mask_tokens.misconception
def hides_only_special_tokens(ids, special_mask, mask_id, vocab_size, probability, generator):
    """You choose among the special tokens and leave the words alone. True in `special_mask` means
    special: use `~special_mask`."""
    chosen, labels, draw = _choose(ids, ~special_mask, probability, generator)
    return _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, generator)), labels


@mask_tokens.misconception
def chooses_the_same_places_in_every_row(
    ids, special_mask, mask_id, vocab_size, probability, generator
):
    """One row of draws serves all texts, so the same places are hidden in each. Draw for every
    token of every row: give `torch.rand` the shape of ids."""
    row = torch.rand(ids.shape[1], generator=generator)
    draw = row.expand(ids.shape) / max(probability, 1e-9)
    chosen = (row < probability).expand(ids.shape) & ~special_mask
    read = _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, generator))
    return read, ids.masked_fill(~chosen, -100)


@mask_tokens.misconception
def chooses_equally_many_in_every_row(
    ids, special_mask, mask_id, vocab_size, probability, generator
):
    """You choose a fixed number of tokens in each row. (BERT's own program did so as well.) Here
    every token is chosen independently of all others, so the number varies."""
    order = torch.rand(ids.shape, generator=generator).masked_fill(special_mask, 2.0).argsort(1)
    rank = order.argsort(1)
    ordinary = (~special_mask).sum(1, keepdim=True)
    chosen = (rank < (probability * ordinary).round()) & ~special_mask
    draw = torch.rand(ids.shape, generator=generator)
    read = _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, generator))
    return read, ids.masked_fill(~chosen, -100)


@mask_tokens.misconception
def puts_one_random_id_everywhere(ids, special_mask, mask_id, vocab_size, probability, generator):
    """You draw one random id and put it everywhere. Each replaced token gets its own: draw a whole
    tensor of ids in the shape of the text."""
    chosen, labels, draw = _choose(ids, special_mask, probability, generator)
    random_id = torch.randint(vocab_size, (1,), generator=generator).expand(ids.shape)
    return _hide(ids, chosen, draw, mask_id, random_id), labels


@mask_tokens.misconception
def never_draws_the_last_id(ids, special_mask, mask_id, vocab_size, probability, generator):
    """`torch.randint` leaves out its upper end already, so with vocab_size - 1 the last id of the
    vocabulary never comes. Give it vocab_size."""
    chosen, labels, draw = _choose(ids, special_mask, probability, generator)
    return _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size - 1, generator)), labels


@mask_tokens.misconception
def draws_without_the_generator(ids, special_mask, mask_id, vocab_size, probability, generator):
    """Your random numbers come from torch's global generator, so the same seed does not give the
    same result. Hand `generator=generator` to every random function."""
    chosen, labels, draw = _choose(ids, special_mask, probability, None)
    return _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, None)), labels


@mask_tokens.misconception
def starts_the_generator_anew(ids, special_mask, mask_id, vocab_size, probability, generator):
    """You seed a generator inside the function, so every call hides the same places and the model
    sees only one version of each text. Draw from the generator you are given, as it is."""
    generator = torch.Generator().manual_seed(generator.initial_seed())
    chosen, labels, draw = _choose(ids, special_mask, probability, generator)
    return _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, generator)), labels


@mask_tokens.alternative
def with_two_coins(ids, special_mask, mask_id, vocab_size, probability, generator):
    """Choose with one coin, then decide between the three fates with two more."""
    chance = torch.full(ids.shape, float(probability)).masked_fill(special_mask, 0.0)
    chosen = torch.bernoulli(chance, generator=generator).bool()
    labels = torch.where(chosen, ids, -100)
    masked = chosen & torch.bernoulli(torch.full(ids.shape, 0.8), generator=generator).bool()
    half = torch.bernoulli(torch.full(ids.shape, 0.5), generator=generator).bool()
    read = ids.clone()
    read[masked] = mask_id
    replaced = chosen & ~masked & half
    read[replaced] = torch.randint(vocab_size, (int(replaced.sum()),), generator=generator)
    return read, labels


@mask_tokens.alternative
def token_by_token_numbers(ids, special_mask, mask_id, vocab_size, probability, generator):
    """The fate of each token as a number: 0 mask, 1 random, 2 stays, 3 not chosen."""
    draw = torch.rand(ids.shape, generator=generator, dtype=torch.float64)
    edges = torch.tensor([0.8, 0.9, 1.0], dtype=torch.float64) * probability
    fate = torch.bucketize(draw, edges, right=True).masked_fill(special_mask, 3)
    random_ids = torch.randint(0, vocab_size, ids.shape, generator=generator)
    choices = torch.stack([torch.full_like(ids, mask_id), random_ids, ids, ids])
    labels = ids.clone()
    labels[fate == 3] = -100
    return choices.gather(0, fate[None])[0], labels


# --- masked_lm_loss ------------------------------------------------------------------------

masked_lm_loss = Exercise(
    "encoder.masked_lm_loss", points=2, reference=objectives.masked_lm_loss, tolerance=1e-4
)


@masked_lm_loss.cases
def _(draw):
    def case(about, shape, hidden=0.5, scale=1.0, **options):
        batch, time, vocab = shape
        logits, labels = draw.normal(*shape, scale=scale), draw.ids(vocab, batch, time)
        seen = torch.rand(batch, time, generator=draw.generator) >= hidden
        seen[0, 0] = False  # at least one label
        return Case(about, {"logits": logits, "labels": labels.masked_fill(seen, -100)}, **options)

    yield case("one hidden token", (1, 1, 3))
    yield case("every token hidden", (1, 4, 3), hidden=1.1)
    logits, labels = draw.normal(1, 3, 4), draw.ids(4, 1, 3)
    labels[0, 0] = labels[0, 2] = -100
    yield Case("a single hidden token in the middle", {"logits": logits, "labels": labels})
    yield case("some tokens of two texts", (2, 5, 4), scale=2.0)
    uneven = draw.ids(4, 3, 5)
    uneven[1, 1:], uneven[2] = -100, -100
    arguments = {"logits": draw.normal(3, 5, 4, scale=3.0), "labels": uneven}
    yield Case("texts with five, one and no hidden tokens", arguments)
    nothing = {"logits": draw.normal(2, 3, 4), "labels": torch.full((2, 3), -100)}
    yield Case("nothing is hidden", nothing)
    yield Case("the gradient when nothing is hidden", nothing, gradient_of(0))
    logits, labels = draw.normal(2, 4, 5, scale=300.0), draw.ids(5, 2, 4)
    logits[0, 0, labels[0, 0]] = logits[0, 0].min() - 200  # exp gives 0 here, whatever was drawn
    yield Case("large logits", {"logits": logits, "labels": labels})
    double = {"logits": draw.normal(2, 4, 3).double(), "labels": draw.ids(3, 2, 4)}
    yield Case("double precision", double)
    yield case("the gradient with respect to the logits", (2, 4, 3), observe=gradient_of(0))
    if draw.hidden:
        yield case("many texts", (7, 20, 50), hidden=0.15, scale=4.0)


def _mean_over_labels(logits, labels):
    """What a position costs is `logits`, [batch, time]."""
    labelled = labels != -100
    return logits.masked_fill(~labelled, 0).sum() / labelled.sum().clamp(min=1)


def _costs(logits, labels):
    log_probs = logits.log_softmax(-1)
    return -log_probs.gather(-1, labels.clamp(min=0)[..., None])[..., 0]


@masked_lm_loss.misconception
def shifts_the_labels(logits, labels):
    """You compare each position with the label of the next one. That is how a model learns to
    write; here the hidden token stands at the position itself, so nothing is shifted."""
    return _mean_over_labels(_costs(logits[:, :-1], labels[:, 1:]), labels[:, 1:])


@masked_lm_loss.misconception
def divides_by_all_positions(logits, labels):
    """The sum is right, but you divide by the number of all positions. Only labelled ones count:
    otherwise hiding fewer tokens would look like guessing better."""
    return _costs(logits, labels).masked_fill(labels == -100, 0).mean()


@masked_lm_loss.misconception
def takes_minus_100_for_the_first_id(logits, labels):
    """You turn -100 into 0 and then count these positions as if id 0 had been hidden there. Leave
    them out altogether."""
    return _costs(logits, labels).mean()


@masked_lm_loss.misconception
def averages_each_text_first(logits, labels):
    """You take the mean of each text and then the mean of these, so a token of a text with few
    hidden tokens weighs more. Every labelled token of the batch weighs the same."""
    labelled = labels != -100
    costs = _costs(logits, labels).masked_fill(~labelled, 0)
    return (costs.sum(1) / labelled.sum(1).clamp(min=1)).mean()


@masked_lm_loss.misconception
def sums_and_does_not_average(logits, labels):
    """This is the sum. Divide by the number of labelled tokens, so that the loss does not depend on
    the size of the batch."""
    return _costs(logits, labels).masked_fill(labels == -100, 0).sum()


@masked_lm_loss.misconception
def gives_nan_when_nothing_is_hidden(logits, labels):
    """Without a label you divide 0 by 0. The loss of nothing is 0: divide by at least 1. (torch's
    own `cross_entropy` gives NaN there too.)"""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)


@masked_lm_loss.misconception
def takes_softmax_twice(logits, labels):
    """Your logits go through softmax before they go into something that takes softmax itself
    (`cross_entropy`, `log_softmax`). Give it the raw logits."""
    return _mean_over_labels(_costs(logits.softmax(-1), labels), labels)


@masked_lm_loss.misconception
def takes_the_logarithm_of_zero(logits, labels):
    """You take softmax first and its logarithm afterwards. A very unlikely token has probability 0
    in a computer, and its logarithm is minus infinity. `log_softmax` does both at once."""
    log_probs = logits.softmax(-1).log()
    costs = -log_probs.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return _mean_over_labels(costs, labels)


@masked_lm_loss.misconception
def forgets_the_logarithm(logits, labels):
    """You average minus the probability of the right token. The loss is minus its *logarithm*,
    which makes a confident error expensive."""
    probs = logits.softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return _mean_over_labels(-probs, labels)


@masked_lm_loss.misconception
def forgets_the_minus(logits, labels):
    """This is the mean log-probability, which training would make smaller and smaller. The loss is
    minus that."""
    return -_mean_over_labels(_costs(logits, labels), labels)


@masked_lm_loss.misconception
def forgets_the_softmax(logits, labels):
    """You take minus the logit of the right token. A logit alone says nothing: only beside the
    others does it become a probability. Use `log_softmax`."""
    return _mean_over_labels(-logits.gather(-1, labels.clamp(min=0)[..., None])[..., 0], labels)


@masked_lm_loss.misconception
def shares_out_over_the_positions(logits, labels):
    """Your softmax runs along the time axis, so the positions compete with each other. The words of
    the vocabulary compete at each position: take the last axis."""
    log_probs = logits.log_softmax(1)
    costs = -log_probs.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return _mean_over_labels(costs, labels)


@masked_lm_loss.misconception
def measures_in_bits(logits, labels):
    """Your logarithm has base 2, so this is the loss in bits. This course measures in nats: the
    natural logarithm."""
    return _mean_over_labels(_costs(logits, labels), labels) / math.log(2)


@masked_lm_loss.misconception
def gives_back_a_number(logits, labels):
    """The value is right, but it is a plain number, and nothing can be learned from that: the way
    back to the logits is cut. Return the tensor, without `.item()` or `float`."""
    return _mean_over_labels(_costs(logits, labels), labels).item()


@masked_lm_loss.alternative
def with_cross_entropy(logits, labels):
    """torch's own, summed."""
    total = F.cross_entropy(
        logits.transpose(1, 2), labels, ignore_index=-100, reduction="sum"
    )  # [batch, vocab, time]
    return total / max(1, int((labels != -100).sum()))


@masked_lm_loss.alternative
def through_log_sum_exp(logits, labels):
    """-log softmax = logsumexp - logit."""
    batch, time = (labels != -100).nonzero(as_tuple=True)
    if len(batch) == 0:
        return logits.sum() * 0
    rows = logits[batch, time]
    right = rows[torch.arange(len(rows)), labels[batch, time]]
    return (rows.logsumexp(-1) - right).mean()


@masked_lm_loss.alternative
def with_one_hot(logits, labels):
    """Everything is scored, and what has no label multiplied by zero."""
    labelled = (labels != -100).to(logits.dtype)
    right = F.one_hot(labels.clamp(min=0), logits.shape[-1]).to(logits.dtype)
    costs = -(logits.log_softmax(-1) * right).sum(-1)
    return (costs * labelled).sum() / labelled.sum().clamp(min=1)


# --- mean_pool -----------------------------------------------------------------------------

mean_pool = Exercise("encoder.mean_pool", points=2, reference=encoder.mean_pool)


@mean_pool.cases
def _(draw):
    def case(about, attention_mask, width=3, **options):
        attention_mask = torch.as_tensor(attention_mask)
        hidden = draw.normal(*attention_mask.shape, width, scale=2.0)
        return Case(about, {"hidden": hidden, "attention_mask": attention_mask}, **options)

    yield case("one text of two tokens", [[1, 1]])
    yield case("one text with padding", [[1, 1, 0]])
    yield case("texts of different length", [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    yield case("padding on the left", [[0, 0, 1, 1], [0, 1, 1, 1]])
    yield case("a text without tokens", [[1, 1, 0], [0, 0, 0]])
    yield case("a mask of True and False", [[True, True, False], [True, False, False]])
    yield case("a mask of floats", [[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]], width=4)
    loud = draw.normal(2, 4, 3)
    loud[0, 2:], loud[1, 3] = 1e4, -1e4
    loud = {"hidden": loud, "attention_mask": torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]])}
    yield Case("large numbers at the padding", loud)
    double = {"hidden": draw.normal(2, 3, 4).double(), "attention_mask": torch.ones(2, 3).long()}
    yield Case("double precision", double)
    half = [[1, 1, 0], [0, 0, 0]]
    yield case("the gradient, with a text without tokens", half, observe=gradient_of(0))
    if draw.hidden:
        lengths = torch.arange(1, 8)[:, None]
        yield case("many texts", (torch.arange(9) < lengths).long(), width=6)


def _real(attention_mask):
    return attention_mask.bool()[..., None]


@mean_pool.misconception
def averages_the_padding_too(hidden, attention_mask):
    """You take the mean over all positions, padding included, so the same text has another vector
    in every batch. Leave out what `attention_mask` calls padding."""
    return hidden.mean(1)


@mean_pool.misconception
def divides_by_the_padded_length(hidden, attention_mask):
    """The padding is out of the sum, but you divide by the length of the padded row. Divide by the
    number of tokens that are really there."""
    return (hidden * _real(attention_mask)).mean(1)


@mean_pool.misconception
def sums_and_does_not_average_the_tokens(hidden, attention_mask):
    """This is the sum, which is longer for longer texts. Divide by the number of tokens of each
    text."""
    return (hidden * _real(attention_mask)).sum(1)


@mean_pool.misconception
def gives_nan_for_an_empty_text(hidden, attention_mask):
    """A text without tokens makes you divide 0 by 0. Divide by at least 1: then its vector is
    zeros."""
    real = _real(attention_mask).to(hidden.dtype)
    return (hidden * real).sum(1) / real.sum(1)


@mean_pool.misconception
def adds_one_to_every_count(hidden, attention_mask):
    """To be safe from 0 you add 1 to the number of tokens, but that makes every mean too small.
    `clamp(min=1)` changes only the 0."""
    real = _real(attention_mask).to(hidden.dtype)
    return (hidden * real).sum(1) / (real.sum(1) + 1)


@mean_pool.misconception
def divides_every_text_by_the_same_count(hidden, attention_mask):
    """You divide all texts by the same number of tokens. Each text has its own: sum the mask along
    the time axis only."""
    real = _real(attention_mask).to(hidden.dtype)
    return (hidden * real).sum(1) / real.sum(1).max().clamp(min=1)


@mean_pool.misconception
def takes_the_first_token(hidden, attention_mask):
    """You take the vector of the first position, as BERT's classifier does with [CLS]. Asked for is
    the mean over all tokens."""
    return hidden[:, 0]


@mean_pool.misconception
def takes_padding_to_be_on_the_right(hidden, attention_mask):
    """You count the tokens and average that many positions from the start. Padding may stand on the
    left as well; the mask says which positions are real."""
    lengths = attention_mask.sum(1).long()
    first = torch.arange(hidden.shape[1]) < lengths[:, None]
    return hidden.masked_fill(~first[..., None], 0).sum(1) / lengths.clamp(min=1)[:, None]


@mean_pool.misconception
def takes_the_largest_of_each_channel(hidden, attention_mask):
    """You take the largest number of each channel (max pooling). Asked for is the mean."""
    top = hidden.masked_fill(~_real(attention_mask), -torch.inf).amax(1)
    return top.masked_fill(top == -torch.inf, 0)


@mean_pool.misconception
def averages_over_the_whole_batch(hidden, attention_mask):
    """Picking the tokens with the mask, hidden[mask], puts those of all texts into one list, and
    you average that. Each text needs a mean of its own."""
    mean = hidden[attention_mask.bool()].mean(0)
    return mean.expand(len(hidden), -1)


@mean_pool.misconception
def averages_the_padding_alone(hidden, attention_mask):
    """You average what is padding and leave out the tokens. In `attention_mask` 1 is a token."""
    real = ~_real(attention_mask)
    return hidden.masked_fill(~real, 0).sum(1) / real.sum(1).clamp(min=1)


@mean_pool.misconception
def gives_float32_always(hidden, attention_mask):
    """A double goes in and a float32 comes out: `.float()` makes float32 of anything. Use the dtype
    of `hidden`."""
    real = _real(attention_mask).float()
    return (hidden.float() * real).sum(1) / real.sum(1).clamp(min=1)


@mean_pool.alternative
def as_a_matrix_product(hidden, attention_mask):
    """Weights that sum to one, times the vectors."""
    weights = attention_mask.to(hidden.dtype)
    weights = weights / weights.sum(1, keepdim=True).clamp(min=1)
    return torch.einsum("bt,btw->bw", weights, hidden)


@mean_pool.alternative
def text_by_text(hidden, attention_mask):
    """One text after the other."""
    rows = []
    for vectors, mask in zip(hidden, attention_mask, strict=True):
        vectors = vectors[mask.bool()]
        rows.append(vectors.mean(0) if len(vectors) else vectors.new_zeros(hidden.shape[-1]))
    return torch.stack(rows)


# --- classification_loss -------------------------------------------------------------------

classification_loss = Exercise(
    "encoder.classification_loss",
    points=1,
    reference=objectives.classification_loss,
    tolerance=1e-4,
)


@classification_loss.cases
def _(draw):
    def case(about, shape, scale=1.0, ignored=(), **options):
        labels = draw.ids(shape[-1], *shape[:-1])
        for place in ignored:
            labels[place] = -100
        arguments = {"logits": draw.normal(*shape, scale=scale), "labels": labels}
        return Case(about, arguments, **options)

    yield case("two texts, three classes", (2, 3))
    yield case("two classes", (4, 2), scale=2.0)
    yield case("texts of which one has no label", (4, 3), ignored=[1])
    tokens = [(0, 0), (1, 0), (1, 2), (1, 3)]
    yield case("the tokens of two texts, some without a label", (2, 4, 5), ignored=tokens)
    yield case("a text none of whose tokens has a label", (2, 3, 4), scale=3.0, ignored=[1])
    yield case("no labels at all", (2, 3), ignored=[0, 1])
    gradient = {"observe": gradient_of(0)}
    yield case("the gradient without labels", (2, 3), ignored=[0, 1], **gradient)
    yield case("large logits", (3, 4), scale=300.0)
    yield case("the gradient with respect to the logits", (3, 4), **gradient)
    double = {"logits": draw.normal(2, 3, 4).double(), "labels": draw.ids(4, 2, 3)}
    yield Case("double precision", double)
    if draw.hidden:
        yield case("many tokens", (6, 9, 7), scale=4.0, ignored=[(i, i) for i in range(6)])


@classification_loss.misconception
def applies_softmax_before_cross_entropy(logits, labels):
    """`cross_entropy` takes softmax itself, and you give it probabilities instead of logits. It
    then can never be sure: the loss stays high and learning is slow. Give it the raw logits."""
    return _mean_over_labels(_costs(logits.softmax(-1), labels), labels)


@classification_loss.misconception
def gives_nan_without_labels(logits, labels):
    """Without any label, `cross_entropy` divides 0 by 0. Sum with reduction="sum", and divide by
    the number of labels or by 1, whichever is larger."""
    rows = logits.reshape(-1, logits.shape[-1])
    return F.cross_entropy(rows, labels.reshape(-1), ignore_index=-100)


@classification_loss.misconception
def divides_by_labels_that_do_not_count(logits, labels):
    """The sum leaves out -100, but you divide by the number of all labels. Divide by the number of
    those that count."""
    return _costs(logits, labels).masked_fill(labels == -100, 0).mean()


@classification_loss.misconception
def divides_by_the_number_of_texts(logits, labels):
    """The sum leaves out -100, but you divide by the length of `labels`, which is the number of
    texts. Divide by the number of labels that count."""
    return _costs(logits, labels).masked_fill(labels == -100, 0).sum() / len(labels)


@classification_loss.misconception
def takes_scores_for_log_probabilities(logits, labels):
    """You average minus the score of the true class (as `nll_loss` does with raw logits). A score
    alone says nothing: `log_softmax` sets it against those of the other classes."""
    scores = logits.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return _mean_over_labels(-scores, labels)


@classification_loss.misconception
def counts_minus_100_as_class_0(logits, labels):
    """Where the label is -100 you compare with class 0. These places do not count at all."""
    return _costs(logits, labels).mean()


@classification_loss.misconception
def sums_over_the_labels(logits, labels):
    """This is the sum. Divide by the number of labels that count."""
    return _costs(logits, labels).masked_fill(labels == -100, 0).sum()


@classification_loss.misconception
def averages_the_tokens_of_each_text_first(logits, labels):
    """You average each text by itself and then these means. Every label of the batch weighs the
    same, in whichever text it stands."""
    labelled = labels != -100
    costs = _costs(logits, labels).masked_fill(~labelled, 0)
    if costs.dim() == 1:
        return _mean_over_labels(costs, labels)
    return (costs.sum(1) / labelled.sum(1).clamp(min=1)).mean()


@classification_loss.misconception
def squares_the_errors(logits, labels):
    """You measure the squared distance between probabilities and a one-hot vector. That is a loss
    too, but it hardly punishes confident errors. Asked for is minus the log-probability of the true
    class."""
    right = F.one_hot(labels.clamp(min=0), logits.shape[-1]).to(logits.dtype)
    return _mean_over_labels((logits.softmax(-1) - right).square().sum(-1), labels)


@classification_loss.misconception
def asks_each_class_by_itself(logits, labels):
    """You score each class with its own sigmoid (binary cross-entropy). That is for labels of which
    several may be true at once; here exactly one is, and the classes share one softmax."""
    right = F.one_hot(labels.clamp(min=0), logits.shape[-1]).to(logits.dtype)
    each = F.binary_cross_entropy_with_logits(logits, right, reduction="none").mean(-1)
    return _mean_over_labels(each, labels)


@classification_loss.misconception
def counts_errors(logits, labels):
    """This is the share of wrong answers. It has no gradient, so nothing can be learned from it.
    The loss is minus the log-probability of the true class."""
    return _mean_over_labels((logits.argmax(-1) != labels).to(logits.dtype), labels)


@classification_loss.alternative
def with_log_softmax_and_a_mask(logits, labels):
    """By hand."""
    return _mean_over_labels(_costs(logits, labels), labels)


@classification_loss.alternative
def label_by_label(logits, labels):
    """A loop over the labels that count."""
    classes = logits.shape[-1]
    costs = [
        row.logsumexp(0) - row[label]
        for row, label in zip(logits.reshape(-1, classes), labels.reshape(-1).tolist(), strict=True)
        if label != -100
    ]
    return sum(costs) / len(costs) if costs else logits.sum() * 0.0


# --- align_labels --------------------------------------------------------------------------

align_labels = Exercise("encoder.align_labels", points=2, reference=objectives.align_labels)


@align_labels.cases
def _(draw):
    def case(about, word_ids, n_words=None):
        word_ids = [None if i == "." else int(i) for i in word_ids]
        n_words = n_words or 1 + max((i for i in word_ids if i is not None), default=-1)
        word_labels = (draw.permutation(9) + 1)[:n_words].tolist()
        return Case(about, {"word_labels": word_labels, "word_ids": word_ids})

    yield case("every word is one token", ".012.")
    yield case("a word of three tokens", ".01112.")
    yield case("the first word has two tokens", ".0012.")
    yield case("a pair of texts: the numbers start again", ".0112.0012.", n_words=3)
    yield case("the same word again after a special token", ".0.0.")
    yield case("two special tokens in a row", "..01..")
    yield case("the text was cut: words without tokens", ".0112", n_words=6)
    yield case("a window in the middle: it does not start with word 0", ".334556.", n_words=8)
    yield case("special tokens alone", "..")
    yield case("a single word, and no special tokens", "00")
    yield Case("nothing at all", {"word_labels": [2, 1], "word_ids": []})
    ignored = {"word_labels": [4, -100, 0], "word_ids": [None, 0, 0, 1, 2, 2, None]}
    yield Case("a word whose own label is -100, and one of class 0", ignored)
    if draw.hidden:
        word_ids = [None]
        for word in range(7):
            word_ids += [word] * draw.random.randrange(4)
        labels = [draw.random.randrange(1, 5) for _ in range(7)]
        yield Case("a longer text", {"word_labels": labels, "word_ids": [*word_ids, None]})


@align_labels.misconception
def labels_every_token_of_a_word(word_labels, word_ids):
    """Every token of a word gets its label, so long words count several times, and an entity of one
    word looks like many. Only the first token keeps it; the others get -100."""
    return [-100 if i is None else word_labels[i] for i in word_ids]


@align_labels.misconception
def labels_the_last_token_of_a_word(word_labels, word_ids):
    """You label the last token of each word. It should be the first one."""
    following = [*word_ids[1:], None]
    return [
        word_labels[i] if i is not None and i != after else -100
        for i, after in zip(word_ids, following)
    ]


@align_labels.misconception
def labels_special_tokens_0(word_labels, word_ids):
    """Special tokens get class 0, and so does the model's loss count them. Class 0 is a class like
    any other; what does not count is -100."""
    return [
        0 if i is None else word_labels[i] if n == 0 or word_ids[n - 1] != i else -100
        for n, i in enumerate(word_ids)
    ]


@align_labels.misconception
def labels_the_other_tokens_0(word_labels, word_ids):
    """The later tokens of a word get class 0. That teaches the model that half of every long word
    is of this class; give them -100."""
    return [
        -100 if i is None else word_labels[i] if n == 0 or word_ids[n - 1] != i else 0
        for n, i in enumerate(word_ids)
    ]


@align_labels.misconception
def puts_none_where_nothing_is_asked(word_labels, word_ids):
    """None stands in your list where no label counts. A tensor can hold no None; the number that
    losses leave out is -100."""
    pairs = zip([None, *word_ids], word_ids)
    return [word_labels[i] if i is not None and i != before else None for before, i in pairs]


@align_labels.misconception
def takes_word_0_for_a_special_token(word_labels, word_ids):
    """The first word has number 0, and `if word_id` takes 0 for "nothing". Ask for
    `word_id is not None`."""
    labels, previous = [], None
    for word_id in word_ids:
        labels.append(word_labels[word_id] if word_id and word_id != previous else -100)
        previous = word_id
    return labels


@align_labels.misconception
def labels_each_number_only_once(word_labels, word_ids):
    """In your list each word number gets a label only once. In a pair of texts the numbers start
    again, and the second text loses its labels. Compare with the token before instead."""
    labels, seen = [], set()
    for word_id in word_ids:
        labels.append(-100 if word_id is None or word_id in seen else word_labels[word_id])
        seen.add(word_id)
    return labels


@align_labels.misconception
def looks_past_special_tokens(word_labels, word_ids):
    """You compare with the last *word*, looking past special tokens. A special token ends a word:
    after it a new run begins, even if the number is the same."""
    labels, previous = [], None
    for word_id in word_ids:
        labels.append(-100 if word_id in (None, previous) else word_labels[word_id])
        previous = previous if word_id is None else word_id
    return labels


@align_labels.misconception
def compares_the_first_token_with_the_last(word_labels, word_ids):
    """For the first token there is no token before it, and in Python word_ids[-1] is the *last*
    one. If both belong to the same word, it loses its label."""
    return [
        word_labels[i] if i is not None and i != word_ids[n - 1] else -100
        for n, i in enumerate(word_ids)
    ]


@align_labels.misconception
def counts_the_words_itself(word_labels, word_ids):
    """You take the labels one after the other, whatever the word numbers say. When a text is cut or
    starts in the middle, they slip. The number is the place of the label."""
    labels, previous, n = [], None, 0
    for word_id in word_ids:
        if word_id is None or word_id == previous:
            labels.append(-100)
        else:
            labels.append(word_labels[n % len(word_labels)])
            n += 1
        previous = word_id
    return labels


@align_labels.misconception
def returns_the_word_numbers(word_labels, word_ids):
    """You keep the number of each word. What belongs there is its label,
    word_labels[word_id]."""
    labels, previous = [], None
    for word_id in word_ids:
        labels.append(-100 if word_id is None or word_id == previous else word_id)
        previous = word_id
    return labels


@align_labels.misconception
def leaves_out_special_tokens(word_labels, word_ids):
    """Special tokens have no entry in your list, so all later labels stand beside the wrong token.
    One label for each token; theirs is -100."""
    labels = labels_everything_in_runs(word_labels, word_ids)
    return [label for label, i in zip(labels, word_ids, strict=True) if i is not None]


@align_labels.alternative
def labels_everything_in_runs(word_labels, word_ids):
    """A list of pairs: the token before, and this one."""
    pairs = zip([None, *word_ids], word_ids)
    return [word_labels[i] if i is not None and i != before else -100 for before, i in pairs]


@align_labels.alternative
def with_groupby(word_labels, word_ids):
    """Runs by itertools."""
    from itertools import groupby

    labels = []
    for word_id, run in groupby(word_ids):
        first = -100 if word_id is None else word_labels[word_id]
        labels += [first] + [-100] * (len(list(run)) - 1)
    return labels


# --- LoRALinear ----------------------------------------------------------------------------

LoRALinear = Exercise("encoder.LoRALinear", points=4, reference=finetuning.LoRALinear)


def _base(n_in, n_out, bias, weights_seed):
    generator = _seeded(weights_seed)
    base = nn.Linear(n_in, n_out, bias=bias)
    weights = {
        name: torch.randn(value.shape, generator=generator)
        for name, value in base.state_dict().items()
    }
    base.load_state_dict(weights)
    return base


def _layer(solution, n_in, n_out, bias, rank, alpha, weights_seed, trained=True):
    """The learner's layer around a linear layer; with `trained`, A and B are as after training."""
    layer = solution(_base(n_in, n_out, bias, weights_seed), rank, alpha)
    if trained:
        generator = _seeded(weights_seed + 1)
        weights = {
            "A": torch.randn(rank, n_in, generator=generator),
            "B": torch.randn(n_out, rank, generator=generator),
        }
        layer.load_state_dict(weights, strict=False)
    return layer


def _what_trains(solution, n_in, n_out, bias, rank, alpha, weights_seed):
    layer = _layer(solution, n_in, n_out, bias, rank, alpha, weights_seed, trained=False)
    trained = {name: list(p.shape) for name, p in layer.named_parameters() if p.requires_grad}
    return {"parameters that train": trained}


def _at_the_start(solution, *arguments):
    *sizes, x = arguments
    layer = _layer(solution, *sizes, trained=False)
    output, state = layer(x), layer.state_dict()
    n_in, n_out, bias, _, _, weights_seed = sizes
    before = _base(n_in, n_out, bias, weights_seed)(x)
    output.square().sum().backward()
    gradients = {n: p.grad for n, p in layer.named_parameters() if p.requires_grad}
    moving = [name for name, g in gradients.items() if g is not None and g.abs().sum() > 0]
    return {
        "B is zero": bool("B" in state and not state["B"].any()),
        "the output is that of the base": bool(torch.allclose(output, before, atol=1e-5)),
        "what the first step of training changes": sorted(moving),
    }


def _trained_output(solution, *arguments):
    *sizes, x = arguments
    return _layer(solution, *sizes)(x)


def _trained_gradients(solution, *arguments):
    *sizes, x = arguments
    layer = _layer(solution, *sizes)
    x = x.clone().requires_grad_()
    layer(x).square().sum().backward()
    gradients = {n: p.grad for n, p in layer.named_parameters() if p.requires_grad}
    return {"x": x.grad, **{n: gradients.get(n) for n in ("A", "B")}}


def _merged(solution, *arguments):
    *sizes, x = arguments
    layer = _layer(solution, *sizes)
    merged = layer.merge()
    if merged is None:  # a forgotten `return`
        return None
    return {
        "its parameters": {name: list(p.shape) for name, p in merged.named_parameters()},
        "its output": merged(x).detach(),
    }


def _after_merging(solution, *arguments):
    """The layer itself after a merge, and after the merged layer is changed."""
    *sizes, x = arguments
    layer = _layer(solution, *sizes)
    merged = layer.merge()
    if merged is None:
        return None
    after = layer(x).detach()
    zeros = {name: torch.zeros_like(value) for name, value in merged.state_dict().items()}
    merged.load_state_dict(zeros)
    return {
        "the layer after merge()": after,
        "the layer after the merged one has changed": layer(x).detach(),
    }


@LoRALinear.cases
def _(draw):
    def case(about, observe, x=None, n_in=4, n_out=3, bias=True, rank=2, alpha=3.0):
        arguments = {"in": n_in, "out": n_out, "bias": bias, "rank": rank, "alpha": alpha}
        arguments["weights_seed"] = draw.random.randrange(10_000)
        return Case(about, arguments if x is None else arguments | {"x": x}, observe)

    yield case("which parameters train, and their shapes", _what_trains)
    yield case("a layer as it starts", _at_the_start, draw.normal(2, 4))
    yield case("a trained layer, one vector", _trained_output, draw.normal(4))
    yield case("rank 1", _trained_output, draw.normal(2, 4), rank=1, alpha=0.5)
    yield case("a batch of texts", _trained_output, draw.normal(2, 3, 4), rank=4, alpha=2.0)
    yield case("a base without bias", _trained_output, draw.normal(2, 4), bias=False)
    yield case("the gradients", _trained_gradients, draw.normal(2, 4))
    yield case("merge()", _merged, draw.normal(2, 4))
    yield case("merge() of a base without bias", _merged, draw.normal(2, 4), bias=False)
    yield case("the layer after merge()", _after_merging, draw.normal(2, 4))
    if draw.hidden:
        sizes = {"n_in": 7, "n_out": 9, "rank": 3, "alpha": 5.0}
        yield case("a larger layer", _trained_output, draw.normal(5, 7), **sizes)


class _LoRA(finetuning.LoRALinear):
    """The right layer; the misconceptions change one thing."""

    def detour(self, x):
        return self.scale * (x @ self.A.T @ self.B.T)


@LoRALinear.misconception
class StartsAlreadyChanged(_LoRA):
    """A and B are both random, so the layer is changed before it has learned anything. B starts at
    zero: then the product is zero, and training begins at the pre-trained model."""

    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        nn.init.normal_(self.B)


@LoRALinear.misconception
class StartsWithZerosOnBothSides(_LoRA):
    """A and B are both zero. Then the gradient of each, which is multiplied by the other, is zero
    too, and neither ever moves. Only B is zero; A is random."""

    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        nn.init.zeros_(self.A)


@LoRALinear.misconception
class PutsTheZerosIntoA(_LoRA):
    """A starts at zero and B at random. That would work as well, but in LoRA, and in every
    checkpoint made with it, it is B that starts at zero."""

    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        nn.init.zeros_(self.A)
        nn.init.normal_(self.B)


@LoRALinear.misconception
class ForgetsTheScale(_LoRA):
    """You add the detour as it is. It is multiplied by alpha / rank."""

    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.scale = 1.0


@LoRALinear.misconception
class ScalesByAlphaAlone(_LoRA):
    """You multiply the detour by alpha and do not divide by the rank. With alpha / rank the
    strength stays about the same when somebody tries another rank."""

    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.scale = alpha


@LoRALinear.misconception
class ScalesByRankOverAlpha(_LoRA):
    """Your scale is upside down: it is alpha / rank, not rank / alpha."""

    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.scale = rank / alpha


@LoRALinear.misconception
class ForgetsTheScaleInMerge(_LoRA):
    """`forward` is right, but `merge` adds B A without alpha / rank, so the merged layer does
    something else."""

    def merge(self):
        merged = copy.deepcopy(self.base).requires_grad_()
        with torch.no_grad():
            merged.weight += self.B @ self.A
        return merged


@LoRALinear.misconception
class ForgetsTheBaseLayer(_LoRA):
    """Your output is the detour alone. It is added to what the frozen layer gives."""

    def forward(self, x):
        return self.detour(x)


@LoRALinear.misconception
class LetsNoGradientThroughTheBase(_LoRA):
    """You run the base layer under `torch.no_grad()` (or detach its output), and then no gradient
    gets through it to the layers below, which may have something to learn. Frozen means only that
    its own numbers stay: `requires_grad_(False)` is all it takes."""

    def forward(self, x):
        return self.base(x).detach() + self.detour(x)


@LoRALinear.misconception
class TrainsTheBaseToo(_LoRA):
    """The base layer still trains, and with it everything LoRA wants to leave alone. Set
    requires_grad to False for its parameters, with `base.requires_grad_(False)`."""

    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.base.requires_grad_(True)


@LoRALinear.misconception
class FreezesOnlyTheWeight(_LoRA):
    """The weight of the base layer is frozen, its bias still trains. Freeze both:
    `base.requires_grad_(False)`."""

    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        if self.base.bias is not None:
            self.base.bias.requires_grad_(True)


@LoRALinear.misconception
class KeepsPlainTensors(_LoRA):
    """A and B are plain tensors, which no optimiser sees and no checkpoint keeps. Wrap each in
    `nn.Parameter`."""

    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        A, B = self.A.detach().clone(), self.B.detach().clone()
        del self.A, self.B
        self.A, self.B = A, B


@LoRALinear.misconception
class MakesLayersOfThem(_LoRA):
    """Your A and B are layers, so the parameters are called A.weight and B.weight. Here A and B are
    parameters themselves, `nn.Parameter`, under these two names."""

    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        del self.A, self.B
        self.A = nn.Linear(base.in_features, rank, bias=False)
        self.B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.B.weight)

    def forward(self, x):
        return self.base(x) + self.scale * self.B(self.A(x))

    def merge(self):
        merged = copy.deepcopy(self.base).requires_grad_()
        with torch.no_grad():
            merged.weight += self.scale * self.B.weight @ self.A.weight
        return merged


@LoRALinear.misconception
class StoresBothTransposed(_LoRA):
    """Your A is [in, rank] and your B [rank, out]. It computes the same, but weights are [out, in]
    in this course, as in torch, so that A is [rank, in] and B is [out, rank]."""

    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.A = nn.Parameter(self.A.detach().T.contiguous())
        self.B = nn.Parameter(self.B.detach().T.contiguous())

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A @ self.B)

    def merge(self):
        merged = copy.deepcopy(self.base).requires_grad_()
        with torch.no_grad():
            merged.weight += self.scale * (self.A @ self.B).T
        return merged


@LoRALinear.misconception
class MergesIntoTheBase(_LoRA):
    """`merge` changes the frozen layer itself, so this layer now makes the change twice: once in
    its base and once in its detour. Merge into a new layer, or a copy."""

    def merge(self):
        with torch.no_grad():
            self.base.weight += self.scale * self.B @ self.A
        return self.base


@LoRALinear.misconception
class MergesWithoutTheBias(_LoRA):
    """The merged layer has the right weight, but the bias of the base layer is lost."""

    def merge(self):
        merged = nn.Linear(self.base.in_features, self.base.out_features, bias=False)
        with torch.no_grad():
            merged.weight.copy_(self.base.weight + self.scale * self.B @ self.A)
        return merged


@LoRALinear.misconception
class MergesWithTheWrongBias(_LoRA):
    """The merged layer has the right weight, but its bias is the random one that `nn.Linear` begins
    with. Copy that of the base; where it has none, neither has the merged layer."""

    def merge(self):
        merged = nn.Linear(self.base.in_features, self.base.out_features)
        with torch.no_grad():
            merged.weight.copy_(self.base.weight + self.scale * self.B @ self.A)
            merged.bias.fill_(0.37)
        return merged


@LoRALinear.misconception
class SharesTheBiasAfterMerging(_LoRA):
    """The merged layer and this one hold the same bias, so whoever trains one changes the other.
    Give the merged layer a copy."""

    def merge(self):
        merged = super().merge()
        merged.bias = self.base.bias
        return merged


@LoRALinear.misconception
class MergesTheDetourAlone(_LoRA):
    """The merged layer holds the change B A alone. The merged weight is the frozen weight plus the
    change."""

    def merge(self):
        merged = copy.deepcopy(self.base).requires_grad_()
        with torch.no_grad():
            merged.weight.copy_(self.scale * self.B @ self.A)
        return merged


@LoRALinear.alternative
class WithFunctionalLinear(nn.Module):
    """The same with F.linear, and a merged layer built anew."""

    def __init__(self, base, rank, alpha):
        super().__init__()
        self.linear, self.rank, self.alpha = base, rank, alpha
        for parameter in base.parameters():
            parameter.requires_grad = False
        self.A = nn.Parameter(torch.empty(rank, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, x):
        return self.linear(x) + F.linear(F.linear(x, self.A), self.B) * (self.alpha / self.rank)

    def merge(self):
        has_bias = self.linear.bias is not None
        merged = nn.Linear(self.linear.in_features, self.linear.out_features, bias=has_bias)
        merged.weight.data = (
            self.linear.weight.data + self.alpha / self.rank * self.B.data @ self.A.data
        )
        if has_bias:
            merged.bias.data = self.linear.bias.data.clone()
        return merged


@LoRALinear.alternative
class WithOneWeight(_LoRA):
    """The weight is put together first: what `merge` does, at each call."""

    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.A = nn.Parameter(0.01 * torch.randn(rank, base.in_features))

    def forward(self, x):
        weight = self.base.weight + self.scale * self.B @ self.A
        return F.linear(x, weight, self.base.bias)
