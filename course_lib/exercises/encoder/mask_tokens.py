"""What `encoder.mask_tokens` demands."""

from __future__ import annotations

import math

import torch

from course_lib import objectives
from course_lib.checks.exercise import Case, Exercise
from course_lib.exercises.encoder.shared import seeded

mask_tokens = Exercise(
    "encoder.mask_tokens",
    points=3,
    reference=objectives.mask_tokens,
    tolerance=0.03,  # shares of 10,000 tokens or more; right solutions differ by about 0.005
)


def _hidden(solution, *arguments):
    """What a solution gives; a tensor that is no pair is not taken apart by rows."""
    pair = solution(*arguments)
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        what = type(pair).__name__
        raise TypeError(f"a pair is expected, what the model reads and the labels; it is a {what}")
    return pair


def _in_words(solution, ids, special_mask, mask_id, vocab_size, probability, seed):
    """What must be so whatever is drawn, where the probability is 0 or 1."""
    before, ordinary = ids.clone(), ~special_mask
    read, labels = _hidden(
        solution, ids, special_mask, mask_id, vocab_size, probability, seeded(seed)
    )
    labelled, expected = labels != -100, ordinary if probability else ordinary & False
    return {
        "shapes": [list(read.shape), list(labels.shape)],
        "dtypes": [str(read.dtype), str(labels.dtype)],
        "labels where they should be": bool((labelled | ~expected).all()),
        "labels where none should be": bool((labelled & ~expected).any()),
        "every label is the original id": bool((labels == before)[labelled].all()),
        "what has no label is read as it is": bool((read == before)[~labelled].all()),
    }


def _share(which, among):
    return round(which[among].double().mean().item(), 3) if among.any() else 0.0


def _statistics(solution, ids, special_mask, mask_id, vocab_size, probability, seed):
    """What became of many tokens, in shares."""
    before = ids.clone()
    read, labels = _hidden(
        solution, ids, special_mask, mask_id, vocab_size, probability, seeded(seed)
    )
    chosen, ordinary = labels != -100, ~special_mask
    masked, same = read == mask_id, read == before
    per_row = chosen.sum(1).double()
    expected_spread = math.sqrt(ids.shape[1] * probability * (1 - probability))
    return {
        "share of the ordinary tokens that is chosen (has a label)": _share(chosen, ordinary),
        "special tokens are chosen too": bool((chosen & special_mask).any()),
        "of the chosen, share that became the mask token": _share(masked, chosen),
        "of the chosen, share that became another id": _share(~masked & ~same, chosen),
        "of the chosen, share that stayed": _share(same, chosen),
        "of those not chosen, share that changed": _share(~same, ~chosen),
        "what is not chosen stays": bool(same[~chosen].all()),
        "of the labels, share that is the original id": _share(labels == before, chosen),
        "the number of chosen tokens varies from row to row": bool(
            per_row.std() > 0.4 * expected_spread
        ),
        "rows are hidden at different places": bool((chosen != chosen[:1]).any()),
    }


def _replacements(solution, ids, special_mask, mask_id, vocab_size, probability, seed):
    """Which ids come in for a token, other than the mask token and the token itself."""
    before = ids.clone()
    read, _ = _hidden(solution, ids, special_mask, mask_id, vocab_size, probability, seeded(seed))
    others = read[(read != mask_id) & (read != before)]
    return {
        f"share of id {i} among them": _share(others == i, torch.ones_like(others).bool())
        for i in range(vocab_size)
    }


def _chance(solution, ids, special_mask, mask_id, vocab_size, probability, seed):
    """Where the chance comes from."""

    def draw(generator, global_seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(global_seed)
            return _hidden(
                solution, ids.clone(), special_mask, mask_id, vocab_size, probability, generator
            )

    def equal(one, other):
        return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))

    generator = seeded(seed)
    first = draw(generator, 0)
    return {
        "the same seed gives the same result": equal(first, draw(seeded(seed), 1)),
        "the generator goes on from call to call": not equal(first, draw(generator, 2)),
        "another seed gives another result": not equal(first, draw(seeded(seed + 1), 3)),
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

    yield case("probability 0: nothing is hidden", _in_words, 2, 4, 0.0)
    yield case("probability 1: every ordinary token has a label", _in_words, 4, 10, 1.0)
    yield case("only special tokens", _in_words, 3, 4, 1.0, special=1.1)
    yield case("one text of one token, probability 0", _in_words, 1, 1, 0.0, special=0)
    yield case("where the chance comes from", _chance, 8, 30, 0.5)
    often = draw.random.uniform(0.45, 0.6)
    yield case("30,000 tokens, about half of them chosen", _statistics, 60, 500, often)
    yield case("40,000 tokens, no special ones, 30 % chosen", _statistics, 80, 500, 0.3, special=0)
    twos, small = torch.full((200, 500), 2), {"mask_id": 1, "vocab_size": 6}
    about = "100,000 times the same token: which ids replace it"
    yield case(about, _replacements, 200, 500, 1.0, special=0, ids=twos, **small)


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
    """The same seed does not give the same result: there is chance in yours that does not come from
    `generator`. Hand `generator=generator` to every random function, to `randint` as well as to
    `rand`."""
    chosen, labels, draw = _choose(ids, special_mask, probability, None)
    return _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, None)), labels


@mask_tokens.misconception
def starts_the_generator_anew(ids, special_mask, mask_id, vocab_size, probability, generator):
    """You seed a generator inside the function, so every call hides the same places and the model
    sees only one version of each text. Draw from the generator you are given, as it is."""
    generator = torch.Generator().manual_seed(generator.initial_seed())
    chosen, labels, draw = _choose(ids, special_mask, probability, generator)
    return _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, generator)), labels


@mask_tokens.misconception
def changes_the_ids_it_was_given(ids, special_mask, mask_id, vocab_size, probability, generator):
    """You write into `ids` itself, so whoever called you has lost the text. Work on a copy:
    `ids.clone()`, or functions that return a new tensor."""
    chosen, labels, draw = _choose(ids, special_mask, probability, generator)
    ids.copy_(_hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, generator)))
    return ids, labels


@mask_tokens.misconception
def returns_the_labels_first(ids, special_mask, mask_id, vocab_size, probability, generator):
    """Both tensors are there, in the other order: first what the model reads, then the labels."""
    chosen, labels, draw = _choose(ids, special_mask, probability, generator)
    return labels, _hide(ids, chosen, draw, mask_id, _random_ids(ids, vocab_size, generator))


@mask_tokens.misconception
def never_draws_the_first_id(ids, special_mask, mask_id, vocab_size, probability, generator):
    """Id 0 never comes in for a token in yours. Any id of the vocabulary may, from 0 on:
    `torch.randint(vocab_size, ...)`."""
    chosen, labels, draw = _choose(ids, special_mask, probability, generator)
    random_ids = torch.randint(1, vocab_size, ids.shape, generator=generator)
    return _hide(ids, chosen, draw, mask_id, random_ids), labels


@mask_tokens.misconception
def ignores_the_probability(ids, special_mask, mask_id, vocab_size, probability, generator):
    """Yours chooses 15 % whatever `probability` is. BERT's number is an argument here."""
    chosen, labels, draw = _choose(ids, special_mask, 0.15, generator)
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
