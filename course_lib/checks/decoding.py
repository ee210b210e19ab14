"""Notebook 08: what each decoding exercise demands."""

from __future__ import annotations

import functools
from collections import Counter
from functools import partial
from itertools import islice, product

import torch

from course_lib import decoding
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.decoder import DecoderConfig, DecoderLM, decode_step

INF = float("inf")

# --- apply_temperature ---------------------------------------------------------------------

apply_temperature = Exercise(
    "decoding.apply_temperature", points=1, reference=decoding.apply_temperature
)


@apply_temperature.cases
def _(draw):
    def case(about, logits, temperature):
        return Case(about, {"logits": logits, "temperature": temperature})

    yield case("three logits, colder", torch.tensor([2.0, 0.0, -1.0]), 0.5)
    yield case("three logits, hotter", draw.normal(3), 4.0)
    yield case("a temperature of 1", draw.normal(4), 1.0)
    yield case("a batch", draw.normal(2, 5, scale=3.0), 0.7)
    blocked = draw.normal(4)
    blocked[1] = -INF
    yield case("a token that is ruled out (-inf)", blocked, 2.0)
    yield case("large logits, double precision", draw.normal(3, 4, scale=500.0).double(), 0.3)
    one = torch.tensor([1.0, 2.0])
    yield refuses("a temperature of 0", {"logits": one, "temperature": 0.0}, "temperature")
    yield refuses("a negative one", {"logits": one, "temperature": -1.0}, "temperature")
    if draw.hidden:
        yield case("many rows", draw.normal(20, 50, scale=5.0), 1.3)


@apply_temperature.misconception
def multiplies_by_the_temperature(logits, temperature):
    """You multiply, so that a high temperature sharpens. It is the other way round: divide, and a
    high temperature brings the logits closer together."""
    return logits * temperature


@apply_temperature.misconception
def divides_the_probabilities(logits, temperature):
    """You turn the logits into probabilities and divide those: all shrink alike, and nothing
    changes between them. Divide the logits."""
    return logits.softmax(-1) / temperature


@apply_temperature.misconception
def returns_probabilities(logits, temperature):
    """The division is right, and then you take softmax. A filter returns logits: other filters
    come after it, and softmax last of all, once."""
    return (logits / temperature).softmax(-1)


@apply_temperature.misconception
def raises_the_probabilities_to_a_power(logits, temperature):
    """On probabilities, temperature is the power 1 / T, and that is what you do. But this function
    gets logits and returns logits. There the power becomes a division."""
    return logits.softmax(-1) ** (1 / temperature)


@apply_temperature.misconception
def normalises_as_well(logits, temperature):
    """Your probabilities would be right, but these are not the logits divided by the temperature:
    `log_softmax` has moved them. A filter does its one thing and leaves the rest alone."""
    return logits.log_softmax(-1) / temperature


@apply_temperature.misconception
def normalises_afterwards(logits, temperature):
    """After the division you take `log_softmax`, which moves all the logits. The probabilities stay
    the same, but a filter does its one thing and leaves the rest alone."""
    return (logits / temperature).log_softmax(-1)


@apply_temperature.alternative
def by_the_inverse(logits, temperature):
    """Multiply by 1 / T."""
    return (1 / _positive(temperature)) * logits


@apply_temperature.alternative
def number_by_number(logits, temperature):
    """A loop over all numbers."""
    _positive(temperature)
    numbers = [value / temperature for value in logits.flatten().tolist()]
    return torch.tensor(numbers, dtype=logits.dtype).reshape(logits.shape)


def _positive(temperature):
    if temperature <= 0:
        raise ValueError("temperature must be positive")
    return temperature


# --- top_k_filter --------------------------------------------------------------------------

top_k_filter = Exercise("decoding.top_k_filter", points=2, reference=decoding.top_k_filter)


@top_k_filter.cases
def _(draw):
    def case(about, logits, k, **options):
        return Case(about, {"logits": logits, "k": k}, **options)

    some = torch.tensor([1.0, 3.0, -2.0, 2.0, 0.0])[draw.permutation(5)]
    yield case("the best 2 of 5", some, 2)
    yield case("only the best", draw.normal(4), 1)
    yield case("all of them", draw.normal(4), 4)
    yield case("negative logits", draw.normal(5) - 50, 3)
    far = draw.normal(3, 6) + torch.tensor([[0.0], [100.0], [-100.0]])
    yield case("a batch whose rows lie far apart", far, 2)
    yield case("two equal logits, and room for one", torch.tensor([0.0, 5.0, 2.0, 2.0, -1.0]), 2)
    yield case("all logits equal", torch.zeros(2, 7), 3)
    blocked = draw.normal(5)
    blocked[:3] = -INF
    yield case("fewer tokens possible than k", blocked[draw.permutation(5)], 3)
    yield case("double precision", draw.normal(2, 4).double(), 2)
    yield case("k above the vocabulary", draw.normal(3), 9, at_the_door=True)
    yield refuses("a k of 0", {"logits": torch.tensor([1.0, 2.0]), "k": 0}, "k")
    if draw.hidden:
        yield case("many rows", draw.normal(30, 100), 17)
        yield case("whole numbers, many equal", draw.normal(30, 40).round(), 11)


def _masked(logits, keep, value=-INF):
    return logits.masked_fill(~keep, value)


def _ranked(logits, k):
    """True for the k best, lower ids first among equals."""
    order = logits.argsort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order[..., :k], True)


def _kth(logits, k):
    return logits.topk(min(k, logits.shape[-1])).values[..., -1:]


@top_k_filter.misconception
def keeps_all_that_equal_the_kth(logits, k):
    """You compare with the k-th best logit, so when several equal it, all of them stay, and more
    than k are left. Exactly k shall stay: of equals, those with the lower ids. A stable sort
    gives that order."""
    return _masked(logits, logits >= _kth(logits, k))


@top_k_filter.misconception
def removes_the_kth_too(logits, k):
    """You keep what is *above* the k-th best logit, so the k-th itself goes, and k - 1 are left at
    most."""
    return _masked(logits, logits > _kth(logits, k))


@top_k_filter.misconception
def prefers_the_higher_id_among_equals(logits, k):
    """Among equal logits you keep those with the higher ids. That comes of sorting upwards and
    taking the end. Sort downwards with `stable=True`: then lower ids come first."""
    return _masked(logits.flip(-1), _ranked(logits.flip(-1), k)).flip(-1)


@top_k_filter.misconception
def sets_the_others_to_zero(logits, k):
    """The others get a logit of 0. That is no low score: softmax makes it e^0 = 1, which may be
    more than what you keep. Only -inf becomes probability 0."""
    return _masked(logits, _ranked(logits, k), 0.0)


@top_k_filter.misconception
def multiplies_by_the_mask(logits, k):
    """You multiply by a mask of ones and zeros, so the others get a logit of 0. That is no low
    score: softmax makes it e^0 = 1. Only -inf becomes probability 0; `masked_fill` puts it in."""
    return logits * _ranked(logits, k)


@top_k_filter.misconception
def uses_a_low_number_in_place_of_minus_infinity(logits, k):
    """A very low number is not -inf: after softmax it is nearly 0, and if all logits of a row are
    low, it is not even that. Use `float("-inf")`."""
    return _masked(logits, _ranked(logits, k), -1e9)


@top_k_filter.misconception
def returns_only_the_best(logits, k):
    """You return k logits, and nobody can tell whose they are. Return as many as came in, each in
    its place, with -inf for those that are out."""
    return logits.sort(dim=-1, descending=True, stable=True).values[..., :k]


@top_k_filter.misconception
def returns_them_sorted(logits, k):
    """The right ones are kept, but they no longer stand in their places: the position of a logit is
    the id of its token."""
    ordered = logits.sort(dim=-1, descending=True, stable=True).values
    return ordered.masked_fill(torch.arange(logits.shape[-1]) >= k, -INF)


@top_k_filter.misconception
def removes_the_best(logits, k):
    """You put -inf where the best k are. It is the others that go."""
    return logits.masked_fill(_ranked(logits, k), -INF)


@top_k_filter.misconception
def takes_ids_for_ranks(logits, k):
    """`argsort` gives the ids, best first. You read it the other way round, as the rank of each
    token. The first k entries of it are the ids to keep: set a mask to True at those."""
    return _masked(logits, logits.argsort(dim=-1, descending=True, stable=True) < k)


@top_k_filter.misconception
def keeps_the_lowest(logits, k):
    """You keep the k lowest logits: `sort` and `argsort` go upwards unless told
    `descending=True`."""
    order = logits.argsort(dim=-1, stable=True)
    keep = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order[..., :k], True)
    return _masked(logits, keep)


@top_k_filter.misconception
def takes_one_threshold_for_the_whole_batch(logits, k):
    """The k best of the *whole batch* set your threshold. Each row is a text of its own and keeps
    its own k."""
    rows = logits.shape[:-1].numel()
    threshold = logits.flatten().sort(descending=True).values[min(k, logits.numel()) - 1]
    return _masked(logits, _ranked(logits, k) & (logits >= threshold) if rows > 1 else
                   _ranked(logits, k))  # fmt: skip


@top_k_filter.misconception
def returns_probabilities(logits, k):  # noqa: F811 - a name in another exercise
    """You return probabilities. A filter returns logits; softmax comes last of all, once."""
    return _masked(logits, _ranked(logits, k)).softmax(-1)


@top_k_filter.alternative
def by_counting_who_is_better(logits, k):
    """A token's rank is the number of tokens that beat it."""
    if k < 1:
        raise ValueError("k must be at least 1")
    ids = torch.arange(logits.shape[-1])
    me, other = logits[..., :, None], logits[..., None, :]
    beats = (other > me) | ((other == me) & (ids[None, :] < ids[:, None]))
    return torch.where(beats.sum(-1) < k, logits, -INF)


@top_k_filter.alternative
def row_by_row_in_python(logits, k):
    """Python's sort is stable."""
    if k < 1:
        raise ValueError("k must be at least 1")
    rows = logits.reshape(-1, logits.shape[-1])
    out = torch.full_like(rows, -INF)
    for row, new in zip(rows, out, strict=True):
        for id in sorted(range(len(row)), key=lambda id: -float(row[id]))[:k]:  # noqa: B023
            new[id] = row[id]
    return out.reshape(logits.shape)


# --- top_p_filter --------------------------------------------------------------------------

top_p_filter = Exercise("decoding.top_p_filter", points=3, reference=decoding.top_p_filter)


@top_p_filter.cases
def _(draw):
    def case(about, logits, p, **options):
        return Case(about, {"logits": logits, "p": p}, **options)

    def between(row, n):
        """A p that the first n tokens reach and n - 1 do not, far from both."""
        total = row.double().softmax(-1).sort(descending=True).values.cumsum(-1)
        return round((total[n - 1].item() + (total[n - 2].item() if n > 1 else 0)) / 2, 6)

    known = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    yield case("0.5, 0.3, 0.15 and 0.05: two reach 0.7", known, 0.7)
    yield case("the same in another order: three reach 0.85", known[draw.permutation(4)], 0.85)
    yield case("the best alone has more than p", known[draw.permutation(4)], 0.2)
    yield case("p is 0", draw.normal(5), 0.0)
    yield case("four equal tokens: two reach 0.5 exactly", torch.zeros(4), 0.5)
    yield case("seven equal tokens: four reach 0.5", torch.zeros(7), 0.5)
    sharp = torch.tensor([[6.0, 0.0, 1.0, 2.0], [0.3, 0.0, 0.2, 0.1]])[:, draw.permutation(4)]
    yield case("a batch: one row is sure, the other is not", sharp, 0.6)
    blocked = torch.tensor([0.2, -INF, 0.0, 1.0, -INF])
    yield case("tokens that are ruled out (-inf)", blocked[draw.permutation(5)], 0.9)
    logits = draw.normal(6)
    yield case("the logits moved up by 100", logits + 100, between(logits, 3))
    yield case("the logits moved down by 100, double precision", logits.double() - 100,
               between(logits, 4))  # fmt: skip
    faint = torch.tensor([0.0, -200.0, 3.0])
    yield case("p is 1, and a token too faint for a float32", faint, 1.0)
    yield refuses("a p above 1", {"logits": known, "p": 1.5}, "p")
    yield refuses("a negative p", {"logits": known, "p": -0.1}, "p")
    if draw.hidden:
        many = draw.normal(40, scale=2.0)
        yield case("many tokens", many, between(many, 9))


def _nucleus(logits, p, probs=None):
    """(ids by falling logit, cumulated probability) and the way back."""
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    return order, ordered.softmax(-1).cumsum(-1)


def _scattered(logits, order, keep):
    return _masked(logits, torch.zeros_like(keep).scatter(-1, order, keep))


@top_p_filter.misconception
def keeps_what_stays_below_p(logits, p):
    """You keep tokens as long as their sum stays below p, so what you keep has *less* than p
    (except that one always stays). The token that crosses p belongs to the set: only with it the
    set reaches p."""
    order, total = _nucleus(logits, p)
    keep = total <= p
    keep[..., 0] = True
    return _scattered(logits, order, keep if p < 1 else torch.ones_like(keep))


@top_p_filter.misconception
def may_keep_nothing(logits, p):
    """You keep tokens as long as their sum stays below p. If the best token alone has more than
    that, nothing is left to draw from. The token that crosses p belongs to the set, so there is
    always one."""
    order, total = _nucleus(logits, p)
    keep = total <= p
    return _scattered(logits, order, keep if p < 1 else torch.ones_like(keep))


@top_p_filter.misconception
def stays_strictly_below_p(logits, p):
    """You keep tokens as long as their sum is below p, and the one that reaches it goes, even where
    it makes p exactly. The token that crosses p belongs to the set."""
    order, total = _nucleus(logits, p)
    keep = total < p
    keep[..., 0] = True
    return _scattered(logits, order, keep if p < 1 else torch.ones_like(keep))


@top_p_filter.misconception
def goes_on_when_p_is_met_exactly(logits, p):
    """When the tokens so far have exactly p, you take one more. They have reached p already: the
    set is the *smallest* one that does."""
    order, total = _nucleus(logits, p)
    keep = torch.ones_like(total, dtype=torch.bool)
    keep[..., 1:] = (total[..., :-1] <= p) & ((total[..., :-1] > 0) if p > 0 else False) | (p == 1)
    return _scattered(logits, order, keep)


@top_p_filter.misconception
def forgets_to_undo_the_sorting(logits, p):
    """The mask is made for the sorted tokens, and you lay it on the unsorted ones. Bring it back to
    the order of the ids first: `scatter` with the order that `sort` gave you."""
    order, total = _nucleus(logits, p)
    return _masked(logits, _reaches(total, p))


def _reaches(total, p):
    keep = torch.ones_like(total, dtype=torch.bool)
    keep[..., 1:] = (total[..., :-1] < p) | (p == 1)
    return keep


@top_p_filter.misconception
def goes_the_wrong_way_back(logits, p):
    """The mask is right for the sorted tokens, and on its way back it is shuffled once more.
    `gather` with `order` sorts; to undo the sorting, put entry i where `order[i]` says, with
    `scatter`."""
    order, total = _nucleus(logits, p)
    return _masked(logits, _reaches(total, p).gather(-1, order))


@top_p_filter.misconception
def overlooks_both_ends(logits, p):
    """You keep a token if the sum before it is below p. That is the rule, and it fails at both
    ends. At p = 0 no sum is below 0, but the best token always stays. At p = 1 rounding lets the
    sum reach 1 too early, but all tokens stay."""
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    probs = ordered.softmax(-1)
    return _scattered(logits, order, probs.cumsum(-1) - probs < p)


@top_p_filter.misconception
def keeps_what_comes_after(logits, p):
    """You keep the tokens at which the sum is p or more. Those are the unlikely ones, and the best
    go. Keep those before which the sum is still below p."""
    order, total = _nucleus(logits, p)
    return _scattered(logits, order, total >= p)


@top_p_filter.misconception
def returns_them_sorted(logits, p):  # noqa: F811
    """The right ones are kept, but they no longer stand in their places: the position of a logit is
    the id of its token."""
    ordered = logits.sort(dim=-1, descending=True, stable=True).values
    return _masked(ordered, _reaches(ordered.softmax(-1).cumsum(-1), p))


@top_p_filter.misconception
def compares_each_token_with_p(logits, p):
    """You keep tokens whose *own* probability is at least p. It is the sum of the best ones that
    has to reach p."""
    return _masked(logits, logits.softmax(-1) >= p)


@top_p_filter.misconception
def adds_up_in_the_order_of_the_ids(logits, p):
    """You add up from id 0 on, whatever the probabilities are. The set is made of the *most likely*
    tokens: sort first, the best in front."""
    return _masked(logits, _reaches(logits.softmax(-1).cumsum(-1), p))


@top_p_filter.misconception
def adds_up_logits(logits, p):
    """You add up logits. p is a probability: take softmax before you add."""
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    return _scattered(logits, order, _reaches(ordered.cumsum(-1), p))


@top_p_filter.misconception
def starts_with_the_least_likely(logits, p):
    """You add up from the least likely token on, so the unlikely ones stay and the best may go.
    Sort with `descending=True`."""
    ordered, order = logits.sort(dim=-1, stable=True)
    return _scattered(logits, order, _reaches(ordered.softmax(-1).cumsum(-1), p))


@top_p_filter.misconception
def adds_up_over_the_whole_batch(logits, p):
    """You sort and add up over the whole batch at once. Each row is a distribution of its own: give
    the last axis to `sort`, `softmax` and `cumsum`."""
    flat = logits.flatten()
    order, total = _nucleus(flat, p)
    return _scattered(flat, order, _reaches(total, p)).reshape(logits.shape)


@top_p_filter.misconception
def loses_the_faintest_at_1(logits, p):
    """At p = 1 all tokens shall stay. Yours loses one: its probability is too small for a float,
    the sum before it is rounded to 1, and 1 is reached. Let p = 1 keep all whatever the sum
    says."""
    order, total = _nucleus(logits, p)
    keep = torch.ones_like(total, dtype=torch.bool)
    keep[..., 1:] = total[..., :-1] < p
    return _scattered(logits, order, keep)


@top_p_filter.misconception
def returns_probabilities(logits, p):  # noqa: F811
    """You return probabilities. A filter returns logits; softmax comes last of all, once."""
    return decoding.top_p_filter(logits, p).softmax(-1)


@top_p_filter.alternative
def from_the_unlikely_end(logits, p):
    """As `transformers` does: remove, from below, what sums to at most 1 - p."""
    _share(p)
    if p == 1:
        return logits.clone()
    ordered, order = logits.flip(-1).sort(dim=-1, stable=True)  # upwards, higher ids first
    order = logits.shape[-1] - 1 - order
    remove = ordered.softmax(-1).cumsum(-1) <= 1 - p
    remove[..., -1] = False
    return _scattered(logits, order, ~remove)


@top_p_filter.alternative
def one_token_after_another(logits, p):
    """Take tokens until the sum is reached."""
    _share(p)
    rows = logits.reshape(-1, logits.shape[-1])
    out = torch.full_like(rows, -INF)
    for row, new in zip(rows, out, strict=True):
        probs, total = row.softmax(-1).tolist(), 0.0
        for id in sorted(range(len(row)), key=lambda id: -probs[id]):  # noqa: B023
            new[id] = row[id]
            total += probs[id]
            if total >= p and p < 1:
                break
    return out.reshape(logits.shape)


def _share(p):
    if not 0 <= p <= 1:
        raise ValueError("p must lie in 0 ... 1")


# --- repetition_penalty --------------------------------------------------------------------

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


# --- sample --------------------------------------------------------------------------------

sample = Exercise("decoding.sample", points=1, reference=decoding.sample, tolerance=0.0)


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _drawn(solution, logits, seed):
    """The ids, as a tensor: one id may also come as a Python number."""
    return torch.as_tensor(solution(logits, _generator(seed)))


def _fits(counts, probs):
    """Whether all counts lie within six standard deviations of what the probabilities say."""
    n, probs = counts.sum().double(), probs.double()
    return bool(((counts - n * probs).abs() <= 6 * (n * probs * (1 - probs)).sqrt() + 1e-9).all())


def _shares_fit(solution, logits, seed, draws=1500):
    """Draw one row of logits many times, as a batch."""
    got = torch.as_tensor(solution(logits.expand(draws, -1), _generator(seed)))
    counts = got.flatten().bincount(minlength=len(logits))
    shares = " ".join(f"{share:.2f}" for share in (counts / counts.sum()).tolist())
    wanted = " ".join(f"{prob:.2f}" for prob in logits.softmax(-1).tolist())
    print(f"share of each id in {draws} draws: {shares}\nsoftmax of the logits: {wanted}")
    return {
        "as often as softmax says": _fits(counts, logits.softmax(-1)),
        "equal rows draw for themselves": len(got.unique()) > 1,
    }


def _follows_the_generator(solution, logits, seed):
    def calls(generator):
        rows = logits.expand(5, -1)
        return [torch.as_tensor(solution(rows, generator)).tolist() for _ in range(20)]

    state = torch.get_rng_state()
    first = calls(_generator(seed))
    return {
        "the same seed gives the same ids": first == calls(_generator(seed)),
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
    known = torch.tensor([0.1, 0.55, 0.35]).log()[draw.permutation(3)]
    yield case("probabilities 0.1, 0.35 and 0.55", known, _shares_fit)
    some = torch.cat([torch.tensor([2.0, 1.0, 0.5]), torch.tensor([-INF])])[draw.permutation(4)]
    yield case("positive logits, and a token that is ruled out", some, _shares_fit)
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
    return torch.multinomial(logits.softmax(-1), 1, generator=_generator(0)).squeeze(-1)


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


# --- stream_tokens -------------------------------------------------------------------------

stream_tokens = Exercise(
    "decoding.stream_tokens", points=4, reference=decoding.stream_tokens, tolerance=0.0
)

VOCAB, PAD = 12, 5
TOLD = "only id (sum + 2 length of the text) % 12"


class CountingDecoder(DecoderLM):
    """Counts how often it reads a whole text."""

    whole_texts = 0

    def forward(self, *arguments, **options):
        self.whole_texts += 1
        return super().forward(*arguments, **options)


@functools.lru_cache(maxsize=64)
def _model(seed):
    """A tiny decoder, far from uniform, that does not always say the same."""
    config = DecoderConfig(VOCAB, 24, width=8, n_layers=1, n_heads=2, ffn_width=12)
    model = CountingDecoder(config, _generator(seed)).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(4.0)
    return model


def _filter(name):
    """Filters by name, so that a case can be read."""
    return {
        "not the best": lambda logits: logits.scatter(-1, logits.argmax(-1, keepdim=True), -INF),
        "only id 0": lambda logits: logits.masked_fill(torch.arange(VOCAB) > 0, -INF),
        "id 3 gets 50 more": lambda logits: logits + 50.0 * (torch.arange(VOCAB) == 3),
        "temperature 2": partial(decoding.apply_temperature, temperature=2.0),
        "top-k 3": partial(decoding.top_k_filter, k=3),
        "repetition penalty 3": partial(decoding.repetition_penalty, penalty=3.0),
        TOLD: _told_by_the_text,
    }[name]


def _told_by_the_text(logits, ids):
    """Whoever shows this filter another text than the right one gets another token."""
    told = (ids.sum() + 2 * len(ids)) % VOCAB
    return logits.masked_fill(torch.arange(VOCAB) != told, -INF)


def _arguments(prompts, stop_ids, filters, use_cache):
    ids, mask = decoding.pad_left(prompts, PAD)
    padded = len({len(prompt) for prompt in prompts}) > 1
    options = {"attention_mask": mask} if padded else {}
    options |= {"stop_ids": stop_ids} if stop_ids else {}
    options |= {"filters": [_filter(name) for name in filters]} if filters else {}
    options |= {} if use_cache else {"use_cache": False}
    return ids, options


def _steps(solution, model_seed, prompts, max_new_tokens, stop_ids, filters, use_cache):
    """All steps, as a list; at most 40, so that an endless stream ends."""
    ids, options = _arguments(prompts, stop_ids, filters, use_cache)
    stream = solution(_model(model_seed), ids, max_new_tokens=max_new_tokens, **options)
    return [list(step) for step in islice(stream, 40)]


def _laziness(solution, model_seed, prompts, max_new_tokens):
    """How much is computed when the first token is handed out."""
    computed = []
    watch = lambda logits: (computed.append(1), logits)[1]  # noqa: E731
    ids = torch.tensor(prompts)
    stream = iter(solution(_model(model_seed), ids, max_new_tokens=max_new_tokens, filters=[watch]))
    next(stream)
    return {"steps computed ahead, when the first token is out": max(0, len(computed) - 1)}


def _gradients(solution, model_seed, prompts, max_new_tokens):
    """Whether the caller's code can still record gradients between two tokens."""
    stream = iter(
        solution(_model(model_seed), torch.tensor(prompts), max_new_tokens=max_new_tokens)
    )
    before = torch.is_grad_enabled()
    next(stream)
    between = torch.is_grad_enabled()
    torch.set_grad_enabled(before)
    return {"gradients are on for the caller between two tokens": between}


def _whole_texts(solution, model_seed, prompts, max_new_tokens, use_cache):
    """Whether the whole text is read at each step, by `model(...)`."""
    model, ids = _model(model_seed), torch.tensor(prompts)
    model.whole_texts = 0
    options = {}
    if not use_cache:  # then a model is what can be called
        model, options = (lambda *arguments: _model(model_seed)(*arguments)), {"use_cache": False}
    for _ in islice(solution(model, ids, max_new_tokens=max_new_tokens, **options), 40):
        pass
    return {"reads the whole text again at each step": _model(model_seed).whole_texts > 1}


def _draws(solution, model_seed, prompt, filters, seed):
    """A first token for each of many equal rows, drawn with a generator."""
    ids, model = torch.tensor([prompt]).expand(100, -1), _model(model_seed)
    chosen = [_filter(name) for name in filters]

    def first_tokens(seed):
        options = {"filters": chosen, "generator": _generator(seed)}
        return torch.tensor(next(iter(solution(model, ids, max_new_tokens=1, **options))))

    got = first_tokens(seed)
    logits = decoding.apply_filters(model(ids[:1])[:, -1], chosen, [ids[0]])[0]
    return {
        "as often as softmax of the filtered logits says": _fits(
            got.bincount(minlength=VOCAB), logits.softmax(-1)
        ),
        "the same seed gives the same ids": torch.equal(got, first_tokens(seed)),
        "another seed gives others": not torch.equal(got, first_tokens(seed + 1)),
    }


def _interesting(draw, prompts, n, filters=()):
    """(model seed, a stop id, the rows without it): rows of different ids that the stop id ends
    at different steps, one of them never."""
    for _ in range(2000):
        seed = draw.random.randrange(10**6)
        ids, options = _arguments(prompts, (), filters, True)
        rows, _ = decoding.generate(_model(seed), ids, max_new_tokens=n, **options)
        if len(set(map(tuple, rows))) < len(rows) or min(len(set(row)) for row in rows) < 3:
            continue
        for stop in rows[0][1:-1]:
            ends = [row.index(stop) if stop in row else n for row in rows]
            if len(set(ends)) == len(ends) and max(ends) == n:
                return seed, stop, rows
    raise AssertionError("no interesting model found")


@stream_tokens.cases
def _(draw):
    def case(about, seed, prompts, n, stop_ids=(), filters=(), use_cache=True):
        arguments = {"model_seed": seed, "prompts": prompts, "max_new_tokens": n}
        arguments |= {"stop_ids": list(stop_ids), "filters": list(filters)}
        return Case(about, arguments | {"use_cache": use_cache}, _steps)

    def prompts(*lengths):
        return [draw.ids(VOCAB, length).tolist() for length in lengths]

    ragged = prompts(3, 6, 4)
    alone = ragged[:1]
    seed, stop, rows = _interesting(draw, ragged, 6)
    yield case("one text, four tokens", seed, alone, 4)
    yield case("no tokens at all", seed, alone, 0)
    yield case("one text that meets a stop id", seed, alone, 6, [stop])
    unwritten = next(id for id in range(VOCAB) if id not in rows[0])
    yield case(
        "a stop id that stands in the prompt", seed, [[unwritten, *alone[0]]], 1, [unwritten]
    )
    yield case("two texts of the same length", seed, prompts(4, 4), 5)
    yield case("three texts of different length", seed, ragged, 5)
    yield case("three texts that end at different steps", seed, ragged, 6, [stop])
    yield case("every text ends before its time", seed, ragged, 9, {row[2] for row in rows})
    yield case("without the cache", seed, ragged, 6, [stop], use_cache=False)
    order = ["not the best", "id 3 gets 50 more"]
    yield case("two filters, whose order matters", seed, ragged, 4, filters=order)
    yield case("a filter that sees the text", seed, ragged, 5, filters=[TOLD])
    few = {"model_seed": seed, "prompts": alone, "max_new_tokens": 5}
    yield Case("a reader who takes only the first token", few, _laziness)
    yield Case("a reader who wants gradients of something else", few, _gradients)
    for use_cache in (True, False):
        about = f"what is read at each step with{'' if use_cache else 'out'} the cache"
        yield Case(about, few | {"use_cache": use_cache}, _whole_texts)
    random = {"model_seed": seed, "prompt": alone[0], "filters": ["temperature 2", "top-k 3"]}
    yield Case("tokens drawn with a generator", random | {"seed": seed}, _draws)
    if draw.hidden:
        wide = prompts(1, 7, 3, 5)
        seed, stop, _ = _interesting(draw, wide, 8)
        yield case("four texts", seed, wide, 8, [stop], ["repetition penalty 3"])
        yield case("four texts without the cache", seed, wide, 8, [stop], use_cache=False)


def _stream(
    model,
    ids,
    *,
    max_new_tokens,
    attention_mask=None,
    stop_ids=(),
    filters=(),
    generator=None,
    use_cache=True,
    read=None,
    texts_of=None,
    show=None,
    after=None,
    extra=0,
):
    """The reference's loop, with places where a mistake can be put."""
    mask = torch.ones_like(ids) if attention_mask is None else attention_mask
    running, new, new_mask, cache, prompt = [True] * len(ids), ids, mask, None, ids.shape[1]
    for _ in range(max_new_tokens + extra):
        with torch.no_grad():
            if read is not None:
                logits, cache = read(model, ids, mask, new, new_mask, cache, use_cache)
            elif use_cache:
                logits, cache = decode_step(model, new, cache, new_mask)
            else:
                logits = model(ids, mask)[:, -1]
        texts = [row[seen] for row, seen in zip(ids, mask.bool(), strict=True)]
        if texts_of is not None:
            texts = texts_of(ids, mask, prompt)
        logits = decoding.apply_filters(logits, filters, texts)
        chosen = logits.argmax(-1) if generator is None else decoding.sample(logits, generator)
        tokens = chosen.tolist()
        yield (show or _shown)(tokens, running, stop_ids)
        running = [r and t not in stop_ids for t, r in zip(tokens, running, strict=True)]
        if (after or _nobody)(running):
            return
        new, new_mask = chosen[:, None], torch.ones_like(mask[:, :1])
        ids, mask = torch.cat([ids, new], 1), torch.cat([mask, new_mask], 1)


def _shown(tokens, running, stop_ids):
    return [token if runs else None for token, runs in zip(tokens, running, strict=True)]


def _nobody(running):
    return not any(running)


@stream_tokens.misconception
def forgets_the_attention_mask(model, ids, **options):
    """The model never hears of `attention_mask`, so padding is read as if it were text. Hand the
    mask on, to `decode_step` or to the model."""

    def read(model, ids, mask, new, new_mask, cache, use_cache):
        return decode_step(model, new, cache) if use_cache else (model(ids)[:, -1], None)

    return _stream(model, ids, read=read, **options)


@stream_tokens.misconception
def forgets_the_attention_mask_without_the_cache(model, ids, **options):
    """With the cache all is right. Without it, the model never hears of `attention_mask`, and reads
    padding as if it were text."""

    def read(model, ids, mask, new, new_mask, cache, use_cache):
        if use_cache:
            return decode_step(model, new, cache, new_mask)
        return model(ids)[:, -1], None

    return _stream(model, ids, read=read, **options)


@stream_tokens.misconception
def reads_the_whole_text_into_a_full_cache(model, ids, **options):
    """You hand `decode_step` the whole text together with a cache that already holds it, so the
    model reads it twice, and more at each step. With a cache, only the newest token is new."""

    def read(model, ids, mask, new, new_mask, cache, use_cache):
        if use_cache:
            return decode_step(model, ids, cache, mask)
        return model(ids, mask)[:, -1], None

    return _stream(model, ids, read=read, **options)


@stream_tokens.misconception
def forgets_the_cache_it_got(model, ids, **options):
    """`decode_step` gets the newest token alone, and no cache, so the model has forgotten all that
    came before it. Keep the cache that each step returns, and hand it to the next."""

    def read(model, ids, mask, new, new_mask, cache, use_cache):
        if use_cache:
            return decode_step(model, new, None, new_mask)
        return model(ids, mask)[:, -1], None

    return _stream(model, ids, read=read, **options)


@stream_tokens.misconception
def never_uses_the_cache(model, ids, **options):
    """The tokens are right, but `use_cache=True` makes no difference: the whole text is read again
    for each of them. Use `decode_step` then, which reads the newest token only."""

    def read(model, ids, mask, new, new_mask, cache, use_cache):
        return model(ids, mask)[:, -1], None

    return _stream(model, ids, read=read, **options)


@stream_tokens.misconception
def always_uses_the_cache(model, ids, **options):
    """The tokens are right, but `use_cache=False` makes no difference: `decode_step` is used all
    the same. Without the cache, the whole text goes to `model(ids, attention_mask)` at each
    step."""
    return _stream(model, ids, **options | {"use_cache": True})


@stream_tokens.misconception
def ends_all_with_the_first(model, ids, **options):
    """When one text meets a stop id, yours ends for all of them. The others go on: it ends when
    *every* text has."""
    return _stream(model, ids, after=lambda running: not all(running), **options)


@stream_tokens.misconception
def goes_on_after_a_stop(model, ids, **options):
    """A text that has met a stop id goes on in yours. From then on its place holds None."""
    return _stream(model, ids, show=lambda tokens, running, stop_ids: tokens, **options)


@stream_tokens.misconception
def never_ends_early(model, ids, **options):
    """After every text has ended, yours still hands out lists of None until `max_new_tokens`. When
    nobody is left, return."""
    return _stream(model, ids, after=lambda running: False, **options)


@stream_tokens.misconception
def ignores_the_stop_ids(model, ids, **options):
    """`stop_ids` make no difference in yours. A text ends with the first of them that it writes."""
    return _stream(model, ids, **options | {"stop_ids": ()})


@stream_tokens.misconception
def keeps_the_stop_id_to_itself(model, ids, **options):
    """The stop id itself is missing: yours says None already at the step that writes it. It is
    handed out, and None comes after it."""

    def show(tokens, running, stop_ids):
        shown = _shown(tokens, running, stop_ids)
        return [None if token in stop_ids else token for token in shown]

    return _stream(model, ids, show=show, **options)


@stream_tokens.misconception
def writes_one_too_many(model, ids, **options):
    """Yours writes one token more than `max_new_tokens`."""
    return _stream(model, ids, extra=1, **options)


@stream_tokens.misconception
def counts_the_prompt(model, ids, **options):
    """`max_new_tokens` counts the *new* tokens. Yours takes off the prompt."""
    most = max(0, options["max_new_tokens"] - ids.shape[1])
    return _stream(model, ids, **options | {"max_new_tokens": most})


@stream_tokens.misconception
def hands_out_everything_at_the_end(model, ids, **options):
    """All tokens are computed before the first is handed out. A reader should see each as soon as
    it is there: `yield` it inside the loop, rather than collecting them in a list."""
    return list(_stream(model, ids, **options))


@stream_tokens.misconception
def switches_gradients_off_for_the_caller(model, ids, **options):
    """Your `yield` stands inside `with torch.no_grad()`. While the generator waits there, gradients
    are off for whoever reads the tokens, too. Put only the call of the model inside."""
    with torch.no_grad():
        yield from _stream(model, ids, **options)


@stream_tokens.misconception
def always_takes_the_best(model, ids, **options):
    """You take the best token even when there is a generator. Then the token is to be drawn, with
    `sample`."""
    return _stream(model, ids, **options | {"generator": None})


@stream_tokens.misconception
def forgets_the_filters(model, ids, **options):
    """`filters` make no difference in yours. They go over the logits, in their order, before the
    token is chosen."""
    return _stream(model, ids, **options | {"filters": ()})


@stream_tokens.misconception
def applies_the_filters_backwards(model, ids, **options):
    """You apply the last filter first. They are meant to work in the order of the list."""
    return _stream(model, ids, **options | {"filters": list(options.get("filters", ()))[::-1]})


@stream_tokens.misconception
def shows_the_filters_padding(model, ids, **options):
    """A filter that looks at the text sees padding as well, and takes it for tokens that came. Give
    it the row without padding: `row[mask]` keeps the places where a boolean mask is True."""
    return _stream(model, ids, texts_of=lambda ids, mask, prompt: list(ids), **options)


@stream_tokens.misconception
def shows_the_filters_only_the_prompt(model, ids, **options):
    """A filter that looks at the text sees the prompt alone. What was written since is part of the
    text."""

    def texts_of(ids, mask, prompt):
        return [row[:prompt][seen[:prompt]] for row, seen in zip(ids, mask.bool(), strict=True)]

    return _stream(model, ids, texts_of=texts_of, **options)


@stream_tokens.misconception
def shows_the_filters_only_what_is_new(model, ids, **options):
    """A filter that looks at the text sees only what was written since the prompt. The prompt is
    part of the text."""
    return _stream(
        model, ids, texts_of=lambda ids, mask, prompt: [row[prompt:] for row in ids], **options
    )


@stream_tokens.alternative
def each_text_by_itself(
    model, ids, *, max_new_tokens, attention_mask=None, generator=None, stop_ids=(), **options
):
    """One stream for each row, without padding, read side by side."""
    mask = torch.ones_like(ids) if attention_mask is None else attention_mask

    def one(text):
        stream = _stream(model, text[None], max_new_tokens=max_new_tokens, stop_ids=stop_ids,
                         generator=generator, **options)  # fmt: skip
        for (token,) in stream:
            yield token
        while True:
            yield None

    streams = [one(row[seen]) for row, seen in zip(ids, mask.bool(), strict=True)]
    ended = [False] * len(streams)
    for _ in range(max_new_tokens):
        step = [next(stream) for stream in streams]
        yield step
        ended = [end or token in stop_ids for end, token in zip(ended, step, strict=True)]
        if all(ended):
            return


@stream_tokens.alternative
def with_boolean_tensors(
    model, ids, *, max_new_tokens, attention_mask=None, stop_ids=(), filters=(), generator=None,
    use_cache=True,
):  # fmt: skip
    """Which rows have ended is a tensor; the prompt is read before the loop."""
    mask = torch.ones_like(ids) if attention_mask is None else attention_mask
    stops = torch.tensor(sorted(stop_ids), dtype=torch.int64)
    ended, cache = torch.zeros(len(ids), dtype=torch.bool), None
    if max_new_tokens == 0:
        return
    with torch.no_grad():
        if use_cache:
            logits, cache = decode_step(model, ids, None, mask)
        else:
            logits = model(ids, mask)[:, -1]
    for step in range(max_new_tokens):
        texts = [row[seen] for row, seen in zip(ids, mask.bool(), strict=True)]
        scores = decoding.apply_filters(logits, filters, texts)
        tokens = scores.argmax(-1) if generator is None else decoding.sample(scores, generator)
        yield [None if end else int(token) for end, token in zip(ended, tokens, strict=True)]
        ended = ended | torch.isin(tokens, stops)
        if ended.all() or step == max_new_tokens - 1:
            return
        ids = torch.cat([ids, tokens[:, None]], dim=1)
        mask = torch.nn.functional.pad(mask, (0, 1), value=1)
        with torch.no_grad():
            if use_cache:
                logits, cache = decode_step(model, tokens[:, None], cache)
            else:
                logits = model(ids, mask)[:, -1]


# --- generate ------------------------------------------------------------------------------

generate = Exercise("decoding.generate", points=2, reference=decoding.generate, tolerance=0.0)


def _generated(
    solution, model_seed, prompts, max_new_tokens, stop_ids, filters, use_cache, seed=None
):
    ids, options = _arguments(prompts, stop_ids, filters, use_cache)
    options |= {"generator": _generator(seed)} if seed is not None else {}
    result = solution(_model(model_seed), ids, max_new_tokens=max_new_tokens, **options)
    if not isinstance(result, tuple) or len(result) != 2:
        return result
    rows, reasons = result
    return [list(row) for row in rows], list(reasons)


def _first_tokens(solution, model_seed, prompt, filters, seed):
    """As `_draws`, of what `generate` returns."""

    def as_stream(*arguments, **options):
        rows, _ = solution(*arguments, **options)
        return zip(*rows, strict=True)

    return _draws(as_stream, model_seed, prompt, filters, seed)


@generate.cases
def _(draw):
    def case(about, seed, prompts, n, stop_ids=(), filters=(), use_cache=True):
        arguments = {"model_seed": seed, "prompts": prompts, "max_new_tokens": n}
        arguments |= {"stop_ids": list(stop_ids), "filters": list(filters)}
        return Case(about, arguments | {"use_cache": use_cache}, _generated)

    def prompts(*lengths):
        return [draw.ids(VOCAB, length).tolist() for length in lengths]

    ragged = prompts(3, 5, 4)
    alone = ragged[:1]
    seed, stop, rows = _interesting(draw, ragged, 6)
    yield case("one text of three tokens", seed, alone, 3)
    yield case("no tokens at all", seed, prompts(2, 2), 0)
    yield case("one text that meets a stop id", seed, alone, 6, [stop])
    at = rows[0].index(stop)
    yield case("a stop id as the very last token", seed, alone, at + 1, [stop])
    yield case("a stop id one token too late", seed, alone, at, [stop])
    yield case("three texts of different length", seed, ragged, 6, [stop])
    yield case("every text ends before its time", seed, ragged, 9, {row[2] for row in rows})
    yield case("without the cache", seed, ragged, 6, [stop], use_cache=False)
    yield case("with filters", seed, ragged, 5, filters=["temperature 2", TOLD])
    yield case("a token whose id is 0", seed, alone, 2, filters=["only id 0"])
    few = {"model_seed": seed, "prompts": alone, "max_new_tokens": 3, "use_cache": False}
    yield Case("what is read at each step without the cache", few, _whole_texts)
    random = {"model_seed": seed, "prompt": alone[0], "filters": ["temperature 2", "top-k 3"]}
    yield Case("tokens drawn with a generator", random | {"seed": seed}, _first_tokens)


def _collected(model, ids, **options):
    return decoding.generate(model, ids, **options)


def _steps_of(model, ids, **options):
    return list(decoding.stream_tokens(model, ids, **options))


@generate.misconception
def keeps_the_nones(model, ids, **options):
    """Your rows hold None where a text had ended. A row is the ids that were written, and no
    more."""
    steps = _steps_of(model, ids, **options)
    rows = [[step[i] for step in steps] for i in range(len(ids))]
    return rows, _collected(model, ids, **options)[1]


@generate.misconception
def loses_id_0(model, ids, **options):
    """A token with the id 0 is missing in your rows: in Python 0 counts as False, as None does.
    Ask `is not None`."""
    rows, reasons = _collected(model, ids, **options)
    return [[id for id in row if id] for row in rows], reasons


@generate.misconception
def returns_steps_instead_of_rows(model, ids, **options):
    """Your lists hold one *step* each, over all texts. Turn them round: one list for each text."""
    steps = _steps_of(model, ids, **options)
    steps = [[token for token in step if token is not None] for step in steps]
    return steps, _collected(model, ids, **options)[1]


@generate.misconception
def returns_the_prompt_as_well(model, ids, **options):
    """Your rows begin with the prompt. Only the new ids are asked for."""
    rows, reasons = _collected(model, ids, **options)
    return [prompt + row for prompt, row in zip(ids.tolist(), rows, strict=True)], reasons


@generate.misconception
def cuts_the_stop_id_off(model, ids, **options):
    """The stop id is missing at the end of your rows. It was written, so it belongs to the new ids;
    whoever prints the text can drop it."""
    rows, reasons = _collected(model, ids, **options)
    stop_ids = options.get("stop_ids", ())
    return [[id for id in row if id not in stop_ids] for row in rows], reasons


@generate.misconception
def fills_one_list_for_all(model, ids, **options):
    """`[[]] * n` is n times the *same* list, so every text's ids land in all of them. Make a new
    list for each: `[[] for _ in ids]`."""
    rows, everything = [None] * len(ids), []
    for step in _steps_of(model, ids, **options):
        everything += [token for token in step if token is not None]
    stop_ids = options.get("stop_ids", ())
    reason = "stop" if everything and everything[-1] in stop_ids else "length"
    return [everything for _ in rows], [reason] * len(rows)


@generate.misconception
def takes_a_full_row_for_one_cut_off(model, ids, **options):
    """You say "length" for every row of `max_new_tokens` ids. A row can meet a stop id with its
    very last token: look at the last id."""
    rows, _ = _collected(model, ids, **options)
    most = options["max_new_tokens"]
    return rows, ["length" if len(row) == most else "stop" for row in rows]


@generate.misconception
def looks_for_stop_ids_among_all_that_stopped(model, ids, **options):
    """One reason for the whole batch: as soon as one text was cut off, you say so of all. Each row
    has its own."""
    rows, reasons = _collected(model, ids, **options)
    return rows, ["stop" if all(r == "stop" for r in reasons) else "length"] * len(rows)


@generate.misconception
def swaps_the_reasons(model, ids, **options):
    """The reasons are the wrong way round: "stop" is for a row that wrote a stop id, "length" for
    one that was cut off."""
    rows, reasons = _collected(model, ids, **options)
    return rows, ["stop" if reason == "length" else "length" for reason in reasons]


@generate.misconception
def forgets_to_pass_the_mask_on(model, ids, **options):
    """`attention_mask` does not reach `stream_tokens`, so padding is read as text."""
    return _collected(model, ids, **{k: v for k, v in options.items() if k != "attention_mask"})


@generate.misconception
def forgets_to_pass_the_filters_on(model, ids, **options):
    """`filters` do not reach `stream_tokens`."""
    return _collected(model, ids, **{k: v for k, v in options.items() if k != "filters"})


@generate.misconception
def forgets_to_pass_use_cache_on(model, ids, **options):
    """`use_cache` does not reach `stream_tokens`, so the cache is used even where it is not
    wanted."""
    return _collected(model, ids, **{k: v for k, v in options.items() if k != "use_cache"})


@generate.misconception
def forgets_to_pass_the_generator_on(model, ids, **options):
    """`generator` does not reach `stream_tokens`, so yours is always greedy."""
    return _collected(model, ids, **{k: v for k, v in options.items() if k != "generator"})


@generate.alternative
def by_turning_the_steps_round(model, ids, **options):
    """`zip(*steps)` makes rows of steps."""
    steps = _steps_of(model, ids, **options)
    rows = [list(row) for row in zip(*steps, strict=True)] or [[] for _ in ids]
    rows = [[id for id in row if id is not None] for row in rows]
    stop_ids = set(options.get("stop_ids", ()))
    return rows, ["stop" if stop_ids & set(row[-1:]) else "length" for row in rows]


@generate.alternative
def keeping_the_reasons_on_the_way(model, ids, **options):
    """A reason changes when a stop id comes by."""
    rows, reasons = {i: [] for i in range(len(ids))}, ["length"] * len(ids)
    for step in decoding.stream_tokens(model, ids, **options):
        for i, id in enumerate(step):
            if id is None:
                continue
            rows[i] += [id]
            if id in options.get("stop_ids", ()):
                reasons[i] = "stop"
    return list(rows.values()), reasons


# --- beam_search ---------------------------------------------------------------------------

beam_search = Exercise("decoding.beam_search", points=4, reference=decoding.beam_search)

END = 0


def _search(solution, table, start, width, max_length, length_penalty):
    """A language in which the next token depends on the last one alone."""
    log_probs = table.log()
    result = solution(
        lambda ids: log_probs[ids[-1]], list(start), width, max_length, END, length_penalty
    )
    if not isinstance(result, tuple) or len(result) != 2:
        return result
    ids, score = result
    return list(ids), float(score)


@beam_search.cases
def _(draw):
    def case(about, table, width, max_length, length_penalty=0.0, start=(1,)):
        rows = torch.as_tensor(table, dtype=torch.float64)
        arguments = {"probabilities": rows, "start": list(start), "width": width}
        arguments |= {"max_length": max_length, "length_penalty": length_penalty}
        return Case(about, arguments, _search)

    # Rows: the last token; columns: the next one; 0 ends the text.
    trap = [[1, 0, 0, 0], [0, 0, 0.6, 0.4], [0.35, 0.3, 0.2, 0.15], [0.9, 0.1, 0, 0]]
    yield case("width 1: the best token at each step", trap, 1, 4)
    yield case("width 2: the second-best beginning goes on better", trap, 2, 4)
    yield case("no room for a single token", trap, 2, 1)
    yield case(
        "a text cut off before it ends", [[1, 0, 0], [0.1, 0.2, 0.7], [0.05, 0.8, 0.15]], 2, 5
    )
    brief = [[1, 0, 0, 0], [0.4, 0, 0.6, 0], [0.06, 0, 0.04, 0.9], [0.95, 0.05, 0, 0]]
    yield case("a short end against a long one, by the sum", brief, 2, 6)
    yield case("the same, by the mean", brief, 2, 6, 1.0)
    yield case("the same after a longer start", brief, 2, 8, 1.0, (1, 2, 1))
    yield case("a length penalty of 2", brief, 2, 6, 2.0)
    overtaken = [[1, 0, 0, 0, 0], [0.25, 0, 0.6, 0.15, 0], [0, 0, 0, 0.52, 0.48]]
    overtaken += [[0.1, 0.2, 0.33, 0.37, 0], [0.1, 0.3, 0.33, 0, 0.27]]
    yield case("an end that others overtake, and then fall behind", overtaken, 2, 4)

    def language():
        return draw.normal(4, 4, scale=1.5).double().softmax(-1)

    for width, length_penalty in product((1, 2, 3), (0.0, 0.7)):
        for _ in range(12):
            yield case("a random language", language(), width, 6, length_penalty)
    table = language()
    arguments = {"log_prob_fn": lambda ids: table[ids[-1]].log(), "start": [1], "width": 0}
    arguments |= {"max_length": 3, "end_id": END, "length_penalty": 0.0}
    yield refuses("a width of 0", arguments, "width")


def _beam(
    log_prob_fn,
    start,
    width,
    max_length,
    end_id,
    length_penalty,
    *,
    score=None,
    last_only=False,
    per_beginning=False,
    ended_extend=False,
    first_end=False,
    only_ended=False,
    places="free again",
    only_cut_off=False,
):
    """The reference, with places where a mistake can be put."""
    score = score or (lambda n, total: total / max(1, n) ** length_penalty)
    beam, ended = [(list(start), 0.0)], []
    while beam and len(beam[0][0]) < max_length:
        candidates = []
        for ids, total in beam:
            total = 0.0 if last_only else total
            mine = [(ids + [i], total + lp) for i, lp in enumerate(log_prob_fn(list(ids)).tolist())]
            mine.sort(key=lambda candidate: -candidate[1])
            candidates += mine[:width] if per_beginning else mine
        if not per_beginning:
            candidates.sort(key=lambda candidate: -candidate[1])
        if places == "for the unfinished":
            ended += [c for c in candidates[: 2 * width] if c[0][-1] == end_id]
            beam = [c for c in candidates if c[0][-1] != end_id][:width]
        else:
            room = width - len(ended) if places == "taken for good" else width
            kept = candidates if per_beginning else candidates[: max(0, room)]
            ended += [c for c in kept if c[0][-1] == end_id]
            beam = kept if ended_extend else [c for c in kept if c[0][-1] != end_id]
        if first_end and ended:
            break
    pool = ended or beam if only_ended else (beam or ended if only_cut_off else ended + beam)
    if first_end and ended:
        pool = ended
    if ended_extend:
        pool = beam
    ids, total = max(pool, key=lambda h: score(len(h[0]) - len(start), h[1]))
    return ids, score(len(ids) - len(start), total)


@beam_search.misconception
def is_greedy_whatever_the_width(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """You follow the best token at each step, and the width makes no difference. Keep the `width`
    best beginnings, and extend all of them."""
    return _beam(log_prob_fn, start, 1, max_length, end_id, length_penalty)


@beam_search.misconception
def never_prunes(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """You keep the best `width` extensions of *each* beginning, so there are more and more of them.
    Put all extensions together and keep `width` of the whole lot."""
    return _beam(log_prob_fn, start, width, max_length, end_id, length_penalty, per_beginning=True)


@beam_search.misconception
def stops_at_the_first_end(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """The search is over as soon as one hypothesis ends. A better one may still be on its way:
    remember the one that ended, and go on with the others."""
    return _beam(log_prob_fn, start, width, max_length, end_id, length_penalty, first_end=True)


@beam_search.misconception
def goes_on_after_the_end(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """A hypothesis that ends with `end_id` is extended like the others. It is complete: take it out
    of the beam and remember it."""
    return _beam(log_prob_fn, start, width, max_length, end_id, length_penalty, ended_extend=True)


@beam_search.misconception
def forgets_those_that_ended(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """Those that ended are out of the beam, and then nobody compares them with the rest. Keep them
    in a list, and choose the best of both at the end."""
    return _beam(log_prob_fn, start, width, max_length, end_id, length_penalty, only_cut_off=True)


@beam_search.misconception
def refuses_what_was_cut_off(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """If anything ended, you choose among those only. Here a hypothesis that was cut off at
    `max_length` competes as well."""
    return _beam(log_prob_fn, start, width, max_length, end_id, length_penalty, only_ended=True)


@beam_search.misconception
def ignores_the_length_penalty(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """The score is the sum alone, whatever `length_penalty` says. Divide it by the number of
    generated tokens to that power."""
    return _beam(log_prob_fn, start, width, max_length, end_id, 0.0)


@beam_search.misconception
def always_takes_the_mean(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """You divide by the number of tokens, whatever `length_penalty` says. It is the power: 0 leaves
    the sum as it is."""
    return _beam(log_prob_fn, start, width, max_length, end_id, 1.0)


@beam_search.misconception
def counts_the_start_in_the_length(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """You divide by the length of the whole text. Only generated tokens have a log-probability, so
    only they count."""

    def score(n, total):
        return total / max(1, n + len(start)) ** length_penalty

    return _beam(log_prob_fn, start, width, max_length, end_id, length_penalty, score=score)


@beam_search.misconception
def multiplies_by_the_length(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """You multiply by the length to the power; divide. A sum of log-probabilities is negative, so
    multiplying makes long texts even worse."""
    return _beam(log_prob_fn, start, width, max_length, end_id, -length_penalty)


@beam_search.misconception
def returns_the_sum(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """The right hypothesis, but its score is the bare sum. Return what you compared: the sum
    divided by the length to the power."""
    ids, score = _beam(log_prob_fn, start, width, max_length, end_id, length_penalty)
    return ids, score * max(1, len(ids) - len(start)) ** length_penalty


@beam_search.misconception
def returns_the_new_ids_only(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """The ids come without `start`. Return the whole hypothesis."""
    ids, score = _beam(log_prob_fn, start, width, max_length, end_id, length_penalty)
    return ids[len(start) :], score


@beam_search.misconception
def lets_the_ended_keep_their_place(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """Each hypothesis that ends makes your beam narrower for good. Here its place is free again at
    the next step: keep the `width` best extensions of every step."""
    return _beam(
        log_prob_fn, start, width, max_length, end_id, length_penalty, places="taken for good"
    )


@beam_search.misconception
def gives_the_ended_no_place(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """Those that end take no place in yours, and the next best move up. Some libraries do that;
    here the `width` best extensions of a step stay, ended or not, so that width 1 is greedy."""
    return _beam(
        log_prob_fn, start, width, max_length, end_id, length_penalty, places="for the unfinished"
    )


@beam_search.misconception
def lets_the_ended_compete_for_places(
    log_prob_fn, start, width, max_length, end_id, length_penalty
):
    """A hypothesis that has ended stays in your beam and takes a place from those that go on, step
    after step. Here it leaves the beam, is remembered elsewhere, and competes again at the very
    end."""
    done, score = [(list(start), 0.0)], lambda n, total: total / max(1, n) ** length_penalty
    for _ in range(max_length - len(start)):
        candidates = []
        for ids, total in done:
            if ids[len(start) :] and ids[-1] == end_id:
                candidates.append((ids, total))
                continue
            candidates += [
                (ids + [i], total + log_prob)
                for i, log_prob in enumerate(log_prob_fn(list(ids)).tolist())
            ]
        done = sorted(candidates, key=lambda candidate: -candidate[1])[:width]
    ids, total = max(done, key=lambda h: score(len(h[0]) - len(start), h[1]))
    return ids, score(len(ids) - len(start), total)


@beam_search.misconception
def forgets_what_came_before(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """You compare extensions by their last token alone. A beginning brings its own sum of
    log-probabilities along: add each next one to it."""
    return _beam(log_prob_fn, start, width, max_length, end_id, length_penalty, last_only=True)


@beam_search.misconception
def counts_only_new_tokens(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """`max_length` counts all ids, those of `start` too. Yours writes that many new ones."""
    return _beam(log_prob_fn, start, width, max_length + len(start), end_id, length_penalty)


@beam_search.alternative
def with_lists_and_sort(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """Plain lists, Python's sort."""
    if width < 1:
        raise ValueError("width must be at least 1")
    return _beam(log_prob_fn, start, width, max_length, end_id, length_penalty)


@beam_search.alternative
def keeping_the_best_on_the_way(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """topk in each beginning first (more than `width` of one can never stay), and only the best
    complete hypothesis is remembered."""
    if width < 1:
        raise ValueError("width must be at least 1")
    best, best_score, beam = list(start), -INF, [(0.0, list(start))]
    if len(start) == max_length:
        return best, 0.0
    for length in range(len(start) + 1, max_length + 1):
        extended = []
        for total, ids in beam:
            row = log_prob_fn(ids)
            top = row.topk(min(width, len(row)))
            extended += [
                (total + lp, ids + [id])
                for lp, id in zip(top.values.tolist(), top.indices.tolist(), strict=True)
            ]
        extended = sorted(extended, key=lambda item: item[0], reverse=True)[:width]
        beam = []
        for total, ids in extended:
            if ids[-1] != end_id and length < max_length:
                beam.append((total, ids))
                continue
            score = total / (length - len(start)) ** length_penalty
            if score > best_score:
                best, best_score = ids, score
        if not beam:
            break
    return best, best_score


# --- speculative_accept --------------------------------------------------------------------

speculative_accept = Exercise(
    "decoding.speculative_accept",
    points=3,
    reference=decoding.speculative_accept,
    tolerance=0.0,
    seconds=10.0,
)


def _judged(solution, draft_probs, target_probs, tokens, seed):
    """One call, where chance decides nothing."""
    return solution(draft_probs, target_probs, tokens, _generator(seed))


def _in_words(yes, draws, expected, word):
    """Chance moves a share a little, by less than five standard deviations; a share further from
    what is expected is "otherwise"."""
    if yes in (0, draws):
        return "always" if yes else "never"
    near = abs(yes - draws * expected) < 5 * (draws * expected * (1 - expected)) ** 0.5
    return word if near else "otherwise"


def _habits(solution, draft_probs, target_probs, seed, draws=100):
    """How often each drafted token is accepted, and what stands in for it when it is not."""
    generator, accepted, replaced, extra = _generator(seed), {}, set(), set()
    for token in range(draft_probs.shape[1]):
        yes = 0
        for _ in range(draws):
            out = solution(draft_probs, target_probs, torch.tensor([token]), generator).tolist()
            if len(out) == 2:
                yes += 1
                extra.add(out[1])
            else:
                replaced.update(out)
        accepted[token] = _in_words(yes, draws, 0.5, "half the time")
    return {
        "accepted": accepted,
        "ids that come instead": sorted(replaced),
        "ids that come after an accepted one": sorted(extra),
    }


def _both(solution, draft_probs, target_probs, tokens, seed, draws=400):
    generator = _generator(seed)
    both = sum(
        len(solution(draft_probs, target_probs, tokens, generator)) == 3 for _ in range(draws)
    )
    return {"both accepted": _in_words(both, draws, 0.25, "a quarter of the time")}


def _first_token(solution, draft_probs, target_probs, seed, draws=500):
    """The whole game, many times: draft, judge, count the first token that comes out."""
    generator, counts = _generator(seed), Counter()
    drafted = torch.multinomial(draft_probs[0], draws, True, generator=generator)
    for token in drafted:
        counts[int(solution(draft_probs, target_probs, token[None], generator)[0])] += 1
    counts = torch.tensor([counts[id] for id in range(draft_probs.shape[1])])
    print("share of each first token:", (counts / counts.sum()).tolist())
    return {"the first token is distributed as the target says": _fits(counts, target_probs[0])}


def _seeds(solution, draft_probs, target_probs, tokens, seed):
    def run():
        generator = _generator(seed)
        return [solution(draft_probs, target_probs, tokens, generator).tolist() for _ in range(30)]

    state = torch.get_rng_state()
    first, second = run(), run()
    return {
        "the same seed gives the same ids": first == second,
        "the next call gives others": len(set(map(tuple, first))) > 1,
        "torch's own random numbers are left alone": torch.equal(state, torch.get_rng_state()),
    }


@speculative_accept.cases
def _(draw):
    order = draw.permutation(4)

    def probs(*rows):
        return torch.tensor(rows)[:, order]

    def ids(*tokens):
        """Where these ids stand after the permutation."""
        return torch.tensor([order.tolist().index(token) for token in tokens], dtype=torch.int64)

    def case(about, observe, draft_probs, target_probs, **more):
        arguments = {"draft_probs": draft_probs, "target_probs": target_probs, **more}
        return Case(about, arguments | {"seed": draw.random.randrange(10**6)}, observe)

    sure = torch.eye(4)[:, order]
    even = probs([0.25, 0.25, 0.25, 0.25])
    yield case("no draft at all: one token from the target", _judged, even[:0], sure[2:3],
               tokens=ids())  # fmt: skip
    yield case("a draft the target agrees to", _judged, sure[[1, 3]], sure[[1, 3, 0]],
               tokens=ids(1, 3))  # fmt: skip
    yield case("a target that wants another first token", _judged, even.expand(2, -1),
               sure[[3, 1, 0]], tokens=ids(2, 1))  # fmt: skip
    yield case("a target that wants another second token", _judged, even.expand(3, -1),
               sure[[2, 0, 1, 3]], tokens=ids(2, 3, 1))  # fmt: skip
    draft, target = probs([0.05, 0.05, 0.48, 0.42]), probs([0.56, 0.2, 0.24, 0.0])
    yield case("which tokens are accepted, and what comes instead", _habits, draft,
               torch.cat([target, even]))  # fmt: skip
    yield case("two tokens, each accepted half the time", _both, probs([0.4, 0.2, 0.2, 0.2],
               [0.2, 0.2, 0.4, 0.2]), probs([0.2, 0.2, 0.2, 0.4], [0.2, 0.4, 0.2, 0.2],
               [0.25, 0.25, 0.25, 0.25]), tokens=ids(0, 2))  # fmt: skip
    yield case("draft and judge, many times", _first_token, draft, torch.cat([target, even]))
    yield case("the random numbers", _seeds, even.expand(2, -1), probs([0.3, 0.3, 0.2, 0.2],
               [0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]), tokens=ids(3, 0))  # fmt: skip
    yield case("double precision", _judged, sure[[2]].double(), sure[[2, 1]].double(),
               tokens=ids(2))  # fmt: skip


def _draw_from(weights, generator):
    return torch.multinomial(weights, 1, generator=generator)


def _accept(draft_probs, target_probs, tokens, generator, *, accepted=None, instead=None,
            last=True, extra_row=-1):  # fmt: skip
    """The reference, with places where a mistake can be put."""
    for i, token in enumerate(tokens.tolist()):
        p, q = target_probs[i, token], draft_probs[i, token]
        chance = torch.rand((), generator=generator)
        if accepted(chance, p, q) if accepted else chance * q < p:
            continue
        rest = (target_probs[i] - draft_probs[i]).clamp(min=0)
        if instead is None:
            return torch.cat([tokens[:i], _draw_from(rest, generator)])
        return instead(i, token, tokens, draft_probs, target_probs, generator)
    if not last:
        return tokens.clone()
    return torch.cat([tokens, _draw_from(target_probs[extra_row], generator)])


@speculative_accept.misconception
def draws_again_from_the_target(draft_probs, target_probs, tokens, generator):
    """After a rejection you draw from the target's whole distribution. But tokens that the draft
    likes have had their chance already, and now get a second one: they come too often. Draw from
    what the draft left over: max(0, target - draft)."""

    def instead(i, token, tokens, draft_probs, target_probs, generator):
        return torch.cat([tokens[:i], _draw_from(target_probs[i], generator)])

    return _accept(draft_probs, target_probs, tokens, generator, instead=instead)


@speculative_accept.misconception
def replaces_by_what_the_draft_says_too_often(draft_probs, target_probs, tokens, generator):
    """After a rejection any token may come in yours, even one that the draft says too often. That
    is what |target - draft| does, and a softmax of the difference as well. Where the draft says
    more than the target, nothing is left over: the weight there is 0."""

    def instead(i, token, tokens, draft_probs, target_probs, generator):
        rest = (target_probs[i] - draft_probs[i]).abs()
        return torch.cat([tokens[:i], _draw_from(rest, generator)])

    return _accept(draft_probs, target_probs, tokens, generator, instead=instead)


@speculative_accept.misconception
def draws_from_a_difference_with_negative_parts(draft_probs, target_probs, tokens, generator):
    """After a rejection you draw from target - draft as it is. Where the draft says more, that is
    below zero, and no probability. Such places are 0: max(0, target - draft)."""

    def instead(i, token, tokens, draft_probs, target_probs, generator):
        rest = target_probs[i] - draft_probs[i]
        return torch.cat([tokens[:i], _draw_from(rest, generator)])

    return _accept(draft_probs, target_probs, tokens, generator, instead=instead)


@speculative_accept.misconception
def takes_the_largest_of_what_is_left_over(draft_probs, target_probs, tokens, generator):
    """After a rejection you take the token of which most is left over, always. It is to be drawn,
    each as often as its share: else the others among them never come."""

    def instead(i, token, tokens, draft_probs, target_probs, generator):
        return torch.cat([tokens[:i], (target_probs[i] - draft_probs[i]).argmax()[None]])

    return _accept(draft_probs, target_probs, tokens, generator, instead=instead)


@speculative_accept.misconception
def turns_the_difference_round(draft_probs, target_probs, tokens, generator):
    """After a rejection you draw from max(0, draft - target): from what the draft says too often.
    It is what it says too seldom that is missing."""

    def instead(i, token, tokens, draft_probs, target_probs, generator):
        rest = (draft_probs[i] - target_probs[i]).clamp(min=0)
        return torch.cat([tokens[:i], _draw_from(rest, generator)])

    return _accept(draft_probs, target_probs, tokens, generator, instead=instead)


@speculative_accept.misconception
def turns_the_ratio_round(draft_probs, target_probs, tokens, generator):
    """You accept with probability draft / target. It is target / draft: a token that the target
    likes better than the draft is always accepted."""
    return _accept(draft_probs, target_probs, tokens, generator, accepted=lambda u, p, q: u * p < q)


@speculative_accept.misconception
def accepts_only_what_the_target_likes_better(draft_probs, target_probs, tokens, generator):
    """You accept a token only if the target gives it at least the draft's probability. Below that
    it still has a chance: target / draft."""
    return _accept(draft_probs, target_probs, tokens, generator, accepted=lambda u, p, q: p >= q)


@speculative_accept.misconception
def accepts_with_the_targets_probability(draft_probs, target_probs, tokens, generator):
    """You accept with the target's probability alone. The draft has already made likely tokens come
    often; divide by its probability."""
    return _accept(draft_probs, target_probs, tokens, generator, accepted=lambda u, p, q: u < p)


@speculative_accept.misconception
def forgets_the_last_token(draft_probs, target_probs, tokens, generator):
    """When all tokens are accepted you stop there. The target has scored one place more: a token
    drawn from its last row comes for free."""
    return _accept(draft_probs, target_probs, tokens, generator, last=False)


@speculative_accept.misconception
def takes_the_last_token_from_the_row_before(draft_probs, target_probs, tokens, generator):
    """The extra token comes from the wrong row. Row i of the target is for place i; after n
    accepted tokens the place is n, the last row."""
    row = max(0, len(tokens) - 1)
    return _accept(draft_probs, target_probs, tokens, generator, extra_row=row)


@speculative_accept.misconception
def goes_on_after_a_rejection(draft_probs, target_probs, tokens, generator):
    """After a rejection you go on with the rest of the draft. But it was written to follow the
    rejected token: it is worthless now. Return at the first rejection."""
    out = []
    for i, token in enumerate(tokens.tolist()):
        if torch.rand((), generator=generator) * draft_probs[i, token] < target_probs[i, token]:
            out.append(token)
        else:
            rest = (target_probs[i] - draft_probs[i]).clamp(min=0)
            out.append(int(_draw_from(rest, generator)))
    return torch.tensor(out + _draw_from(target_probs[-1], generator).tolist())


@speculative_accept.misconception
def puts_nothing_in_place_of_a_rejected_token(draft_probs, target_probs, tokens, generator):
    """After a rejection you return the accepted tokens alone. Nothing might be accepted, and then
    the text would stand still: draw one from what the draft left over."""

    def instead(i, token, tokens, draft_probs, target_probs, generator):
        return tokens[:i].clone()

    return _accept(draft_probs, target_probs, tokens, generator, instead=instead)


@speculative_accept.misconception
def keeps_the_rejected_token(draft_probs, target_probs, tokens, generator):
    """The rejected token stays in your result. It goes, and the new one stands in its place."""

    def instead(i, token, tokens, draft_probs, target_probs, generator):
        rest = (target_probs[i] - draft_probs[i]).clamp(min=0)
        return torch.cat([tokens[: i + 1], _draw_from(rest, generator)])

    return _accept(draft_probs, target_probs, tokens, generator, instead=instead)


@speculative_accept.misconception
def throws_once_for_all_tokens(draft_probs, target_probs, tokens, generator):
    """One random number decides about all tokens, so where one is accepted, the next tends to be as
    well. Draw a new one for each."""
    chance = torch.rand((), generator=generator)
    return _accept(
        draft_probs, target_probs, tokens, generator, accepted=lambda u, p, q: chance * q < p
    )


@speculative_accept.misconception
def ignores_the_generator(draft_probs, target_probs, tokens, generator):  # noqa: F811
    """You draw from torch's own random numbers. Hand `generator` on to everything that draws."""
    return _accept(draft_probs, target_probs, tokens, None)


@speculative_accept.alternative
def all_decisions_at_once(draft_probs, target_probs, tokens, generator):
    """All the random numbers first; the first rejection is where the product becomes 0."""
    n = len(tokens)
    places = torch.arange(n)
    p, q = target_probs[:n][places, tokens], draft_probs[places, tokens]
    accepted = torch.rand(n, generator=generator) < p / q
    n_accepted = int(accepted.long().cumprod(0).sum())
    row = target_probs[n_accepted].clone()
    if n_accepted < n:
        row = torch.relu(row - draft_probs[n_accepted])
    extra = torch.multinomial(row / row.sum(), 1, generator=generator)
    return torch.cat((tokens[:n_accepted], extra))


@speculative_accept.alternative
def with_an_empty_last_row_of_the_draft(draft_probs, target_probs, tokens, generator):
    """A draft row of zeros makes the two endings one: target - 0 is the target."""
    padded = torch.cat([draft_probs, torch.zeros_like(target_probs[:1])])
    out = []
    for token, q, p in zip([*tokens.tolist(), None], padded, target_probs, strict=True):
        if token is not None:
            ratio = (p[token] / q[token]).item()
            if ratio >= 1 or torch.rand(1, generator=generator).item() < ratio:
                out.append(token)
                continue
        left = torch.maximum(p - q, torch.zeros_like(p))
        out.append(int(torch.multinomial(left, 1, generator=generator)))
        break
    return torch.tensor(out)
