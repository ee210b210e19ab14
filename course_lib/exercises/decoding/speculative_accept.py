"""What `decoding.speculative_accept` demands."""

from __future__ import annotations

from collections import Counter

import torch

from course_lib import decoding
from course_lib.checks.exercise import Case, Exercise
from course_lib.exercises.decoding.shared import fits, seeded

speculative_accept = Exercise(
    "decoding.speculative_accept",
    points=3,
    reference=decoding.speculative_accept,
    tolerance=0.0,
    seconds=10.0,
)


def _judged(solution, draft_probs, target_probs, tokens, seed):
    """One call, where chance decides nothing."""
    return solution(draft_probs, target_probs, tokens, seeded(seed))


def _in_words(yes, draws, expected, word):
    """Chance moves a share a little, by less than five standard deviations; a share further from
    what is expected is "otherwise"."""
    if yes in (0, draws):
        return "always" if yes else "never"
    near = abs(yes - draws * expected) < 5 * (draws * expected * (1 - expected)) ** 0.5
    return word if near else "otherwise"


def _habits(solution, draft_probs, target_probs, seed, draws=100):
    """How often each drafted token is accepted, and what stands in for it when it is not."""
    generator, accepted, replaced, extra = seeded(seed), {}, set(), set()
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
    generator = seeded(seed)
    both = sum(
        len(solution(draft_probs, target_probs, tokens, generator)) == 3 for _ in range(draws)
    )
    return {"both accepted": _in_words(both, draws, 0.25, "a quarter of the time")}


def _first_token(solution, draft_probs, target_probs, seed, draws=500):
    """The whole game, many times: draft, judge, count the first token that comes out."""
    generator, counts = seeded(seed), Counter()
    drafted = torch.multinomial(draft_probs[0], draws, True, generator=generator)
    for token in drafted:
        counts[int(solution(draft_probs, target_probs, token[None], generator)[0])] += 1
    counts = torch.tensor([counts[id] for id in range(draft_probs.shape[1])])
    print("share of each first token:", (counts / counts.sum()).tolist())
    return {"the first token is distributed as the target says": fits(counts, target_probs[0])}


def _seeds(solution, draft_probs, target_probs, tokens, seed):
    def run():
        generator = seeded(seed)
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
    for about, last in (("last", [0, 1, 2, 3]), ("first", [3, 0, 1, 2])):
        rows = draft[:, order.argsort()][:, last], target[:, order.argsort()][:, last]
        yield case(f"the same where the {about} id is impossible", _habits, rows[0],
                   torch.cat([rows[1], even]))  # fmt: skip
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
def does_not_scale_what_is_left_over(draft_probs, target_probs, tokens, generator):
    """max(0, target - draft) sums to less than 1, and you draw from it as if it summed to 1: a
    random number above its sum falls off the end. Divide it by its sum first (`multinomial` does
    that by itself)."""

    def instead(i, token, tokens, draft_probs, target_probs, generator):
        total = (target_probs[i] - draft_probs[i]).clamp(min=0).cumsum(0)
        chance = torch.rand((), generator=generator)
        drawn = (total <= chance).sum().clamp(max=len(total) - 1)
        return torch.cat([tokens[:i], drawn[None]])

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
def ignores_the_generator(draft_probs, target_probs, tokens, generator):
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
