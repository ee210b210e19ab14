"""What `encoder_decoder.fill_spans` demands."""

from __future__ import annotations

from course_lib import objectives
from course_lib.checks.exercise import Case, Exercise
from course_lib.exercises.encoder_decoder.shared import SENTINELS

fill_spans = Exercise("encoder_decoder.fill_spans", points=2, reference=objectives.fill_spans)


@fill_spans.cases
def _(draw):
    def case(about, corrupted, target, sentinel_ids=SENTINELS):
        arguments = {"corrupted": corrupted, "target": target, "sentinel_ids": sentinel_ids}
        return Case(about, arguments)

    ids = draw.ids(80, 12).tolist()
    some, more = ids[:5], ids[5:]
    yield case("one hole", [10, 90, 12], [90, 11, 91])
    yield case("two holes", [10, 90, 13, 14, 91, 16], [90, 11, 12, 91, 15, 92])
    yield case("without the last sentinel", [10, 90, 13, 14, 91, 16], [90, 11, 12, 91, 15])
    yield case("a long span without the last sentinel", [1, 90, 2], [90, *ids])
    yield case("holes at the start and at the end", [90, *some, 91], [90, 7, 91, 8, 9, 92])
    yield case("a long span", [1, 90, 2], [90, *ids, 91])
    yield case("no hole", some, [90])
    yield case("no hole and an empty target", some, [])
    yield case("everything is a hole", [90], [90, *some, 91])
    yield case("an empty answer", [1, 90, 2, 91, 3], [90, 91, 4, 92])
    other = [99, 7000, 5000, 6000]
    target = [99, *some, 7000, *more, 5000]
    yield case("sentinels that are not in order", [1, 99, 2, 7000, 3], target, other)
    yield case("sentinels among the smallest ids", [40, 3, 50, 4], [3, 41, 42, 4, 51, 5], [3, 4, 5])
    yield case("more tokens after a hole than in it", [90, *some, 91, *more], [90, 1, 91, 2])
    yield case("tokens after the closing sentinel", [10, 90, 12], [90, 11, 91, 50, 60])
    yield case("no hole, and an answer all the same", some, [90, 50, 60])
    yield case("an empty answer that was cut off", [1, 90, 2], [90])
    if draw.hidden:
        ids, spans = draw.ids(80, 40).tolist(), [(2, 5), (6, 7), (15, 22), (30, 40)]
        yield case("a longer text", *objectives.corrupt_spans(ids, spans, SENTINELS))


def _spans_of(target, sentinel_ids):
    spans = {}
    for i in target:
        if i in sentinel_ids:
            span = spans[i] = []
        else:
            span.append(i)
    return spans


@fill_spans.misconception
def keeps_the_sentinels(corrupted, target, sentinel_ids):
    """The sentinels are still in your text, in front of the spans. A span comes in the *place* of
    its sentinel."""
    spans = _spans_of(target, sentinel_ids)
    return [j for i in corrupted for j in ([i, *spans[i]] if i in sentinel_ids else [i])]


@fill_spans.misconception
def loses_the_last_span_without_an_end(corrupted, target, sentinel_ids):
    """When the target does not end with a sentinel, your last span is lost: you store a span only
    when the next sentinel comes. A model that was cut off writes no last sentinel; what it wrote
    still counts."""
    complete = dict(list(_spans_of(target, sentinel_ids).items())[:-1])
    if target and target[-1] in sentinel_ids:
        complete = _spans_of(target, sentinel_ids)
    filled = []
    for i in corrupted:
        filled += complete.get(i, []) if i in sentinel_ids else [i]
    return filled


@fill_spans.misconception
def loses_the_last_token_without_an_end(corrupted, target, sentinel_ids):
    """You always take the last token of the target off, as if it were the closing sentinel. It may
    be missing, and then you lose a real token: look whether it is one."""
    spans = _spans_of(target[:-1], sentinel_ids)
    filled = []
    for i in corrupted:
        filled += spans.get(i, []) if i in sentinel_ids else [i]
    return filled


@fill_spans.misconception
def reads_on_after_the_closing_sentinel(corrupted, target, sentinel_ids):
    """What stands after the closing sentinel is added to your last span. A span ends at the next
    sentinel, the closing one included."""
    holes = [i for i in corrupted if i in sentinel_ids]
    closing = next((n for n, i in enumerate(target) if i in sentinel_ids and i not in holes), None)
    whole = list(target)
    if closing is not None:
        del whole[closing]
    spans = _spans_of(whole, sentinel_ids) if holes else {}
    return [j for i in corrupted for j in (spans[i] if i in sentinel_ids else [i])]


@fill_spans.misconception
def takes_one_token_for_each_hole(corrupted, target, sentinel_ids):
    """Each hole gets one token in yours. A span may be longer, or empty: it goes on until the next
    sentinel."""
    spans = _spans_of(target, sentinel_ids)
    return [j for i in corrupted for j in (spans[i][:1] if i in sentinel_ids else [i])]


@fill_spans.misconception
def nests_the_spans(corrupted, target, sentinel_ids):
    """Your result has lists inside the list: `append` puts the whole span in as one item. `extend`,
    or `+=`, puts in its tokens."""
    spans = _spans_of(target, sentinel_ids)
    return [spans[i] if i in sentinel_ids else i for i in corrupted]


@fill_spans.misconception
def fills_from_the_last_hole(corrupted, target, sentinel_ids):
    """Your spans land in the holes in reverse order. Which hole a span belongs to is said by the
    sentinel before it."""
    holes = [i for i in corrupted if i in sentinel_ids]
    spans = list(_spans_of(target, sentinel_ids).values())[: len(holes)]
    mirrored = dict(zip(reversed(holes), spans))
    return [j for i in corrupted for j in (mirrored[i] if i in sentinel_ids else [i])]


@fill_spans.misconception
def forgets_the_text_after_the_last_hole(corrupted, target, sentinel_ids):
    """What stands after the last hole is missing from your text."""
    holes = [place for place, i in enumerate(corrupted) if i in sentinel_ids]
    kept = corrupted[: holes[-1] + 1] if holes else []
    return objectives.fill_spans(kept, target[: len(target) if holes else 0], sentinel_ids)


@fill_spans.misconception
def returns_the_spans_alone(corrupted, target, sentinel_ids):
    """These are the spans by themselves. Asked for is the whole text, with the spans back in their
    places."""
    spans = _spans_of(target, sentinel_ids)
    return [j for i in corrupted if i in sentinel_ids for j in spans[i]]


@fill_spans.misconception
def leaves_the_holes_empty(corrupted, target, sentinel_ids):
    """The holes are closed and nothing is in them: your text is the corrupted one without its
    sentinels."""
    return [i for i in corrupted if i not in sentinel_ids]


@fill_spans.alternative
def by_looking_up_places(corrupted, target, sentinel_ids):
    """For each hole, find its sentinel in the target and read on until the next one."""
    filled = []
    for token in corrupted:
        if token not in sentinel_ids:
            filled.append(token)
            continue
        place = list(target).index(token) + 1
        while place < len(target) and target[place] not in sentinel_ids:
            filled.append(target[place])
            place += 1
    return filled


@fill_spans.alternative
def by_inserting_from_the_end(corrupted, target, sentinel_ids):
    """Cut the target at its sentinels, then put slices in, from the last to the first."""
    marks = [place for place, token in enumerate(target) if token in sentinel_ids]
    ends = [*marks[1:], len(target)]
    filled = list(corrupted)
    for place in reversed(range(len(filled))):
        if filled[place] in sentinel_ids:
            which = [target[mark] for mark in marks].index(filled[place])
            filled[place : place + 1] = target[marks[which] + 1 : ends[which]]
    return filled
