"""What `decoding.beam_search` demands."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from course_lib import decoding
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.exercises.decoding.shared import INF

beam_search = Exercise("decoding.beam_search", points=4, reference=decoding.beam_search)


END = 0


def _search(solution, table, start, width, max_length, length_penalty):
    """A language in which the next token depends on the last one alone."""
    log_probs = table.log()
    return _plain(
        solution(lambda ids: log_probs[ids[-1]], start, width, max_length, END, length_penalty)
    )


def _search_by_the_sum(solution, table, start, width, max_length, length_penalty):
    """A language in which the next token depends on the sum of all ids so far."""
    log_probs = table.log()
    return _plain(
        solution(
            lambda ids: log_probs[sum(ids) % len(log_probs)],
            start, width, max_length, END, length_penalty,
        )
    )  # fmt: skip


def _plain(result):
    if not isinstance(result, tuple) or len(result) != 2:
        return result
    ids, score = result
    return list(ids), float(score) if isinstance(score, int | Tensor) else score


@beam_search.cases
def _(draw):
    def case(about, table, width, max_length, length_penalty=0.0, start=(1,), observe=_search):
        rows = torch.as_tensor(table, dtype=torch.float64)
        arguments = {"probabilities": rows, "start": list(start), "width": width}
        arguments |= {"max_length": max_length, "length_penalty": length_penalty}
        return Case(about, arguments, observe)

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

    behind = [[1, 0, 0, 0, 0], [0.5, 0, 0.3, 0.2, 0], [0, 0, 0, 0.6, 0.4]]
    behind += [[0.28, 0.24, 0.25, 0.23, 0], [1, 0, 0, 0, 0]]
    yield case("after an end there are two places again", behind, 2, 4, 2.0)
    low = [[1, 0, 0, 0, 0], [0, 0, 0.6, 0.4, 0], [0, 0.52, 0.48, 0, 0]]
    low += [[0, 0.25, 0.2, 0, 0.55], [1, 0, 0, 0, 0]]
    yield case("a good text that begins too low for a width of 2", low, 2, 4)
    yield case("a width above the vocabulary", trap, 6, 4)

    def language():
        return draw.normal(4, 4, scale=1.5).double().softmax(-1)

    for width in (1, 2, 3):
        table = draw.normal(4, 4, scale=1.5).double()
        table[:, END] -= 4  # or little would be written
        yield case("a language that looks at the whole text", table.softmax(-1), width, 7,
                   start=(1, 2), observe=_search_by_the_sum)  # fmt: skip
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
    enough=False,
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
        if (first_end and ended) or (enough and len(ended) >= width):
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
def stops_when_as_many_have_ended_as_are_kept(
    log_prob_fn, start, width, max_length, end_id, length_penalty
):
    """The search is over as soon as `width` hypotheses have ended. Some libraries do that; here it
    goes on while a beginning is left and there is room."""
    return _beam(log_prob_fn, start, width, max_length, end_id, length_penalty, enough=True)


@beam_search.misconception
def returns_the_first_that_ended(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """The first hypothesis that ends is your answer. A better one may still be on its way, or in
    your list: remember the one that ended, go on with the others, and return the one with the best
    score."""
    return _beam(log_prob_fn, start, width, max_length, end_id, length_penalty, first_end=True)


@beam_search.misconception
def shows_only_the_last_token(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """`log_prob_fn` gets the last token alone. What comes next may depend on the whole text: hand
    it all ids, `start` included."""
    return _beam(
        lambda ids: log_prob_fn(ids[-1:]), start, width, max_length, end_id, length_penalty
    )


@beam_search.misconception
def shows_only_what_is_new(log_prob_fn, start, width, max_length, end_id, length_penalty):
    """`log_prob_fn` gets the new ids without `start` (at the first step, `start`). What comes next
    may depend on the whole text: hand it all ids."""
    n = len(start)
    return _beam(
        lambda ids: log_prob_fn(ids[n:] or ids), start, width, max_length, end_id, length_penalty
    )


@beam_search.misconception
def needs_more_extensions_than_it_keeps(
    log_prob_fn, start, width, max_length, end_id, length_penalty
):
    """`topk(width)` stops with an error where there are fewer extensions than that, as at the first
    step with a large width. Then all of them stay: take the smaller of both numbers."""

    def checked(ids):
        log_probs = log_prob_fn(ids)
        if len(ids) == len(start):
            log_probs.topk(width)
        return log_probs

    return _beam(checked, start, width, max_length, end_id, length_penalty)


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
