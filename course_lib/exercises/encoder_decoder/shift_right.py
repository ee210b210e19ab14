"""What `encoder_decoder.shift_right` demands."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from course_lib import objectives
from course_lib.checks.exercise import Case, Exercise

shift_right = Exercise("encoder_decoder.shift_right", points=1, reference=objectives.shift_right)


@shift_right.cases
def _(draw):
    def case(about, labels, start_id=1, pad_id=0):
        return Case(about, {"labels": labels, "start_id": start_id, "pad_id": pad_id})

    labels = draw.ids(50, 3, 6)
    ignored = labels.clone()
    ignored[0, 4:] = ignored[2, 1:] = -100
    yield case("one row", torch.tensor([[7, 8, 9]]))
    yield case("several rows of different ids", labels)
    yield case("labels of -100 at the end", ignored)
    yield case("-100 between labels", torch.tensor([[3, -100, 5, -100, 6], [-100, 2, 4, -100, 9]]))
    yield case("a row of -100 alone", torch.tensor([[5, 6], [-100, -100]]))
    yield case("another start and another padding id", ignored, start_id=40, pad_id=41)
    yield case("one label a row", torch.tensor([[4], [-100]]))
    yield case("the label 0 is a label like others", torch.tensor([[0, 3, 0, -100]]), pad_id=9)
    if draw.hidden:
        longer = draw.ids(90, 5, 11).masked_fill(draw.normal(5, 11) > 1, -100)
        yield case("labels of -100 anywhere", longer, start_id=77, pad_id=3)


def _start(labels, start_id):
    return torch.full_like(labels[:, :1], start_id)


@shift_right.misconception
def rolls_the_last_label_to_the_front(labels, start_id, pad_id=0):
    """In yours each row begins with its own last label. The decoder would be shown the end of the
    answer before it begins: the start token belongs there."""
    shifted = labels.roll(1, dims=1)
    return shifted.masked_fill(shifted == -100, pad_id)


@shift_right.misconception
def shifts_left(labels, start_id, pad_id=0):
    """Your rows move to the left. Then the decoder reads, at each position, a label *later* than
    the one it is to guess. It has to read the one before: move to the right."""
    shifted = torch.cat([labels[:, 1:], _start(labels, start_id)], dim=1)
    return shifted.masked_fill(shifted == -100, pad_id)


@shift_right.misconception
def keeps_the_last_label(labels, start_id, pad_id=0):
    """Your rows are one longer than the labels. The last label is only written, never read: after
    it nothing is left to guess. Drop it."""
    shifted = torch.cat([_start(labels, start_id), labels], dim=1)
    return shifted.masked_fill(shifted == -100, pad_id)


@shift_right.misconception
def overwrites_the_first_label(labels, start_id, pad_id=0):
    """You put the start token in place of the first label. Nothing has moved: the decoder still
    reads, at each position, the very label it is to guess. Put it in front, and drop the last."""
    shifted = torch.cat([_start(labels, start_id), labels[:, 1:]], dim=1)
    return shifted.masked_fill(shifted == -100, pad_id)


@shift_right.misconception
def leaves_minus_one_hundred(labels, start_id, pad_id=0):
    """-100 is still there. It marks what the loss skips, but here it would be looked up in the
    token table, which has no such row. Turn it into `pad_id`."""
    return torch.cat([_start(labels, start_id), labels[:, :-1]], dim=1)


@shift_right.misconception
def drops_minus_one_hundred(labels, start_id, pad_id=0):
    """You take the -100s out and close the gap, so that the labels after it stand too far to the
    left. Each -100 is replaced where it stands."""
    rows = []
    for row in labels.tolist():
        kept = [start_id, *(label for label in row[:-1] if label != -100)]
        rows.append(kept + [pad_id] * (len(row) - len(kept)))
    return torch.tensor(rows)


@shift_right.misconception
def pads_with_zero_whatever_is_asked(labels, start_id, pad_id=0):
    """You turn -100 into 0 always. Which id means padding is for the caller to say: `pad_id`."""
    return objectives.shift_right(labels, start_id, 0)


@shift_right.misconception
def starts_with_padding(labels, start_id, pad_id=0):
    """Your rows begin with `pad_id`. (T5 does use its padding id as the start, but then it is
    given as `start_id`.)"""
    return objectives.shift_right(labels, pad_id, pad_id)


@shift_right.misconception
def takes_the_label_zero_for_padding(labels, start_id, pad_id=0):
    """You replace everything that is not positive, and so the token 0 as well. Only -100 is to be
    replaced."""
    shifted = objectives.shift_right(labels, start_id, -100)
    return shifted.masked_fill(shifted <= 0, pad_id)


@shift_right.alternative
def by_assignment(labels, start_id, pad_id=0):
    """An empty tensor, filled in two steps."""
    shifted = torch.empty_like(labels)
    shifted[:, 1:] = labels[:, :-1]
    shifted[:, 0] = start_id
    shifted[shifted == -100] = pad_id
    return shifted


@shift_right.alternative
def with_padding_and_where(labels, start_id, pad_id=0):
    """`F.pad` adds a column in front and takes one off at the end."""
    shifted = F.pad(labels, (1, -1), value=start_id)
    return torch.where(shifted.eq(-100), pad_id, shifted)
