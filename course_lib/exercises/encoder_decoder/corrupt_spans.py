"""What `encoder_decoder.corrupt_spans` demands."""

from __future__ import annotations

from course_lib import objectives
from course_lib.checks.exercise import Case, Exercise
from course_lib.exercises.encoder_decoder.shared import SENTINELS

corrupt_spans = Exercise(
    "encoder_decoder.corrupt_spans", points=2, reference=objectives.corrupt_spans
)


@corrupt_spans.cases
def _(draw):
    def case(about, ids, spans, sentinel_ids=SENTINELS):
        return Case(about, {"ids": ids, "spans": spans, "sentinel_ids": sentinel_ids})

    ids = draw.ids(80, 12).tolist()
    yield case("one token in the middle", [10, 11, 12], [(1, 2)])
    yield case("two spans", [10, 11, 12, 13, 14, 15, 16], [(1, 3), (5, 6)])
    yield case("a span at the start, one at the end", ids, [(0, 2), (9, 12)])
    yield case("spans of different length", ids, [(1, 2), (3, 7), (9, 11)])
    yield case("one token between two spans", ids, [(2, 4), (5, 8)])
    yield case("nothing is cut out", ids[:4], [])
    yield case("all is cut out", ids[:4], [(0, 4)])
    yield case("sentinels that are not in order", ids, [(1, 3), (6, 8)], [99, 7000, 5000, 6000])
    yield case("no more sentinels than needed", ids, [(1, 3), (6, 8)], [97, 98, 96])
    yield case("a text that repeats itself", [5, 5, 5, 6, 5, 5, 5], [(0, 1), (2, 4)])
    yield case("an empty text", [], [])
    if draw.hidden:
        spans, position = [], draw.random.randrange(3)
        while len(spans) < 5:
            end = position + draw.random.randrange(1, 5)
            spans.append((position, end))
            position = end + draw.random.randrange(1, 4)
        yield case("a longer text", draw.ids(80, 50).tolist(), spans)


def _pieces(ids, spans):
    """(what stands before each span, the span), and the rest of the text."""
    starts = [0, *(end for _, end in spans)]
    before = [list(ids[a:b]) for a, (b, _) in zip(starts, spans)]
    return list(zip(before, [list(ids[a:b]) for a, b in spans])), list(ids[starts[-1] :])


@corrupt_spans.misconception
def forgets_the_last_sentinel(ids, spans, sentinel_ids):
    """Your target ends with its last span. One more sentinel ends it, so that whoever reads the
    target knows that the span is complete."""
    corrupted, target = objectives.corrupt_spans(ids, spans, sentinel_ids)
    return corrupted, target[:-1]


@corrupt_spans.misconception
def includes_the_end(ids, spans, sentinel_ids):
    """Your spans are one token too long. A span (start, end) is half-open, as in Python's slices:
    `ids[end]` is not part of it."""
    longer = [(start, end + 1) for start, end in spans]
    pieces, rest = _pieces(ids, longer)
    corrupted, target = [], []
    for (before, span), sentinel in zip(pieces, sentinel_ids):
        corrupted += [*before, sentinel]
        target += [sentinel, *span]
    return corrupted + rest, [*target, sentinel_ids[len(spans)]]


@corrupt_spans.misconception
def hides_each_token_by_itself(ids, spans, sentinel_ids):
    """You put one sentinel for every token that is cut out, as BERT's [MASK] does. Here a whole
    span is replaced by a single sentinel: how long it was is for the model to find out."""
    corrupted, target = list(ids), []
    for (start, end), sentinel in zip(spans, sentinel_ids):
        corrupted[start:end] = [sentinel] * (end - start)
        target += [sentinel, *ids[start:end]]
    return corrupted, [*target, sentinel_ids[len(spans)]]


@corrupt_spans.misconception
def uses_one_sentinel_for_all(ids, spans, sentinel_ids):
    """Every span gets the first sentinel. With several holes nobody could tell which answer belongs
    to which hole: span i takes `sentinel_ids[i]`."""
    return (
        objectives.corrupt_spans(ids, spans, sentinel_ids)
        if not spans
        else tuple(
            [sentinel_ids[0] if i in sentinel_ids else i for i in part]
            for part in objectives.corrupt_spans(ids, spans, sentinel_ids)
        )
    )


@corrupt_spans.misconception
def leaves_no_trace_of_the_span(ids, spans, sentinel_ids):
    """The spans are gone from your corrupted text without a trace. A sentinel stands where each one
    was."""
    corrupted, target = objectives.corrupt_spans(ids, spans, sentinel_ids)
    return [i for i in corrupted if i not in sentinel_ids], target


@corrupt_spans.misconception
def asks_for_the_whole_text(ids, spans, sentinel_ids):
    """Your target is the whole text. (BART is trained that way.) T5 asks for what is missing and no
    more, which makes the targets short and the training cheap: sentinels and spans."""
    corrupted, _ = objectives.corrupt_spans(ids, spans, sentinel_ids)
    return corrupted, list(ids)


@corrupt_spans.misconception
def answers_without_sentinels(ids, spans, sentinel_ids):
    """Your target holds the spans and no sentinels between them. Where does one end and the next
    begin? Each span is preceded by its sentinel."""
    corrupted, target = objectives.corrupt_spans(ids, spans, sentinel_ids)
    return corrupted, [i for i in target if i not in sentinel_ids]


@corrupt_spans.misconception
def puts_the_sentinel_after_its_span(ids, spans, sentinel_ids):
    """In your target each sentinel stands behind its span. It comes first: it says which hole the
    tokens after it fill."""
    corrupted, _ = objectives.corrupt_spans(ids, spans, sentinel_ids)
    target = []
    for (start, end), sentinel in zip(spans, sentinel_ids):
        target += [*ids[start:end], sentinel]
    return corrupted, [*target, sentinel_ids[len(spans)]]


@corrupt_spans.misconception
def loses_its_place(ids, spans, sentinel_ids):
    """After the first span you cut in the wrong place. Your text became shorter, and the spans
    still count from the beginning of the *original*. Build a new list from pieces of the old one,
    or work from the last span to the first."""
    corrupted, target = list(ids), []
    for (start, end), sentinel in zip(spans, sentinel_ids):
        target += [sentinel, *corrupted[start:end]]
        corrupted[start:end] = [sentinel]
    return corrupted, [*target, sentinel_ids[len(spans)]]


@corrupt_spans.misconception
def cuts_while_it_walks(ids, spans, sentinel_ids):
    """Your target is right. But the corrupted text became shorter with the first cut, and the later
    spans still count from the beginning of the *original*. Build a new list from pieces of the old
    one, or cut from the last span to the first."""
    _, target = objectives.corrupt_spans(ids, spans, sentinel_ids)
    corrupted = list(ids)
    for (start, end), sentinel in zip(spans, sentinel_ids):
        corrupted[start:end] = [sentinel]
    return corrupted, target


@corrupt_spans.misconception
def drops_what_follows_the_last_span(ids, spans, sentinel_ids):
    """Your corrupted text ends with its last sentinel. What stands after the last span belongs to
    it too."""
    corrupted, target = objectives.corrupt_spans(ids, spans, sentinel_ids)
    rest = len(ids) - (spans[-1][1] if spans else 0)
    return corrupted[: len(corrupted) - rest], target


@corrupt_spans.misconception
def ends_with_the_last_of_all_sentinels(ids, spans, sentinel_ids):
    """Your target ends with the last sentinel of the list. It should end with the next one that is
    not used yet: `sentinel_ids[len(spans)]`."""
    corrupted, target = objectives.corrupt_spans(ids, spans, sentinel_ids)
    return corrupted, [*target[:-1], sentinel_ids[-1]]


@corrupt_spans.misconception
def ends_with_the_last_sentinel_again(ids, spans, sentinel_ids):
    """Your target ends with the sentinel of its last span once more. One that has not been used yet
    ends it: `sentinel_ids[len(spans)]`."""
    corrupted, target = objectives.corrupt_spans(ids, spans, sentinel_ids)
    return corrupted, [*target[:-1], sentinel_ids[len(spans) - 1]]


@corrupt_spans.misconception
def returns_target_first(ids, spans, sentinel_ids):
    """Both lists are right, in the wrong order: first the corrupted text, then the target."""
    return objectives.corrupt_spans(ids, spans, sentinel_ids)[::-1]


@corrupt_spans.alternative
def from_the_end(ids, spans, sentinel_ids):
    """Cut from the last span to the first, so that no place moves."""
    corrupted, target = list(ids), [sentinel_ids[len(spans)]]
    for i in reversed(range(len(spans))):
        start, end = spans[i]
        target = [sentinel_ids[i]] + list(ids[start:end]) + target
        corrupted[start:end] = [sentinel_ids[i]]
    return corrupted, target


@corrupt_spans.alternative
def token_by_token(ids, spans, sentinel_ids):
    """One walk through the text, asking of each token which span it is in."""
    corrupted, target = [], []
    for place, token in enumerate(ids):
        inside = [i for i, (start, end) in enumerate(spans) if start <= place < end]
        if not inside:
            corrupted.append(token)
            continue
        if place == spans[inside[0]][0]:
            corrupted.append(sentinel_ids[inside[0]])
            target.append(sentinel_ids[inside[0]])
        target.append(token)
    return corrupted, target + [sentinel_ids[len(spans)]]
