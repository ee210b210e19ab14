"""What `decoding.top_p_filter` demands."""

from __future__ import annotations

import torch

from course_lib import decoding
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.exercises.decoding.shared import INF, masked

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
    yield case("a hundred equal tokens: 31 reach 0.305", torch.zeros(100), 0.305)
    sharp = torch.tensor([[6.0, 0.0, 1.0, 2.0], [0.3, 0.0, 0.2, 0.1]])[:, draw.permutation(4)]
    yield case("a batch: one row is sure, the other is not", sharp, 0.6)
    yield case("a batch of one row", known[draw.permutation(4)][None], 0.7)
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
    return masked(logits, torch.zeros_like(keep).scatter(-1, order, keep))


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
    return masked(logits, _reaches(total, p))


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
    return masked(logits, _reaches(total, p).gather(-1, order))


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
def returns_them_sorted(logits, p):
    """The right ones are kept, but they no longer stand in their places: the position of a logit is
    the id of its token."""
    ordered = logits.sort(dim=-1, descending=True, stable=True).values
    return masked(ordered, _reaches(ordered.softmax(-1).cumsum(-1), p))


@top_p_filter.misconception
def compares_each_token_with_p(logits, p):
    """You keep tokens whose *own* probability is at least p. It is the sum of the best ones that
    has to reach p."""
    return masked(logits, logits.softmax(-1) >= p)


@top_p_filter.misconception
def adds_up_in_the_order_of_the_ids(logits, p):
    """You add up from id 0 on, whatever the probabilities are. The set is made of the *most likely*
    tokens: sort first, the best in front."""
    return masked(logits, _reaches(logits.softmax(-1).cumsum(-1), p))


@top_p_filter.misconception
def sorts_without_keeping_the_order_of_equals(logits, p):
    """Your sort does not promise to keep equal logits in the order of their ids. With a handful it
    happens to, with a hundred it does not. Ask for it: `stable=True`."""
    ordered, order = logits.sort(dim=-1, descending=True)
    return _scattered(logits, order, _reaches(ordered.softmax(-1).cumsum(-1), p))


@top_p_filter.misconception
def takes_softmax_over_the_batch(logits, p):
    """Your softmax goes over the first axis, so the texts of a batch share out each token among
    them. The probabilities of one text lie along the last axis."""
    order = logits.argsort(dim=-1, descending=True, stable=True)
    total = logits.softmax(0).gather(-1, order).cumsum(-1)
    return _scattered(logits, order, _reaches(total, p))


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
def returns_probabilities(logits, p):
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
        for id in sorted(range(len(row)), key=lambda id: -probs[id]):
            new[id] = row[id]
            total += probs[id]
            if total >= p and p < 1:
                break
    return out.reshape(logits.shape)


def _share(p):
    if not 0 <= p <= 1:
        raise ValueError("p must lie in 0 ... 1")
