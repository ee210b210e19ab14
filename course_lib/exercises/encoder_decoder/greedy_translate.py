"""What `encoder_decoder.greedy_translate` demands."""

from __future__ import annotations

import torch

from course_lib import encoder_decoder
from course_lib.checks.exercise import Case, Exercise

greedy_translate = Exercise(
    "encoder_decoder.greedy_translate", points=3, reference=encoder_decoder.greedy_translate
)


_VOCAB = 20


class _Scripted:
    """Stands in for a trained model. What it scores highest follows from the source and from all
    that is written so far; row r ends after as many tokens as its first source id says, and would
    go on after that."""

    def __init__(self, end_id):
        self.end_id = end_id

    def __call__(self, source_ids, target_ids):
        places = torch.arange(1, target_ids.shape[1] + 1)
        mix = (target_ids * places**2).cumsum(1) + 3 * source_ids.sum(1, keepdim=True) + places
        best = mix % _VOCAB
        best = torch.where(best == self.end_id, (best + 1) % _VOCAB, best)
        best = torch.where(places == source_ids[:, :1] + 1, self.end_id, best)
        return 1 - (torch.arange(_VOCAB) - best[..., None]).abs() / 4.0


def _written(solution, source_ids, start_id, end_id, max_length):
    return solution(_Scripted(end_id), source_ids, start_id, end_id, max_length)


@greedy_translate.cases
def _(draw):
    def case(about, lengths, max_length=12, start_id=1, end_id=2):
        source = torch.cat([torch.tensor(lengths)[:, None], 3 + draw.ids(9, len(lengths), 3)], 1)
        ids = {"start_id": start_id, "end_id": end_id, "max_length": max_length}
        return Case(about, {"source_ids": source, **ids}, _written)

    yield case("one row of three tokens", [3])
    yield case("rows that end at different steps", [4, 1, 6])
    yield case("a row that ends at once", [0, 3])
    yield case("all rows end at once", [0, 0])
    yield case("a row that is cut off", [2, 9], max_length=5)
    yield case("the end comes just in time", [4, 2], max_length=5)
    yield case("one token at most", [3, 0], max_length=1)
    yield case("other special ids", [5, 2, 3], start_id=17, end_id=0)
    yield case("start and end are the same id", [3, 5], start_id=2)
    if draw.hidden:
        yield case("many rows", [draw.random.randrange(15) for _ in range(12)], max_length=14)


def _write(model, source_ids, start_id, end_id, max_length, scores=None, fill=None, stop=None):
    """The right loop, with parts that a misconception can replace."""
    scores = scores or (lambda model, source, target: model(source, target)[:, -1])
    target = source_ids.new_full((len(source_ids), 1), start_id)
    finished = torch.zeros(len(source_ids), dtype=torch.bool)
    for _ in range(max_length):
        token = scores(model, source_ids, target).argmax(-1)
        token = token.masked_fill(finished, end_id if fill is None else fill)
        target = torch.cat([target, token[:, None]], dim=1)
        finished = finished | (token == end_id)
        if (stop or torch.all)(finished):
            break
    return target[:, 1:]


@greedy_translate.misconception
def keeps_the_start_token(model, source_ids, start_id, end_id, max_length):
    """Your rows begin with the start token. It only gets the writing going; leave it out of what
    you return."""
    written = _write(model, source_ids, start_id, end_id, max_length)
    return torch.cat([torch.full_like(written[:, :1], start_id), written], dim=1)


@greedy_translate.misconception
def goes_on_writing_finished_rows(model, source_ids, start_id, end_id, max_length):
    """Rows that have ended go on being written as long as another row needs. What comes after the
    end token means nothing: fill a finished row up with the end token."""
    target = source_ids.new_full((len(source_ids), 1), start_id)
    finished = torch.zeros(len(source_ids), dtype=torch.bool)
    for _ in range(max_length):
        token = model(source_ids, target)[:, -1].argmax(-1)
        target = torch.cat([target, token[:, None]], dim=1)
        finished = finished | (token == end_id)
        if finished.all():
            break
    return target[:, 1:]


@greedy_translate.misconception
def waits_until_all_end_at_once(model, source_ids, start_id, end_id, max_length):
    """You stop when all rows write the end token *at the same step*, and rows seldom do. Remember
    for each row whether it has ended at some step."""
    target = source_ids.new_full((len(source_ids), 1), start_id)
    for _ in range(max_length):
        token = model(source_ids, target)[:, -1].argmax(-1)
        target = torch.cat([target, token[:, None]], dim=1)
        if (token == end_id).all():
            break
    return target[:, 1:]


@greedy_translate.misconception
def stops_when_one_row_ends(model, source_ids, start_id, end_id, max_length):
    """You stop as soon as one row has ended, and the others are cut off in the middle. Go on until
    all have ended."""
    return _write(model, source_ids, start_id, end_id, max_length, stop=torch.any)


@greedy_translate.misconception
def always_takes_all_the_steps(model, source_ids, start_id, end_id, max_length):
    """You always take `max_length` steps. Stop when every row has ended: the columns after that
    hold nothing but end tokens, and each has cost a run of the model."""
    return _write(
        model, source_ids, start_id, end_id, max_length, stop=lambda finished: finished.numel() == 0
    )


@greedy_translate.misconception
def fills_up_with_zero(model, source_ids, start_id, end_id, max_length):
    """You fill finished rows up with 0. Asked for is the end token."""
    return _write(model, source_ids, start_id, end_id, max_length, fill=0)


@greedy_translate.misconception
def shows_the_model_only_the_last_token(model, source_ids, start_id, end_id, max_length):
    """The model gets the newest token alone and has forgotten all that it wrote before. Give it the
    whole target so far. (A cache, as in notebook 06, would remember; this model has none.)"""
    return _write(
        model, source_ids, start_id, end_id, max_length, lambda m, s, t: m(s, t[:, -1:])[:, -1]
    )


@greedy_translate.misconception
def takes_the_first_position(model, source_ids, start_id, end_id, max_length):
    """You take the logits of the first position, so every step guesses the first token again. The
    next token is scored at the last position: [:, -1]."""
    return _write(model, source_ids, start_id, end_id, max_length, lambda m, s, t: m(s, t)[:, 0])


@greedy_translate.misconception
def overlooks_max_length(model, source_ids, start_id, end_id, max_length):
    """You write until every row has ended, however long that takes, and a model may never end.
    After `max_length` tokens stop all the same."""
    return _write(model, source_ids, start_id, end_id, 100)


@greedy_translate.misconception
def writes_one_token_more(model, source_ids, start_id, end_id, max_length):
    """You write max_length + 1 tokens where a row does not end. The start token is not written, so
    it does not count: `max_length` of them are returned at most."""
    return _write(model, source_ids, start_id, end_id, max_length + 1)


@greedy_translate.misconception
def counts_the_start_token(model, source_ids, start_id, end_id, max_length):
    """You write one token too few when the room is short: `max_length` counts what is returned, and
    the start token is not."""
    if max_length == 1:
        return source_ids[:, :0]
    return _write(model, source_ids, start_id, end_id, max_length - 1)


@greedy_translate.misconception
def begins_with_the_source(model, source_ids, start_id, end_id, max_length):
    """Your target begins with the first token of the source. The source is read by the encoder; the
    target begins with `start_id`."""
    first = {tuple(row): row[:1] for row in source_ids.tolist()}
    rows = torch.tensor([first[tuple(row)] for row in source_ids.tolist()])
    target, finished = rows, torch.zeros(len(rows), dtype=torch.bool)
    for _ in range(max_length):
        token = model(source_ids, target)[:, -1].argmax(-1).masked_fill(finished, end_id)
        target = torch.cat([target, token[:, None]], dim=1)
        finished = finished | (token == end_id)
        if finished.all():
            break
    return target[:, 1:]


@greedy_translate.misconception
def takes_the_start_for_an_end(model, source_ids, start_id, end_id, max_length):
    """You look for the end token in the whole target, the start included. Where start and end are
    the same id, as in some models, nothing is ever written. Look at the new tokens alone."""
    target = source_ids.new_full((len(source_ids), 1), start_id)
    for _ in range(max_length):
        finished = (target == end_id).any(1)
        if finished.all():
            break
        token = model(source_ids, target)[:, -1].argmax(-1).masked_fill(finished, end_id)
        target = torch.cat([target, token[:, None]], dim=1)
    return target[:, 1:]


@greedy_translate.misconception
def takes_the_least_likely(model, source_ids, start_id, end_id, max_length):
    """You take the token with the lowest score. Greedy means the highest: `argmax`."""
    return _write(model, source_ids, start_id, end_id, max_length, lambda m, s, t: -m(s, t)[:, -1])


@greedy_translate.misconception
def leaves_out_the_end(model, source_ids, start_id, end_id, max_length):
    """You stop before the end token is written down. It belongs to the text: whoever reads your
    rows sees by it that a text was finished and not cut off."""
    target = source_ids.new_full((len(source_ids), 1), start_id)
    finished = torch.zeros(len(source_ids), dtype=torch.bool)
    for _ in range(max_length):
        token = model(source_ids, target)[:, -1].argmax(-1).masked_fill(finished, end_id)
        finished = finished | (token == end_id)
        if finished.all():
            break
        target = torch.cat([target, token[:, None]], dim=1)
    return target[:, 1:]


@greedy_translate.alternative
def row_by_row(model, source_ids, start_id, end_id, max_length):
    """Each row by itself, then filled up."""
    rows = []
    for source in source_ids:
        row = [start_id]
        while len(row) <= max_length and (len(row) == 1 or row[-1] != end_id):
            row.append(int(model(source[None], torch.tensor([row]))[0, -1].argmax()))
        rows.append(row[1:])
    longest = max(map(len, rows))
    return torch.tensor([row + [end_id] * (longest - len(row)) for row in rows])


@greedy_translate.alternative
def tidied_up_at_the_end(model, source_ids, start_id, end_id, max_length):
    """Write on, and overwrite what comes after the first end of each row."""
    target = torch.full((len(source_ids), 1), start_id)
    while target.shape[1] <= max_length and not (target[:, 1:] == end_id).any(1).all():
        best = model(source_ids, target)[:, -1:].argmax(-1)
        target = torch.cat([target, best], dim=1)
    written = target[:, 1:]
    ended_before = (written == end_id).cumsum(1) - (written == end_id).long() > 0
    return written.masked_fill(ended_before, end_id)
